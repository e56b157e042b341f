"""Delivers what the outbox holds, until cancelled."""

from __future__ import annotations

import asyncio
import contextlib
import secrets
import ssl
import threading
from dataclasses import dataclass, field
from enum import StrEnum
from functools import partial
from typing import TYPE_CHECKING, Final, TypeVar

from placet.kernel.errors import LedgerUnavailableError
from placet.kernel.limits import WEBHOOK_AT_ONCE_MAX, WEBHOOK_CLAIM_SECONDS, WEBHOOK_POLL_SECONDS
from placet.notifications.delivery import next_try_us
from placet.webhooks.attempt import Answer, Attempt, resolve
from placet.webhooks.signing import headers

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from placet.kernel.clock import Clock
    from placet.notifications.delivery import Delivery
    from placet.webhooks.attempt import Place
    from placet.webhooks.outbox import Outbox
    from placet.webhooks.target import Target

T = TypeVar("T")
_SECOND_US: Final = 1_000_000
_CHANCE: Final = secrets.SystemRandom().random


class TryResult(StrEnum):
    """What became of a try."""

    SENT = "sent"
    FAILED = "failed"
    GAVE_UP = "gave_up"


@dataclass(frozen=True, slots=True)
class Tried:
    """One try, for log and metric. `cause` is why it failed, "" when it did not."""

    result: TryResult
    event_id: str
    tenant: str
    tries: int
    cause: str = ""


@dataclass(frozen=True, slots=True)
class Receiver:
    """Who gets the deliveries, each signed with every one of `keys`.

    `context` says whose certificates count, `resolve` where a name leads.
    """

    target: Target
    keys: tuple[bytes, ...] = field(repr=False)
    timeout_seconds: float
    context: ssl.SSLContext = field(default_factory=ssl.create_default_context, repr=False)
    resolve: Callable[[str, int], Sequence[Place]] = resolve


class WebhookSender:
    """Takes deliveries from the outbox and sends each, at least once, in no certain order. One a server.

    `tell` is told of each try, `on_error` of Placet's own defects; neither may raise.
    """

    def __init__(
        self,
        outbox: Outbox,
        receiver: Receiver,
        clock: Clock,
        tell: Callable[[Tried], None],
        on_error: Callable[[BaseException], None],
        chance: Callable[[], float] = _CHANCE,
    ) -> None:
        self._outbox = outbox
        self._receiver = receiver
        self._clock = clock
        self._tell = tell
        self._on_error = on_error
        self._chance = chance
        self._woken = asyncio.Event()

    def wake(self) -> None:
        """Look at the outbox soon; to be called in the event loop."""
        self._woken.set()

    async def run(self) -> None:
        """Deliver what is due, and look again when woken, at the latest every WEBHOOK_POLL_SECONDS."""
        while True:
            self._woken.clear()
            try:
                while await self.deliver_due():
                    pass
            except LedgerUnavailableError:
                pass  # told by whoever watches the ledger; it is tried again
            except Exception as fault:  # noqa: BLE001 - the next delivery may do; log and metric tell it
                self._on_error(fault)
            with contextlib.suppress(TimeoutError):
                async with asyncio.timeout(WEBHOOK_POLL_SECONDS):
                    await self._woken.wait()

    async def deliver_due(self) -> int:
        """Try some of the deliveries that are due, together; how many there were. LedgerUnavailableError."""
        now_us = self._clock.wall_us()
        held_us = round((self._receiver.timeout_seconds + WEBHOOK_CLAIM_SECONDS) * _SECOND_US)
        claimed = await self._outbox.due(now_us, now_us + held_us, WEBHOOK_AT_ONCE_MAX)
        ended = await asyncio.gather(*map(self._deliver, claimed), return_exceptions=True)
        for fault in ended:
            if isinstance(fault, BaseException):
                raise fault
        return len(claimed)

    async def _deliver(self, delivery: Delivery) -> None:
        answer = await self._tried(delivery)
        if answer.taken:
            await self._outbox.done(delivery)
            self._told(TryResult.SENT, delivery)
            return
        now_us = self._clock.wall_us()
        due_at_us = next_try_us(delivery, now_us, answer.retry_after, self._chance())
        if due_at_us:
            await self._outbox.later(delivery, due_at_us, answer.error)
            self._told(TryResult.FAILED, delivery, answer.error)
        else:
            await self._outbox.give_up(delivery, answer.error)
            self._told(TryResult.GAVE_UP, delivery, answer.error)

    async def _tried(self, delivery: Delivery) -> Answer:
        to = self._receiver
        sent_at = self._clock.wall_us() // _SECOND_US
        signed = headers(delivery.event_id, delivery.payload, sent_at, to.keys)
        attempt = Attempt(to.target, signed, delivery.payload, to.context, to.timeout_seconds, to.resolve)
        try:
            async with asyncio.timeout(to.timeout_seconds):
                return await in_a_thread(attempt.send)
        except TimeoutError:
            return Answer(error=f"no answer in {to.timeout_seconds:g} s")
        except Exception as fault:  # noqa: BLE001 - a defect; the delivery is tried again as after any failure
            self._on_error(fault)
            return Answer(error=f"fault: {type(fault).__name__}")
        finally:
            attempt.abort()

    def _told(self, result: TryResult, delivery: Delivery, cause: str = "") -> None:
        self._tell(Tried(result, delivery.event_id, delivery.row.key.tenant, delivery.tries, cause))


def in_a_thread(work: Callable[[], T]) -> asyncio.Future[T]:
    """What `work` gives, done in a thread that holds up no end of the process: a look-up of a name may hang there."""
    loop = asyncio.get_running_loop()
    future: asyncio.Future[T] = loop.create_future()

    def settle(set_it: Callable[[], None]) -> None:
        if not future.done():
            set_it()

    def do() -> None:
        try:
            done = partial(future.set_result, work())
        except BaseException as fault:  # noqa: BLE001 - raised where it is awaited
            done = partial(future.set_exception, fault)
        with contextlib.suppress(RuntimeError):  # the loop is closed: nobody waits
            loop.call_soon_threadsafe(settle, done)

    threading.Thread(target=do, name="webhook", daemon=True).start()
    return future
