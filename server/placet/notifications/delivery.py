"""A delivery: one row of the outbox, from the event to its end.

::

    pending --claimed--> pending --sent--> sent
                            |----later---> pending
                            '--gave up---> gave_up

A claim moves the row's `due_at_us` beyond the delivery: other replicas leave it alone, and find it again if this one
dies. So an event is delivered once or more often, and never lost.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from datetime import UTC
from email.utils import parsedate_to_datetime
from enum import StrEnum
from typing import Final

import orjson

from placet.kernel.limits import (
    WEBHOOK_AGE_SECONDS_MAX,
    WEBHOOK_BYTES_MAX,
    WEBHOOK_TRIES_MAX,
    WEBHOOK_WAIT_SECONDS_MAX,
    WEBHOOK_WAIT_SECONDS_MIN,
)
from placet.kernel.state import Row, RowKey, StateTable
from placet.notifications.payload import WebhookEvent, webhook_payload

ERROR_CHARS_MAX: Final = 256
"""What is kept of why the last try failed."""
_SECOND_US: Final = 1_000_000
_DOUBLINGS_MAX: Final = 32
"""Far beyond the longest wait; keeps the number small."""


class DeliveryStatus(StrEnum):
    """What a row of the outbox is listed by."""

    PENDING = "pending"
    SENT = "sent"
    GAVE_UP = "gave_up"


class DeliveryUnreadableError(Exception):
    """The row's body is no delivery."""


@dataclass(frozen=True, slots=True)
class Delivery:
    """What a row holds. `tries` counts those that were begun; `first_try_at_us` is 0 before; `error` is the last."""

    row: Row
    payload: bytes
    tries: int = 0
    first_try_at_us: int = 0
    error: str = ""

    @property
    def event_id(self) -> str:
        """The event's id."""
        return self.row.key.id

    @staticmethod
    def read(row: Row) -> Delivery:
        """The delivery in the row. DeliveryUnreadableError when there is none."""
        try:
            said = orjson.loads(row.body)
            payload = orjson.dumps(said["payload"])
            delivery = Delivery(row, payload, said["tries"], said["first_try_at_us"], said["error"])
        except (ValueError, KeyError, TypeError) as error:
            raise DeliveryUnreadableError(f"{row.key.id}: its row cannot be read") from error
        if len(payload) > WEBHOOK_BYTES_MAX:
            raise DeliveryUnreadableError(f"{row.key.id}: has {len(payload)} bytes, more than {WEBHOOK_BYTES_MAX}")
        return delivery


def new_delivery(event: WebhookEvent) -> Row:
    """The row that has the event delivered. It goes into the commitment that changes the approval."""
    row = Row(
        RowKey(StateTable.WEBHOOK_OUTBOX, event.tenant, event.id),
        DeliveryStatus.PENDING,
        event.time_us,
        b"",
        event.time_us,
    )
    return _written(Delivery(row, webhook_payload(event)))


def claimed(delivery: Delivery, now_us: int, until_us: int) -> Row:
    """The row while a try is under way: due again at `until_us`."""
    first = delivery.first_try_at_us or now_us
    row = replace(delivery.row, due_at_us=until_us)
    return _written(replace(delivery, row=row, tries=delivery.tries + 1, first_try_at_us=first))


def sent(delivery: Delivery) -> Row:
    """The row after the receiver took it."""
    row = replace(delivery.row, status=DeliveryStatus.SENT, due_at_us=0)
    return _written(replace(delivery, row=row, error=""))


def later(delivery: Delivery, due_at_us: int, error: str) -> Row:
    """The row after a try that failed, due for the next."""
    return _written(replace(delivery, row=replace(delivery.row, due_at_us=due_at_us), error=error[:ERROR_CHARS_MAX]))


def gave_up(delivery: Delivery, error: str) -> Row:
    """The row after the last try."""
    row = replace(delivery.row, status=DeliveryStatus.GAVE_UP, due_at_us=0)
    return _written(replace(delivery, row=row, error=error[:ERROR_CHARS_MAX]))


def unreadable(row: Row) -> Row:
    """A row that holds no delivery, as it is kept: for nobody to try."""
    return replace(row, status=DeliveryStatus.GAVE_UP, due_at_us=0)


def next_try_us(delivery: Delivery, now_us: int, retry_after: str, chance: float) -> int:
    """When to try again after a try that failed now; 0 to give up.

    The wait doubles from try to try, and is cut by up to half by `chance`, 0 to 1, so that what failed together does
    not come again together. `retry_after` is what the receiver's header said.
    """
    age_us = now_us - delivery.first_try_at_us
    if delivery.tries >= WEBHOOK_TRIES_MAX or age_us >= WEBHOOK_AGE_SECONDS_MAX * _SECOND_US:
        return 0
    doubled = WEBHOOK_WAIT_SECONDS_MIN * 2.0 ** min(max(delivery.tries, 1) - 1, _DOUBLINGS_MAX)
    wait = min(doubled, WEBHOOK_WAIT_SECONDS_MAX) * (1 - chance / 2)
    asked = min(retry_after_seconds(retry_after, now_us), WEBHOOK_WAIT_SECONDS_MAX)
    return now_us + round(max(wait, asked) * _SECOND_US)


def retry_after_seconds(said: str, now_us: int) -> float:
    """What a ``Retry-After`` header asks for (RFC 9110, 10.2.3): seconds, or a date. 0 when it asks for nothing."""
    said = said.strip()
    if said.isascii() and said.isdigit():
        return float(said)
    try:
        at = parsedate_to_datetime(said)
    except ValueError:
        return 0.0
    at = at if at.tzinfo else at.replace(tzinfo=UTC)
    return max(0.0, at.timestamp() - now_us / _SECOND_US)


def _written(delivery: Delivery) -> Row:
    """The delivery's row with its body."""
    said = {
        "tries": delivery.tries,
        "first_try_at_us": delivery.first_try_at_us,
        "error": delivery.error,
        "payload": orjson.Fragment(delivery.payload),
    }
    return replace(delivery.row, body=orjson.dumps(said))
