"""The publish-subscribe hub of a server: it reads new events of the ledger once, for all watch streams.

The hub reads only while there are subscriptions: when the ledger wakes it, and every WATCH_POLL_SECONDS in case the
ledger did not. `feeds` turns the events into changes of decisions and approvals.

Notifying one subscriber takes about 0.1 ms of the event loop, which also makes decisions. So the hub notifies a few
subscribers at a time and lets decisions run in between. Events that arrive during that time are published together in
the next round.
"""

from __future__ import annotations

import asyncio
import contextlib
from dataclasses import dataclass
from typing import TYPE_CHECKING

from placet.approvals.model import approval_key, from_row, is_approval_id
from placet.kernel.errors import OverloadedError, UnavailableError, WatcherTooSlowError
from placet.kernel.limits import (
    RETRY_AFTER_MS,
    WATCH_EVENTS_MAX,
    WATCH_NOTIFY_GAP_MS,
    WATCH_POLL_SECONDS,
    WATCH_QUEUE_MAX,
    WATCH_READ_GAP_MS,
    WATCHERS_MAX,
    WATCHERS_NOTIFIED_TOGETHER,
)
from placet.kernel.state import ReadSet

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from placet.approvals.model import Approval
    from placet.audit.ports import Ledger
    from placet.kernel.errors import PlacetError
    from placet.kernel.state import Event

Topic = tuple[str, str]
"""Tenant and subject: the id of a decision or approval. Subject "" stands for all approvals of the tenant."""


@dataclass(frozen=True, slots=True)
class SubjectEvent:
    """An event, with the approval that is its subject."""

    event: Event
    approval: Approval | None  # its state at the time of reading; None when the subject is no approval


async def subject_events(ledger: Ledger, events: Sequence[Event]) -> list[SubjectEvent]:
    """Return the events with their approvals, which are read together. Raises LedgerUnavailableError."""
    keys = {approval_key(event.tenant, event.subject) for event in events if is_approval_id(event.subject)}
    rows = (await ledger.load(ReadSet(sorted(keys)))).rows if keys else {}
    approvals = {(key.tenant, key.id): from_row(row) for key, row in rows.items()}
    return [SubjectEvent(event, approvals.get((event.tenant, event.subject))) for event in events]


class Subscription:
    """A subscriber's queue of at most WATCH_QUEUE_MAX events."""

    def __init__(self, topics: Sequence[Topic]) -> None:
        self.topics = topics
        self._queue: list[SubjectEvent] = []
        self._changed = asyncio.Event()
        self._closed_with: PlacetError | None = None

    async def next(self, seconds: float | None = None) -> list[SubjectEvent]:
        """Return the events since the last call; wait until there is one. Returns [] when there is none for `seconds`.

        Raises the error that the subscription was closed with: WatcherTooSlowError or UnavailableError. The subscriber
        can watch again with its last cursor, on another server too.
        """
        while not self._queue and self._closed_with is None:
            self._changed.clear()
            try:
                async with asyncio.timeout(seconds):
                    await self._changed.wait()
            except TimeoutError:
                return []
        if self._closed_with is not None:
            raise self._closed_with
        events, self._queue = self._queue, []
        return events

    def offer(self, events: Sequence[SubjectEvent]) -> None:
        """Add events to the queue. A queue that would become too long is closed with WatcherTooSlowError."""
        if self._closed_with is not None:
            return
        if len(self._queue) + len(events) <= WATCH_QUEUE_MAX:
            self._queue.extend(events)
            self._changed.set()
        else:
            self.close(WatcherTooSlowError("the stream is read too slowly; watch again with the last cursor"))

    def close(self, error: PlacetError) -> None:
        """Drop the queue and make `next` raise the error. A second call has no effect."""
        self._closed_with = self._closed_with or error
        self._queue = []
        self._changed.set()


