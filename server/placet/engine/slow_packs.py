"""Finds the rule pack that makes an input slow: asks each pack alone about an input that took long.

This happens after the decision, in the background: at most one input at a time, and one of each tool in a while.
"""

from __future__ import annotations

import asyncio
import re
import time
from typing import TYPE_CHECKING, Final

import orjson

from placet.engine.http import AnswerTooLargeError, ConnectionFailedError
from placet.revisions.status import SlowPack

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

    from placet.engine.connections import Connections

AGAIN_SECONDS: Final = 60.0
"""How long after a slow input of a tool the next one of that tool is examined."""
REST_SECONDS: Final = 2.0
"""Pause between two inputs, so that this takes little of the CPU from decisions."""
_PACKAGE: Final = re.compile(rb"^package (policy\.\w+|placet\.baseline\.\w+)$", re.ASCII | re.MULTILINE)


def packs_of(modules: Mapping[str, bytes]) -> tuple[str, ...]:
    """Return the packages of the packs among the modules, sorted: ``policy.refunds``."""
    found = {match.group(1).decode() for content in modules.values() for match in _PACKAGE.finditer(content)}
    return tuple(sorted(found))


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
        self._next_at: dict[str, float] = {}  # by tool
        self._task: asyncio.Task[None] | None = None

    @property
    def found(self) -> tuple[SlowPack, ...]:
        """The slowest input of each pack that was slow, the slowest pack first."""
        return tuple(sorted(self._slowest.values(), key=lambda pack: -pack.seconds))

    def examine(self, single: bytes, connections: Connections) -> None:
        """Find out which pack makes the input slow, in the background. Does nothing when that is known or under way."""
        if not self._packs or (self._task is not None and not self._task.done()):
            return
        document = orjson.loads(single)
        tool, tenant = document["action"]["tool"], document["identity"]["tenant"]
        now = self._monotonic()
        self._next_at = {name: due for name, due in self._next_at.items() if due > now}
        if tool in self._next_at:
            return
        self._next_at[tool] = now + AGAIN_SECONDS
        work = self._examine(single, tool, tenant, connections)
        self._task = asyncio.create_task(work, name="placet-slow-packs")

    async def close(self) -> None:
        """Stop what is under way."""
        if self._task is not None:
            self._task.cancel()
            await asyncio.wait({self._task})

    async def _examine(self, single: bytes, tool: str, tenant: str, connections: Connections) -> None:
        slowest = None
        for pack in self._packs:
            try:
                seconds, ended = await self._seconds_of(pack, single, connections)
            except (OSError, ConnectionFailedError, AnswerTooLargeError):
                return  # OPA ended, or says more than a decision may: the decision itself reports that
            if slowest is None or seconds > slowest.seconds:
                slowest = SlowPack(pack, tool, tenant, seconds, ended, len(single))
        if slowest is None:
            return
        known = self._slowest.get(slowest.pack)
        if known is None or slowest.seconds >= known.seconds:
            self._slowest[slowest.pack] = slowest
        self._on_found(slowest)
        await asyncio.sleep(REST_SECONDS)

    async def _seconds_of(self, pack: str, single: bytes, connections: Connections) -> tuple[float, bool]:
        """Return how long the pack takes for the input, and whether it ended within the time limit."""
        began = self._monotonic()
        try:
            async with asyncio.timeout(self._timeout):
                path = f"/v1/data/{pack.replace('.', '/')}"
                await connections.request("POST", path, b'{"input":%b}' % single)
        except TimeoutError:
            return self._timeout, False
        return self._monotonic() - began, True
