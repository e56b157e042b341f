"""Read the policy from releases at an address. A release is verified, and built again, before it is served."""

from __future__ import annotations

import asyncio
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Final, Protocol

from placet.engine.download import DownloadError
from placet.kernel.errors import ConfigurationError, Diagnostic, PolicyInvalidError, PolicyUnreadableError
from placet.policy.bundles.bundle import Bundle, bundle_of, unchecked_bundle
from placet.policy.bundles.release import read_release
from placet.policy.bundles.signatures import read_verification_keys
from placet.policy.checks.rules_apart import check_rules_apart
from placet.revisions.pushed import UNKNOWN_PUSHER
from placet.scheduling.daemon_thread import run_in_daemon_thread

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Awaitable, Callable, Collection
    from pathlib import Path

    from placet.engine.download import Download, Releases
    from placet.engine.served_revision import Engine
    from placet.engine.source import Source
    from placet.policy.bundles.release import Release

POLL_SECONDS: Final = 1.0
"""Interval of requests to a server that does not wait for a change, and after an error."""


@dataclass(frozen=True, slots=True)
class Published:
    """Where releases are published, and whose signature they need."""

    url: str
    releases: Releases
    verification_key: Path | None  # PEM with one or more public keys; None: releases need no signature


@dataclass(frozen=True, slots=True)
class _Asked:
    """The result of one request to the address."""

    waits: bool = False  # whether it waits for a change, so that it may be asked again at once
    changed: bool = False  # whether it had another release


class Build(Protocol):
    """Builds the bundle of a release. Blocks."""

    def __call__(self, release: Release, needed: Collection[str], on_mismatch: Callable[[Path], None], /) -> Bundle:
        """Return the bundle. `needed` and `on_mismatch` are as in `build_bundle`, and so are the errors."""
        ...


class PolicyUrl:
    """Reads bundles from an address, as `PolicyFolder` does from a folder.

    What was received is never served as it is: a release whose signature holds is built again here, and must give the
    revision that it names.
    """

    def __init__(
        self,
        published: Published,
        source: Source,
        build: Build,
        on_cache_refused: Callable[[Path], Awaitable[None]],
    ) -> None:
        self._published = published
        self._source = source
        self._build = build
        self._on_cache_refused = on_cache_refused
        self._content: bytes | None = None  # the newest that was received completely
        self._pusher = UNKNOWN_PUSHER  # of that
        self._tag = ""
        self._outcome: Bundle | PolicyInvalidError | None = None  # what `_content` gave; None: not known yet
        self._fresh = False  # whether the address was asked since the last `bundle`

    async def changes(self, on_error: Callable[[BaseException], None]) -> AsyncIterator[None]:
        """Yield after each answer of the address, at least every `confirm_interval_seconds` plus its answer."""
        loop = asyncio.get_running_loop()
        while True:
            began = loop.time()
            try:
                asked = await self._poll(self._source.confirm_interval_seconds)
            except Exception as error:  # noqa: BLE001 - the next request may succeed
                on_error(error)
                asked = _Asked()
            took = loop.time() - began
            yield
            if not asked.waits or not (asked.changed or took >= POLL_SECONDS):
                await asyncio.sleep(min(POLL_SECONDS, self._source.confirm_interval_seconds))

    async def changed(self) -> bool:
        """Whether another release was received, or the address cannot be read."""
        return self._outcome is None or isinstance(self._outcome, PolicyUnreadableError)

    def forget(self) -> None:
        """Make `bundle` build the newest release again."""
        if not isinstance(self._outcome, PolicyUnreadableError):
            self._outcome = None

    async def commit(self) -> str:
        """Return the git commit of the newest release."""
        return self._outcome.git_commit if isinstance(self._outcome, Bundle) else ""

    async def bundle(self, needed: Collection[str]) -> Bundle:
        """Return the bundle of the newest release.

        The cache keeps the revisions in `needed`. Raises PolicyUnreadableError when there is no release that can be
        trusted, PolicyInvalidError when it cannot be served, and ConfigurationError.
        """
        if not self._fresh:
            await self._poll(0.0)
        self._fresh = False
        content = self._content
        if self._outcome is None and content is not None:
            outcome = await self._evaluate(content, needed)
            if content is self._content:  # else a newer one was received during that time
                self._outcome = outcome
            elif isinstance(outcome, Bundle):
                return outcome
        if isinstance(self._outcome, PolicyInvalidError):
            raise type(self._outcome)(self._outcome.problems)
        if self._outcome is None:
            raise PolicyUnreadableError([Diagnostic(self._published.url, "changed while it was read")])
        return self._outcome

    async def _poll(self, wait_seconds: float) -> _Asked:
        """Ask the address once."""
        published, tag = self._published, self._tag
        try:
            received: Download = await run_in_daemon_thread(
                lambda: published.releases.get(tag, wait_seconds), "placet-policy-url"
            )
        except (DownloadError, ConfigurationError) as error:
            self._tag, self._content = "", None
            self._outcome = PolicyUnreadableError([Diagnostic(published.url, str(error))])
            self._fresh = True
            return _Asked()
        self._fresh = True
        changed = received.content is not None and received.content != self._content
        if received.content is not None:
            self._tag = received.tag
            if changed:
                self._content, self._pusher, self._outcome = received.content, received.pusher, None
        return _Asked(received.waits, changed)

    async def _evaluate(self, content: bytes, needed: Collection[str]) -> Bundle | PolicyInvalidError:
        """Return the bundle of a release, or why it is not served. Raises ConfigurationError and OSError."""
        refused: list[Path] = []
        pusher = self._pusher
        try:
            bundle = await asyncio.to_thread(self._bundle, content, needed, refused.append)
            return replace(bundle, pusher=pusher)
        except PolicyInvalidError as error:
            where = Diagnostic(self._published.url, "is not served", "publish a bundle that passes the checks")
            return type(error)([where, *error.problems])
        finally:
            for path in refused:
                await self._on_cache_refused(path)

    def _bundle(self, content: bytes, needed: Collection[str], on_mismatch: Callable[[Path], None]) -> Bundle:
        key = self._published.verification_key
        release = read_release(content, read_verification_keys(key) if key is not None else ())
        bundle = self._build(release, needed, on_mismatch)
        release.require_revision(bundle)
        return replace(bundle, git_commit=release.git_commit, created_at_us=release.created_at_us)


def checked_by(engine: Engine, cache_dir: Path) -> Build:
    """Return what builds and checks releases for an OPA of this server."""

    def build(release: Release, needed: Collection[str], on_mismatch: Callable[[Path], None]) -> Bundle:
        engine.require_program()
        return bundle_of(release.tree, engine.opa, cache_dir, on_mismatch, needed, check_rules_apart)

    return build


def loaded_elsewhere(release: Release, _needed: Collection[str], _on_mismatch: Callable[[Path], None]) -> Bundle:
    """Build a release that an external OPA loads as it is. Its rules were checked when it was released.

    Raises PolicyInvalidError when OPA would load something else than was built from the files in it.
    """
    bundle = unchecked_bundle(release.tree)
    release.require_revision(bundle)
    release.require_loaded(bundle)
    return bundle
