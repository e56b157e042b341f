"""The policy folder, read when it rests: what is being copied at this moment is not half a policy."""

from __future__ import annotations

import asyncio
import math
import time
from dataclasses import dataclass
from pathlib import Path  # noqa: TC003 - a field of a dataclass
from typing import TYPE_CHECKING, Final

from placet.kernel.errors import ConfigurationError, PolicyUnreadableError
from placet.policy.bundles.bundle import build_bundle, source_digest
from placet.policy.files.tree import content_digest, newest_change

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable, Collection

    from placet.engine.generation import Engine
    from placet.policy.bundles.bundle import Bundle

CONFIRM_INTERVAL_SECONDS: Final = 5.0
"""How often the files are looked at when no change was reported: what confirms the served revision as current."""
QUIET_SECONDS: Final = 0.3
"""How long the files have to stay as they are before they are served: longer than a copy pauses between two writes,
short enough to wait for."""
QUIET_TRIES_MAX: Final = 100
"""Half a minute of changes without a pause; then it is told, and looked at again later."""


@dataclass(frozen=True, slots=True)
class Source:
    """Where policy comes from, where its bundles are kept, and how often it is looked at without being told.

    A revision whose folder could not be seen for longer than `age_seconds_max` decides no longer.
    """

    rego_dir: Path
    cache_dir: Path
    confirm_interval_seconds: float = CONFIRM_INTERVAL_SECONDS
    age_seconds_max: float = math.inf


class PolicyFolder:
    """Reads bundles from a source. `on_cache_refused` is told of cached files that are not what their name says."""

    def __init__(self, source: Source, engine: Engine, on_cache_refused: Callable[[Path], Awaitable[None]]) -> None:
        self._source = source
        self._engine = engine
        self._on_cache_refused = on_cache_refused
        self._seen = ""
        self._read_before = False

    def forget(self) -> None:
        """Take the next look for a change."""
        self._seen = ""

    async def changed(self) -> bool:
        """Whether the files may be others than those that were read last, or cannot be seen at all."""
        try:
            found = await asyncio.to_thread(source_digest, self._source.rego_dir)
        except (PolicyUnreadableError, OSError):
            return True  # reading them says why
        return found != self._seen or not found

    async def bundle(self, needed: Collection[str]) -> Bundle:
        """The bundle of files that were read twice, alike, QUIET_SECONDS apart.

        The first time without a pause when nobody changed them lately, so that a server starts at once.

        Raises PolicyInvalidError, PolicyUnreadableError and ConfigurationError.
        """
        rego_dir = self._source.rego_dir
        self.forget()  # until they were read, also when they never will be
        for _ in range(QUIET_TRIES_MAX):
            seen = await asyncio.to_thread(source_digest, rego_dir)
            before = await asyncio.to_thread(_content, rego_dir)
            if self._read_before or await asyncio.to_thread(_changed_lately, rego_dir):
                await asyncio.sleep(QUIET_SECONDS)
            if await asyncio.to_thread(_content, rego_dir) != before:
                continue
            self._seen = seen
            built = await self._built(needed)
            if built.tree is None or built.tree.digest == before:
                self._read_before = True
                return built
        raise ConfigurationError(
            f"{rego_dir}: changes all the time, never resting for {QUIET_SECONDS} s, so it is not read; copy the files "
            "elsewhere, and rename the folder when it is whole"
        )

    async def _built(self, needed: Collection[str]) -> Bundle:
        """The bundle of the files as they are. What the cache held under a wrong name is told in any case."""
        refused: list[Path] = []
        await asyncio.to_thread(self._engine.require_program)
        try:
            return await asyncio.to_thread(
                build_bundle, self._source.rego_dir, self._engine.opa, self._source.cache_dir, refused.append, needed
            )
        finally:
            for path in refused:
                await self._on_cache_refused(path)


def _changed_lately(rego_dir: Path) -> bool:
    return abs(time.time() - newest_change(rego_dir)) < QUIET_SECONDS


def _content(rego_dir: Path) -> str:
    """Digest of the contents; of a folder that cannot be read, why not."""
    try:
        return content_digest(rego_dir)
    except (PolicyUnreadableError, OSError) as error:
        return str(error)
