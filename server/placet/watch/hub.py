"""One look at what happens, for all who wait for something.

A hub reads the records that have a subject once for all watchers of its server: when the ledger wakes it, and every
WATCH_POLL_SECONDS in case nothing did. While nobody watches, it reads nothing.

Telling a watcher costs some 0.1 ms of the event loop that decides. So a few are told at a time, and decisions go on in
between; what happens meanwhile is told together the next time.
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
    WATCH_POLL_SECONDS,
    WATCH_QUEUE_MAX,
    WATCH_READ_GAP_MS,
    WATCH_TELL_GAP_MS,
    WATCHERS_MAX,
    WATCHERS_TOLD_TOGETHER,
)
from placet.kernel.state import ReadSet

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from placet.approvals.model import Approval
    from placet.audit.ports import Ledger
    from placet.kernel.errors import PlacetError
    from placet.kernel.state import Event

Topic = tuple[str, str]
"""Tenant and subject; subject "" is everything of the tenant."""


@dataclass(frozen=True, slots=True)
class SubjectEvent:
    """Something that happened, and the approval that it is about as it stands now; None when it is about none."""

    event: Event
    approval: Approval | None


async def subject_events(ledger: Ledger, events: Sequence[Event]) -> list[SubjectEvent]:
    """The events with the approvals that they are about, in one look. LedgerUnavailableError."""
    keys = {approval_key(each.tenant, each.subject) for each in events if is_approval_id(each.subject)}
    rows = (await ledger.load(ReadSet(sorted(keys)))).rows if keys else {}
    approvals = {(key.tenant, key.id): from_row(row) for key, row in rows.items()}
    return [SubjectEvent(each, approvals.get((each.tenant, each.subject))) for each in events]


class Subscription:
    """What one watcher was not told yet."""

    def __init__(self, topics: Sequence[Topic]) -> None:
        self.topics = topics
        self._waiting: list[SubjectEvent] = []
        self._moved = asyncio.Event()
        self._end: PlacetError | None = None

    async def next(self, seconds: float | None = None) -> list[SubjectEvent]:
        """All that happened since it was asked last, at least one thing; nothing when nothing did for so long.

        WatcherTooSlowError, UnavailableError: it is told nothing more, and goes on elsewhere with its cursor.
        """
        while not self._waiting and self._end is None:
            self._moved.clear()
            try:
                async with asyncio.timeout(seconds):
                    await self._moved.wait()
            except TimeoutError:
                return []
        if self._end is not None:
            raise self._end
        happened, self._waiting = self._waiting, []
        return happened

    def give(self, happened: Sequence[SubjectEvent]) -> None:
        """Tell it, as soon as it asks."""
        if self._end is not None:
            return
        if len(self._waiting) + len(happened) <= WATCH_QUEUE_MAX:
            self._waiting.extend(happened)
            self._moved.set()
        else:
            self.end(WatcherTooSlowError("more happened than this stream was read for; go on with the last cursor"))

    def end(self, why: PlacetError) -> None:
        """Tell it nothing more."""
        self._end = self._end or why
        self._waiting = []
        self._moved.set()


class Hub:
    """Hands what happens to those who watch for it. `on_error` is told when it could not look."""

    def __init__(self, ledger: Ledger, on_error: Callable[[BaseException], None]) -> None:
        self._ledger = ledger
        self._on_error = on_error
        self._watchers: dict[Topic, set[Subscription]] = {}
        self._count = 0
        self._cursor: dict[str, int] | None = None
        self._woken = asyncio.Event()
        self._closed = False
        ledger.subscribe(self._woken.set)

    @property
    def watchers(self) -> int:
        """How many watch."""
        return self._count

    async def watch(self, topics: Sequence[Topic]) -> Subscription:
        """A watcher of these topics, until `leave`. It is told of all that is committed from now on.

        UnavailableError, OverloadedError when there are WATCHERS_MAX, LedgerUnavailableError.
        """
        if self._closed:
            raise UnavailableError("the server is stopping; go on with the last cursor")
        if self._count >= WATCHERS_MAX:
            raise OverloadedError(RETRY_AFTER_MS)
        if self._cursor is None:
            heads = dict(await self._ledger.chain_heads())
            if not self._count:  # else somebody else set it meanwhile, and is told from there on
                self._cursor = heads
        watcher = Subscription(topics)
        self._count += 1
        for topic in topics:
            self._watchers.setdefault(topic, set()).add(watcher)
        self._woken.set()
        return watcher

    def leave(self, watcher: Subscription) -> None:
        """Tell the watcher nothing more."""
        self._count -= 1
        for topic in watcher.topics:
            of_topic = self._watchers[topic]
            of_topic.discard(watcher)
            if not of_topic:
                del self._watchers[topic]
        if not self._count:
            self._cursor = None

    async def run(self) -> None:
        """Look, whenever something may have happened, until cancelled."""
        while True:
            with contextlib.suppress(TimeoutError):
                async with asyncio.timeout(WATCH_POLL_SECONDS if self._count else None):
                    await self._woken.wait()
            self._woken.clear()
            try:
                await self._look()
            except Exception as fault:  # noqa: BLE001 - looked again after a while, from the same cursor
                self._on_error(fault)
                await asyncio.sleep(WATCH_POLL_SECONDS)
                self._woken.set()
            await asyncio.sleep(WATCH_READ_GAP_MS / 1_000)

    def close(self) -> None:
        """Send all watchers away, and take no more."""
        self._closed = True
        for watcher in {each for of_topic in self._watchers.values() for each in of_topic}:
            watcher.end(UnavailableError("the server is stopping; go on with the last cursor"))

    async def _look(self) -> None:
        """Hand out all that happened since the last look."""
        while (cursor := self._cursor) is not None:
            events = await self._ledger.events(cursor, WATCH_EVENTS_MAX)
            if not events:
                return
            asked = [each for each in events if self._is_watched(each)]
            await self._tell(await subject_events(self._ledger, asked))
            self._cursor = {**cursor, **{each.writer: each.sequence for each in events}} if self._count else None

    def _is_watched(self, event: Event) -> bool:
        return (event.tenant, "") in self._watchers or (event.tenant, event.subject) in self._watchers

    async def _tell(self, happened: Sequence[SubjectEvent]) -> None:
        """Hand it out: first to those who watch one subject, each event in turn; then to those who watch a tenant.

        The latter are told of approvals alone, all of them at once, in parts that a watcher who keeps up has room for.
        """
        for each in happened:
            await self._give((each.event.tenant, each.event.subject), [each])
        of_tenants: dict[str, list[SubjectEvent]] = {}
        for each in happened:
            if each.approval is not None:
                of_tenants.setdefault(each.event.tenant, []).append(each)
        for tenant, about in of_tenants.items():
            for start in range(0, len(about), WATCH_QUEUE_MAX // 2):
                if start:
                    await asyncio.sleep(WATCH_TELL_GAP_MS / 1_000)
                await self._give((tenant, ""), about[start : start + WATCH_QUEUE_MAX // 2])

    async def _give(self, topic: Topic, happened: Sequence[SubjectEvent]) -> None:
        """Give it to all who watch the topic, a few at a time."""
        watchers = list(self._watchers.get(topic, ()))
        for start in range(0, len(watchers), WATCHERS_TOLD_TOGETHER):
            if start:
                await asyncio.sleep(WATCH_TELL_GAP_MS / 1_000)
            for watcher in watchers[start : start + WATCHERS_TOLD_TOGETHER]:
                watcher.give(happened)
