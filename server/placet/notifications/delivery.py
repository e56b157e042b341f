"""Deliveries of webhooks: one row of the outbox for each event. All functions are pure.

::

    pending --claimed--> pending --sent--> sent
                            |----later---> pending
                            '--gave up---> gave_up

A claim moves the row's `due_at_us` beyond the end of the try. Until then other replicas leave the row alone; if this
replica stops, they find it again. So an event is delivered at least once and never lost.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from datetime import UTC
from email.utils import parsedate_to_datetime
from enum import StrEnum
from typing import Final

import orjson
from msgspec import structs

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
"""Characters of the last error that are stored."""
_SECOND_US: Final = 1_000_000
_DOUBLINGS_MAX: Final = 32
"""Bounds the exponent. The longest wait is reached long before."""


class DeliveryStatus(StrEnum):
    """The status of a row of the outbox."""

    PENDING = "pending"
    SENT = "sent"
    GAVE_UP = "gave_up"


class DeliveryUnreadableError(Exception):
    """The body of a row is not a valid delivery."""


@dataclass(frozen=True, slots=True)
class Delivery:
    """The delivery of a row."""

    row: Row
    payload: bytes
    """The JSON body to send."""
    tries: int = 0
    """How many tries were started."""
    first_try_at_us: int = 0
    """0 before the first try."""
    error: str = ""
    """Why the last try failed."""

    @property
    def event_id(self) -> str:
        """The id of the event."""
        return self.row.key.id

    @staticmethod
    def read(row: Row) -> Delivery:
        """Return the delivery of a row. Raises DeliveryUnreadableError when the row has no valid one."""
        try:
            body = orjson.loads(row.body)
            payload = orjson.dumps(body["payload"])
            delivery = Delivery(row, payload, body["tries"], body["first_try_at_us"], body["error"])
        except (ValueError, KeyError, TypeError) as error:
            raise DeliveryUnreadableError(f"{row.key.id}: its row cannot be read") from error
        if len(payload) > WEBHOOK_BYTES_MAX:
            raise DeliveryUnreadableError(f"{row.key.id}: has {len(payload)} bytes, more than {WEBHOOK_BYTES_MAX}")
        return delivery


def new_delivery(event: WebhookEvent) -> Row:
    """Return a new row that queues the event. It must be in the commit that changes the approval."""
    row = Row(
        RowKey(StateTable.WEBHOOK_OUTBOX, event.tenant, event.id),
        DeliveryStatus.PENDING,
        event.time_us,
        b"",
        event.time_us,
    )
    return _written(Delivery(row, webhook_payload(event)))


def claimed(delivery: Delivery, now_us: int, until_us: int) -> Row:
    """Return the row during a try. It is due again at `until_us`."""
    first = delivery.first_try_at_us or now_us
    row = structs.replace(delivery.row, due_at_us=until_us)
    return _written(replace(delivery, row=row, tries=delivery.tries + 1, first_try_at_us=first))


def sent(delivery: Delivery) -> Row:
    """Return the row after the receiver accepted the event."""
    row = structs.replace(delivery.row, status=DeliveryStatus.SENT, due_at_us=0)
    return _written(replace(delivery, row=row, error=""))


def later(delivery: Delivery, due_at_us: int, error: str) -> Row:
    """Return the row after a failed try. The next try is due at `due_at_us`."""
    return _written(
        replace(delivery, row=structs.replace(delivery.row, due_at_us=due_at_us), error=error[:ERROR_CHARS_MAX])
    )


def gave_up(delivery: Delivery, error: str) -> Row:
    """Return the row after the last try failed."""
    row = structs.replace(delivery.row, status=DeliveryStatus.GAVE_UP, due_at_us=0)
    return _written(replace(delivery, row=row, error=error[:ERROR_CHARS_MAX]))


def unreadable(row: Row) -> Row:
    """Return a row without a valid delivery as given up, so that it is not tried."""
    return structs.replace(row, status=DeliveryStatus.GAVE_UP, due_at_us=0)


def next_try_us(delivery: Delivery, now_us: int, retry_after: str, chance: float) -> int:
    """Return when to try again after a failed try; 0 to give up.

    The wait doubles with each try. `chance` (0 to 1) cuts it by up to half, so that deliveries that failed together are
    not retried together. `retry_after` is the receiver's ``Retry-After`` header: the wait is not shorter than that, up
    to WEBHOOK_WAIT_SECONDS_MAX.
    """
    age_us = now_us - delivery.first_try_at_us
    if delivery.tries >= WEBHOOK_TRIES_MAX or age_us >= WEBHOOK_AGE_SECONDS_MAX * _SECOND_US:
        return 0
    doubled = WEBHOOK_WAIT_SECONDS_MIN * 2.0 ** min(max(delivery.tries, 1) - 1, _DOUBLINGS_MAX)
    wait = min(doubled, WEBHOOK_WAIT_SECONDS_MAX) * (1 - chance / 2)
    receiver_wait = min(retry_after_seconds(retry_after, now_us), WEBHOOK_WAIT_SECONDS_MAX)
    return now_us + round(max(wait, receiver_wait) * _SECOND_US)


def retry_after_seconds(header: str, now_us: int) -> float:
    """Return the seconds of a ``Retry-After`` header (RFC 9110, 10.2.3), which has seconds or a date.

    Returns 0 when the header has neither.
    """
    header = header.strip()
    if header.isascii() and header.isdigit():
        return float(header)
    try:
        at = parsedate_to_datetime(header)
    except ValueError:
        return 0.0
    at = at if at.tzinfo else at.replace(tzinfo=UTC)
    return max(0.0, at.timestamp() - now_us / _SECOND_US)


def _written(delivery: Delivery) -> Row:
    """Return the delivery's row with its current body."""
    body = {
        "tries": delivery.tries,
        "first_try_at_us": delivery.first_try_at_us,
        "error": delivery.error,
        "payload": orjson.Fragment(delivery.payload),
    }
    return structs.replace(delivery.row, body=orjson.dumps(body))
