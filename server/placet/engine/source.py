"""Where a policy comes from. The policy folder is read only when it was unchanged for a moment.

A copy in progress is half a policy.
"""

from __future__ import annotations

import asyncio
import math
import time
from dataclasses import dataclass
from pathlib import Path  # noqa: TC003 - a field of a dataclass
from typing import TYPE_CHECKING, Final, Protocol

from watchfiles import awatch

from placet.kernel.errors import ConfigurationError, PolicyUnreadableError
from placet.policy.bundles.bundle import build_bundle
from placet.policy.checks.rules_apart import check_rules_apart
from placet.policy.files.folder import newest_change, source_digest
from placet.policy.files.git_commit import git_commit
from placet.policy.files.tree import content_digest

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Awaitable, Callable, Collection

    from placet.engine.served_revision import Engine
    from placet.policy.bundles.bundle import Bundle

CONFIRM_INTERVAL_SECONDS: Final = 5.0
"""Interval at which the files are read without a reported change. Each read confirms the served revision."""
QUIET_SECONDS: Final = 0.3
"""How long the files must be unchanged: longer than the pauses of a copy, short enough to wait for."""
QUIET_TRIES_MAX: Final = 100
"""Half a minute of changes without a pause. Then the policy is rejected and read again later."""


@dataclass(frozen=True, slots=True)
class Source:
    """Where the policy comes from, and how often it is read."""

    rego_dir: Path
    cache_dir: Path  # holds built bundles
    confirm_interval_seconds: float = CONFIRM_INTERVAL_SECONDS
    age_seconds_max: float = math.inf  # when the folder is unreadable for longer, its revision is stale


class PolicyReader(Protocol):
    """Reads the newest policy from where it is kept."""

    def changes(self, on_error: Callable[[BaseException], None]) -> AsyncIterator[None]:
        """Yield when the policy may have changed, and at intervals, without an end. `on_error` receives its errors."""
        ...

    async def changed(self) -> bool:
        """Whether the policy may have changed since `bundle`, or cannot be read."""
        ...

    def forget(self) -> None:
        """Make `changed` return true."""
        ...

    async def commit(self) -> str:
        """Return the git commit of the policy; "" when it is unknown."""
        ...

    async def bundle(self, needed: Collection[str]) -> Bundle:
        """Return the bundle of the newest policy, which passed every check.

        The cache keeps the revisions in `needed`. Raises PolicyInvalidError, PolicyUnreadableError and
        ConfigurationError.
        """
        ...


class PolicyFolder:
    """Reads bundles from a source. `on_cache_refused` receives cached files whose content does not match their name."""

    def __init__(self, source: Source, engine: Engine, on_cache_refused: Callable[[Path], Awaitable[None]]) -> None:
        self._source = source
        self._engine = engine
        self._on_cache_refused = on_cache_refused
        self._read_digest = ""
        self._read_before = False

    async def changes(self, on_error: Callable[[BaseException], None]) -> AsyncIterator[None]:
        """Yield at each reported change of the files, and at intervals, where changes are not reported."""
        seconds = self._source.confirm_interval_seconds
        milliseconds = max(1, int(seconds * 1_000))
        reported = ""
        while True:
            try:
                async for _ in awatch(self._source.rego_dir, rust_timeout=milliseconds, yield_on_timeout=True):
                    reported = ""
                    yield
            # The folder is missing, watches are exhausted, or (in a group) a file name is not text.
            except (OSError, RuntimeError, ExceptionGroup) as error:
                if reported != str(error):
                    reported = str(error)
                    on_error(error)
            await asyncio.sleep(seconds)
            yield

    def forget(self) -> None:
        """Make the next call of `changed` return true."""
        self._read_digest = ""

    async def commit(self) -> str:
        """Return the git commit that the folder was checked out from."""
        return await asyncio.to_thread(git_commit, self._source.rego_dir)

    async def changed(self) -> bool:
        """Whether the files may have changed since they were read, or cannot be read."""
        try:
            digest = await asyncio.to_thread(source_digest, self._source.rego_dir)
        except (PolicyUnreadableError, OSError):
            return True  # reading them reports why
        return digest != self._read_digest or not digest

    async def bundle(self, needed: Collection[str]) -> Bundle:
        """Build the bundle of files that were equal in two reads, QUIET_SECONDS apart.

        The first call does not pause when no file changed recently, so that a server starts immediately. The cache
        keeps the revisions in `needed`. Raises PolicyInvalidError, PolicyUnreadableError and ConfigurationError.
        """
        rego_dir = self._source.rego_dir
        self.forget()  # a failure below must not look like "unchanged"
        for _ in range(QUIET_TRIES_MAX):
            digest = await asyncio.to_thread(source_digest, rego_dir)
            before = await asyncio.to_thread(_content, rego_dir)
            if self._read_before or await asyncio.to_thread(_changed_recently, rego_dir):
                await asyncio.sleep(QUIET_SECONDS)
            if await asyncio.to_thread(_content, rego_dir) != before:
                continue
            self._read_digest = digest
            bundle = await self._build(needed)
            if bundle.tree is None or bundle.tree.digest == before:
                self._read_before = True
                return bundle
        raise ConfigurationError(
            f"{rego_dir}: keeps changing and was never unchanged for {QUIET_SECONDS} s, so it is not read; copy the "
            "files to another folder, then rename that folder"
        )

    async def _build(self, needed: Collection[str]) -> Bundle:
        """Build the bundle of the current files. Reports invalid cached files also when the build fails."""
        refused: list[Path] = []
        await asyncio.to_thread(self._engine.require_program)
        try:
            return await asyncio.to_thread(
                build_bundle,
                self._source.rego_dir,
                self._engine.opa,
                self._source.cache_dir,
                refused.append,
                needed,
                check_rules_apart,
            )
        finally:
            for path in refused:
                await self._on_cache_refused(path)


def _changed_recently(rego_dir: Path) -> bool:
    return abs(time.time() - newest_change(rego_dir)) < QUIET_SECONDS


def _content(rego_dir: Path) -> str:
    """Return the digest of the contents, or the error when the folder cannot be read."""
    try:
        return content_digest(rego_dir)
    except (PolicyUnreadableError, OSError) as error:
        return str(error)