class Hub:
    """Publishes events of the ledger to subscribers. `on_error` receives errors of reading them."""

    def __init__(self, ledger: Ledger, on_error: Callable[[BaseException], None]) -> None:
        self._ledger = ledger
        self._on_error = on_error
        self._subscriptions: dict[Topic, set[Subscription]] = {}
        self._count = 0
        self._cursor: dict[str, int] | None = None  # events up to here were published; None without subscriptions
        self._woken = asyncio.Event()
        self._closed = False
        ledger.subscribe(self._woken.set)

    @property
    def subscription_count(self) -> int:
        """Return the number of subscriptions."""
        return self._count

    async def subscribe(self, topics: Sequence[Topic]) -> Subscription:
        """Return a subscription to all events of the topics that are committed from now on. End it by `unsubscribe`.

        Raises UnavailableError when the hub is closed, OverloadedError when there are WATCHERS_MAX subscriptions, and
        LedgerUnavailableError.
        """
        if self._closed:
            raise _stopping()
        if self._count >= WATCHERS_MAX:
            raise OverloadedError(RETRY_AFTER_MS)
        if self._cursor is None:
            heads = dict(await self._ledger.chain_heads())
            if not self._count:  # otherwise another subscriber set the cursor during the await
                self._cursor = heads
        subscription = Subscription(topics)
        self._count += 1
        for topic in topics:
            self._subscriptions.setdefault(topic, set()).add(subscription)
        self._woken.set()
        return subscription

    def unsubscribe(self, subscription: Subscription) -> None:
        """Remove a subscription. Call it exactly once for each."""
        self._count -= 1
        for topic in subscription.topics:
            subscribers = self._subscriptions[topic]
            subscribers.discard(subscription)
            if not subscribers:
                del self._subscriptions[topic]
        if not self._count:
            self._cursor = None

    async def run(self) -> None:
        """Publish new events until cancelled. After an error, read again from the same cursor."""
        while True:
            with contextlib.suppress(TimeoutError):
                async with asyncio.timeout(WATCH_POLL_SECONDS if self._count else None):
                    await self._woken.wait()
            self._woken.clear()
            try:
                await self._publish_new()
            except Exception as error:  # noqa: BLE001 - reported; read again after a pause, from the same cursor
                self._on_error(error)
                await asyncio.sleep(WATCH_POLL_SECONDS)
                self._woken.set()
            await asyncio.sleep(WATCH_READ_GAP_MS / 1_000)

    def close(self) -> None:
        """Close all subscriptions with UnavailableError and accept no new ones, because the server stops."""
        self._closed = True
        for subscription in {subscription for topic in self._subscriptions.values() for subscription in topic}:
            subscription.close(_stopping())

    async def _publish_new(self) -> None:
        """Publish all events after the cursor, in reads of WATCH_EVENTS_MAX."""
        while (cursor := self._cursor) is not None:
            events = await self._ledger.events(cursor, WATCH_EVENTS_MAX)
            if not events:
                return
            subscribed = [event for event in events if self._has_subscribers(event)]
            await self._publish(await subject_events(self._ledger, subscribed))
            self._cursor = {**cursor, **{event.writer: event.sequence for event in events}} if self._count else None

    def _has_subscribers(self, event: Event) -> bool:
        return (event.tenant, "") in self._subscriptions or (event.tenant, event.subject) in self._subscriptions

    async def _publish(self, events: Sequence[SubjectEvent]) -> None:
        """Offer the events to subscribers of one subject, one by one, then to subscribers of a tenant.

        Subscribers of a tenant receive only events of approvals, in parts of half a queue: one that keeps up always has
        room for a part.
        """
        for event in events:
            await self._offer((event.event.tenant, event.event.subject), [event])
        by_tenant: dict[str, list[SubjectEvent]] = {}
        for event in events:
            if event.approval is not None:
                by_tenant.setdefault(event.event.tenant, []).append(event)
        for tenant, of_tenant in by_tenant.items():
            for start in range(0, len(of_tenant), WATCH_QUEUE_MAX // 2):
                if start:
                    await asyncio.sleep(WATCH_NOTIFY_GAP_MS / 1_000)
                await self._offer((tenant, ""), of_tenant[start : start + WATCH_QUEUE_MAX // 2])

    async def _offer(self, topic: Topic, events: Sequence[SubjectEvent]) -> None:
        """Offer the events to all subscribers of the topic, WATCHERS_NOTIFIED_TOGETHER at a time."""
        subscribers = list(self._subscriptions.get(topic, ()))
        for start in range(0, len(subscribers), WATCHERS_NOTIFIED_TOGETHER):
            if start:
                await asyncio.sleep(WATCH_NOTIFY_GAP_MS / 1_000)
            for subscription in subscribers[start : start + WATCHERS_NOTIFIED_TOGETHER]:
                subscription.offer(events)


def _stopping() -> UnavailableError:
    return UnavailableError("the server is stopping; watch again with the last cursor")
