"""Finds the rule pack that makes an input slow: asks each pack alone about an input that took long.

This happens after the decision, in the background: at most one input at a time, and one of each tool in a while,
unless a later one is much worse.
"""

from __future__ import annotations

import asyncio
import re
import time
from dataclasses import dataclass
from typing import TYPE_CHECKING, Final

import orjson

from placet.engine.http import AnswerTooLargeError, ConnectionFailedError
from placet.revisions.status import SlowPack

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

    from placet.engine.connections import Connections

AGAIN_SECONDS: Final = 60.0
"""How long after a slow input of a tool the next one of that tool is examined, unless it is worse."""
WORSE_FACTOR: Final = 2
"""An input that is so many times as large is worse. So is the first one that was not answered in time."""
SLOW_SHARE: Final = 0.1
"""Share of the time limit that a slow pack takes at least. With less, the machine was busy, and no pack is slow."""
REST_SECONDS: Final = 2.0
"""Pause between two inputs, so that this takes little of the CPU from decisions."""
_PACKAGE: Final = re.compile(rb"^package (policy\.\w+|placet\.baseline\.\w+)$", re.ASCII | re.MULTILINE)


def packs_of(modules: Mapping[str, bytes]) -> tuple[str, ...]:
    """Return the packages of the packs among the modules, sorted: ``policy.refunds``."""
    found = {match.group(1).decode() for content in modules.values() for match in _PACKAGE.finditer(content)}
    return tuple(sorted(found))


@dataclass(frozen=True, slots=True)
class _Input:
    """A slow input."""

    single: bytes
    connections: Connections
    timed_out: bool
    tool: str
    tenant: str

    @property
    def weight(self) -> tuple[bool, int]:
        """The larger, the more worth knowing."""
        return self.timed_out, len(self.single)


@dataclass(frozen=True, slots=True)
class _Examined:
    """What was examined last of a tool, and when the next one is due."""

    due_at: float
    size: int
    timed_out: bool


class SlowPacks:
    """Examines slow inputs of one revision, and keeps the slowest one of each pack."""

    def __init__(
        self,
        packs: tuple[str, ...],
        timeout_seconds: float,
        on_found: Callable[[SlowPack], None],
        monotonic: Callable[[], float] = time.monotonic,
    ) -> None:
        """`timeout_seconds` limits the time of one pack. `on_found` receives the slowest pack of each input."""
        self._packs = packs
        self._timeout = timeout_seconds
        self._on_found = on_found
        self._monotonic = monotonic
        self._slowest: dict[str, SlowPack] = {}
        self._examined: dict[str, _Examined] = {}  # by tool
        self._waiting: _Input | None = None
        self._task: asyncio.Task[None] | None = None

    @property
    def found(self) -> tuple[SlowPack, ...]:
        """The slowest input of each pack that was slow, the slowest pack first."""
        return tuple(sorted(self._slowest.values(), key=lambda pack: -pack.seconds))

    def examine(self, single: bytes, connections: Connections, *, timed_out: bool = False) -> None:
        """Find out which pack makes the input slow, in the background. Does nothing when that is known.

        `timed_out`: it was not answered in time. While one is examined, the worst of the others waits.
        """
        if not self._packs:
            return
        document = orjson.loads(single)
        asked = _Input(single, connections, timed_out, document["action"]["tool"], document["identity"]["tenant"])
        if not self._is_due(asked):
            return
        if self._task is None or self._task.done():
            self._task = asyncio.create_task(self._examine_all(asked), name="placet-slow-packs")
        elif self._waiting is None or asked.weight > self._waiting.weight:
            self._waiting = asked

    async def close(self) -> None:
        """Stop what is under way."""
        if self._task is not None:
            self._task.cancel()
            await asyncio.wait({self._task})

    def _is_due(self, asked: _Input) -> bool:
        now = self._monotonic()
        self._examined = {tool: last for tool, last in self._examined.items() if last.due_at > now}
        last = self._examined.get(asked.tool)
        if last is None or (asked.timed_out and not last.timed_out):
            return True
        return asked.timed_out >= last.timed_out and len(asked.single) >= WORSE_FACTOR * last.size

    async def _examine_all(self, asked: _Input | None) -> None:
        """Examine the input, and then each one that waits."""
        while asked is not None:
            if self._is_due(asked):
                due_at = self._monotonic() + AGAIN_SECONDS
                self._examined[asked.tool] = _Examined(due_at, len(asked.single), asked.timed_out)
                await self._examine(asked)
                await asyncio.sleep(REST_SECONDS)
            asked, self._waiting = self._waiting, None

    async def _examine(self, asked: _Input) -> None:
        slowest = None
        for pack in self._packs:
            try:
                seconds, ended = await self._seconds_of(pack, asked)
            except (OSError, ConnectionFailedError, AnswerTooLargeError):
                return  # OPA ended, or says more than a decision may: the decision itself reports that
            if slowest is None or seconds > slowest.seconds:
                slowest = SlowPack(pack, asked.tool, asked.tenant, seconds, ended, len(asked.single))
        if slowest is None or slowest.seconds < SLOW_SHARE * self._timeout:
            return
        known = self._slowest.get(slowest.pack)
        if known is None or slowest.seconds >= known.seconds:
            self._slowest[slowest.pack] = slowest
        self._on_found(slowest)

    async def _seconds_of(self, pack: str, asked: _Input) -> tuple[float, bool]:
        """Return how long the pack takes for the input, and whether it ended within the time limit."""
        began = self._monotonic()
        try:
            async with asyncio.timeout(self._timeout):
                path = f"/v1/data/{pack.replace('.', '/')}"
                await asked.connections.request("POST", path, b'{"input":%b}' % asked.single)
        except TimeoutError:
            return self._timeout, False
        return self._monotonic() - began, True
