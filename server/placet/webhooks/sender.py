"""Sends the webhooks that are due, in the background of a server.

The server runs one `WebhookSender` when `webhook_url` is set. An event of the ledger wakes it; it claims due deliveries
from the `Outbox`, makes one `Attempt` for each, and stores the results.
"""

from __future__ import annotations

import asyncio
import contextlib
import secrets
import ssl
from dataclasses import dataclass, field
from enum import StrEnum
from typing import TYPE_CHECKING, Final

from placet.kernel.errors import LedgerUnavailableError
from placet.kernel.limits import WEBHOOK_AT_ONCE_MAX, WEBHOOK_CLAIM_SECONDS, WEBHOOK_POLL_SECONDS
from placet.notifications.delivery import next_try_us
from placet.scheduling.daemon_thread import run_in_daemon_thread
from placet.webhooks.attempt import Attempt, Response, resolve
from placet.webhooks.signing import headers

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from placet.kernel.clock import Clock
    from placet.notifications.delivery import Delivery
    from placet.webhooks.attempt import SocketAddress
    from placet.webhooks.outbox import Outbox
    from placet.webhooks.target import Target

_SECOND_US: Final = 1_000_000
_RANDOM: Final = secrets.SystemRandom().random


class TryResult(StrEnum):
    """The result of one attempt. The values are labels of the metric `placet_webhooks_total`."""

    SENT = "sent"
    FAILED = "failed"  # it will be tried again
    GAVE_UP = "gave_up"


@dataclass(frozen=True, slots=True)
class TryReport:
    """One attempt, for log and metrics."""

    result: TryResult
    event_id: str
    tenant: str
    tries: int  # attempts of this delivery so far, with this one
    cause: str = ""  # why the attempt failed, "" after a success


@dataclass(frozen=True, slots=True)
class Receiver:
    """The receiver of all deliveries."""

    target: Target
    keys: tuple[bytes, ...] = field(repr=False)  # each adds a signature
    timeout_seconds: float  # of one attempt, from the look-up of the name to the head of the response
    context: ssl.SSLContext = field(default_factory=ssl.create_default_context, repr=False)  # trusted certificates
    resolve: Callable[[str, int], Sequence[SocketAddress]] = resolve


class WebhookSender:
    """Sends each delivery of the outbox at least once, in no particular order. A server has one.

    `on_try` receives a report of each attempt, `on_error` internal errors; neither may raise. `random` returns a number
    from 0 to 1: which part of half the wait before the next attempt is left out (see `next_try_us`).
    """

    def __init__(
        self,
        outbox: Outbox,
        receiver: Receiver,
        clock: Clock,
        on_try: Callable[[TryReport], None],
        on_error: Callable[[BaseException], None],
        random: Callable[[], float] = _RANDOM,
    ) -> None:
        self._outbox = outbox
        self._receiver = receiver
        self._clock = clock
        self._on_try = on_try
        self._on_error = on_error
        self._random = random
        self._woken = asyncio.Event()

    def wake(self) -> None:
        """Make `run` look at the outbox now. Call it in the event loop."""
        self._woken.set()

    async def run(self) -> None:
        """Send what is due when woken, and at least every WEBHOOK_POLL_SECONDS, until cancelled."""
        while True:
            self._woken.clear()
            try:
                while await self.deliver_due():
                    pass
            except LedgerUnavailableError:
                pass  # the probe of the store reports it; the next round tries again
            except Exception as error:  # noqa: BLE001 - one broken delivery must not stop the others
                self._on_error(error)
            with contextlib.suppress(TimeoutError):
                async with asyncio.timeout(WEBHOOK_POLL_SECONDS):
                    await self._woken.wait()

    async def deliver_due(self) -> int:
        """Attempt at most WEBHOOK_AT_ONCE_MAX due deliveries at once. Returns how many were claimed.

        Raises LedgerUnavailableError.
        """
        now_us = self._clock.wall_us()
        claim_us = round((self._receiver.timeout_seconds + WEBHOOK_CLAIM_SECONDS) * _SECOND_US)
        claimed = await self._outbox.claim_due(now_us, now_us + claim_us, WEBHOOK_AT_ONCE_MAX)
        results = await asyncio.gather(*map(self._deliver, claimed), return_exceptions=True)
        for error in results:
            if isinstance(error, BaseException):
                raise error
        return len(claimed)

    async def _deliver(self, delivery: Delivery) -> None:
        response = await self._attempt(delivery)
        if response.accepted:
            await self._outbox.mark_sent(delivery)
            self._report(TryResult.SENT, delivery)
            return
        now_us = self._clock.wall_us()
        due_at_us = next_try_us(delivery, now_us, response.retry_after, self._random())
        if due_at_us:
            await self._outbox.retry_at(delivery, due_at_us, response.error)
            self._report(TryResult.FAILED, delivery, response.error)
        else:
            await self._outbox.give_up(delivery, response.error)
            self._report(TryResult.GAVE_UP, delivery, response.error)

    async def _attempt(self, delivery: Delivery) -> Response:
        receiver = self._receiver
        sent_at = self._clock.wall_us() // _SECOND_US
        signed = headers(delivery.event_id, delivery.payload, sent_at, receiver.keys)
        timeout_seconds = receiver.timeout_seconds
        attempt = Attempt(
            receiver.target, signed, delivery.payload, receiver.context, timeout_seconds, receiver.resolve
        )
        try:
            async with asyncio.timeout(timeout_seconds):
                return await run_in_daemon_thread(attempt.send, "webhook")
        except TimeoutError:
            return Response(error=f"no answer in {timeout_seconds:g} s")
        except Exception as error:  # noqa: BLE001 - an internal error; the delivery is tried again as after any failure
            self._on_error(error)
            return Response(error=f"internal error: {type(error).__name__}")
        finally:
            attempt.abort()

    def _report(self, result: TryResult, delivery: Delivery, cause: str = "") -> None:
        self._on_try(TryReport(result, delivery.event_id, delivery.row.key.tenant, delivery.tries, cause))
