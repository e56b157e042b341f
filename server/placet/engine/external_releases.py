"""A policy served by an external OPA that pulls the releases which Placet reads too.

OPA and Placet read them at their own times. Placet verifies each release and keeps the tenants' files in it. The
revision that each answer of OPA names decides which of them are used: while OPA is behind, those of its revision. When
OPA is ahead, decisions wait for Placet, at most FOLLOW_SECONDS_MAX after the first such answer. An answer by a revision
that Placet does not accept is not used: every action is then denied.
"""

from __future__ import annotations

import asyncio
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Final

from placet.engine.accepted_releases import AcceptedReleases, Following
from placet.engine.canary import ask_canary
from placet.engine.external_revision import ExternalRevision
from placet.engine.refusals import Refused, load_or_refuse, watch_confirmation
from placet.kernel import rule_ids
from placet.kernel.errors import PolicyInvalidError
from placet.kernel.model import Indeterminate
from placet.policy.bundles.bundle import unchecked_bundle
from placet.revisions.status import EngineMode, PolicyEventKind, PolicyStatus, event_of, how_to_confirm

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable
    from pathlib import Path

    from placet.engine.client import OpaClient
    from placet.engine.source import PolicyReader
    from placet.kernel.clock import Clock
    from placet.policy.bundles.bundle import Bundle
    from placet.policy.bundles.removal_confirmation import RemovalConfirmation
    from placet.revisions.status import Hold, PolicyEvent

CHANGE_INTERVAL_SECONDS: Final = 0.1
"""Interval of the canary while OPA is expected to change its revision."""
CHANGE_SECONDS_MAX: Final = 10.0
"""How long such a change is expected. Later it is looked for at the usual interval."""
FOLLOW_SECONDS_MAX: Final = 3.0
"""How long decisions wait for the release of the revision that OPA serves, from the first answer that named it."""


@dataclass(frozen=True, slots=True)
class ExternalEngine:
    """How to ask an external OPA."""

    client: OpaClient
    timeout_seconds: float
    """Of one query."""
    canary_interval_seconds: float
    age_seconds_max: float
    on_failure: Callable[[str, str], None]
    """Receives (rule_id, cause) of answers that are not used because of their revision."""


class ExternalReleases:
    """A `PolicySource` over an external OPA and the releases that it pulls."""

    def __init__(
        self,
        engine: ExternalEngine,
        reader: PolicyReader,
        confirmation: RemovalConfirmation,
        root: Path,
        clock: Clock,
        listener: Callable[[PolicyEvent], Awaitable[None]],
        on_error: Callable[[BaseException], None],
    ) -> None:
        """Prepare the source. `root` is what problems name as the policy's folder."""
        self._engine = engine
        self._reader = reader
        self._confirmation = confirmation
        self._root = root
        self._clock = clock
        self._listener = listener
        self._on_error = on_error
        self._accepted = AcceptedReleases()
        self._served: ExternalRevision | None = None
        self._refused = self._opa_error = ""  # why the newest release, and what OPA serves, cannot be used
        self._readable = self._current = False  # whether a release could be read, and whether OPA serves the newest
        self._read_at = self._current_at = self._accepted_at = clock.monotonic()
        self._loading, self._looking = asyncio.Lock(), asyncio.Lock()
        self._following = Following("", 0.0)
        self._status = PolicyStatus(ready=False, engine_mode=EngineMode.EXTERNAL)

    def current(self) -> ExternalRevision | None:
        """Return the policy that decides now, or None when none does."""
        return self._served

    def status(self) -> PolicyStatus:
        """Return what is served, and why a newer policy is not."""
        age = self._clock.monotonic() - min(self._read_at, self._current_at)
        return self._status.at_age(age, self._engine.age_seconds_max, self._clock.wall_us())

    async def start(self) -> None:
        """Read the newest release and ask OPA once. Until both can be used, health is NOT_SERVING.

        When no release can be used, OPA may serve the policy that was served before this process started.
        """
        await self.check_now()
        if self._accepted.newest is None and (previous := await self._previous()) is not None:
            self._accepted.accept(previous)
            await self._look()

    async def check_now(self) -> None:
        """Read the newest release, and ask OPA."""
        async with self._loading:
            await self._reload()
        await self._look()

    async def run(self) -> None:
        """Follow the releases and OPA until cancelled."""
        async with asyncio.TaskGroup() as tasks:
            tasks.create_task(self._watch_releases(), name="placet-policy-source")
            tasks.create_task(self._watch_engine(), name="placet-policy-engine")
            confirmation = watch_confirmation(self._was_confirmed, self.check_now)
            tasks.create_task(confirmation, name="placet-policy-confirmation")

    async def close(self) -> None:
        """Close the connections."""
        self._following.close()
        self._engine.client.close()

    async def follow(self, revision: str) -> None:
        """Serve the revision that OPA answered with, and wait for that as long as it may happen."""
        if self._following.revision != revision:
            self._following.close()
            self._following = Following(revision, self._clock.monotonic() + FOLLOW_SECONDS_MAX)
            self._following.task = asyncio.create_task(self._catch_up(self._following))
        await self._following.wait(self._following.until - self._clock.monotonic())
        if not self._serves(revision):
            self._engine.on_failure(rule_ids.ANSWER_INVALID, self._not_usable(revision))

    async def _catch_up(self, following: Following) -> None:
        """Read what OPA has read, until its revision is served, or known to be held, or too much time has passed."""
        revision = following.revision
        while not self._serves(revision) and self._clock.monotonic() < following.until:
            if self._accepted.get(revision) is None:
                async with self._loading:
                    await self._reload()
            await self._look()
            if revision == self._status.held_revision:
                break
            await asyncio.sleep(CHANGE_INTERVAL_SECONDS)
        following.done.set()

    async def _watch_releases(self) -> None:
        async for _ in self._reader.changes(self._on_error):
            async with self._loading:
                if await self._reader.changed() or await self._was_confirmed():
                    await self._reload()
                else:
                    self._was_read()
            if self._accepted.newest is not None and not self._serves(self._accepted.newest.revision):
                await self._look()

    async def _was_confirmed(self) -> bool:
        held = self._status.held_as
        return bool(held) and await self._confirmation.confirmed(held)

    async def _watch_engine(self) -> None:
        while True:
            expected = not self._current and self._clock.monotonic() - self._accepted_at < CHANGE_SECONDS_MAX
            await asyncio.sleep(CHANGE_INTERVAL_SECONDS if expected else self._engine.canary_interval_seconds)
            await self._look()

    async def _reload(self) -> None:
        loaded = await load_or_refuse(self._load, self._reader, self._on_error)
        if not isinstance(loaded, Refused):
            self._refused = ""
            self._status = replace(self._status, reloads_accepted=self._status.reloads_accepted + loaded)
            self._was_read()
            return
        reported, self._refused = self._refused == loaded.why, loaded.why
        refusals = self._status.reloads_refused + (not reported)
        self._status = replace(self._status.without_held(), reloads_refused=refusals)
        if loaded.seen:
            self._was_read()
        else:
            self._readable = False
            self._show()
        if not reported:
            await self._report(PolicyEventKind.REFUSED, loaded.why)

    async def _load(self) -> bool:
        """Read the newest release, then accept it. Returns False when a person must confirm it first."""
        bundle = await self._reader.bundle(())
        newest = self._accepted.newest
        if newest is not None and newest.revision == bundle.revision:
            self._status = self._status.without_held()
            self._confirmation.note_release(bundle)
            return True
        hold = await self._hold_of(bundle, newest)
        if hold.reasons:
            await self._hold(bundle, hold)
            return False
        self._accepted.accept(bundle)
        self._accepted_at, self._current = self._clock.monotonic(), False
        self._status = self._status.without_held()
        return True

    async def _hold_of(self, bundle: Bundle, newest: Bundle | None) -> Hold:
        if newest is not None:
            return await self._confirmation.hold_after(newest.tree, bundle)
        return await self._confirmation.hold_since(await self._confirmation.previous(self._root), bundle)

    async def _hold(self, bundle: Bundle, hold: Hold) -> None:
        reported = self._status.held_revision == bundle.revision
        now = self._clock.wall_us()
        self._status = self._status.with_held(bundle.revision, hold, now)
        if self._served is None:  # people and agents are then distinguished by its tenants
            self._status = replace(self._status, tenants=tuple(sorted(bundle.agent_policies)))
        if not reported:
            await self._report(PolicyEventKind.HELD, "\n".join(hold.reasons))

    async def _previous(self) -> Bundle | None:
        """Return the policy that was served before this process started; None when it is not known."""
        tree = (await self._confirmation.previous(self._root)).tree
        try:
            return await asyncio.to_thread(unchecked_bundle, tree) if tree is not None else None
        except PolicyInvalidError as error:  # a newer Placet takes it no longer
            self._on_error(error)
            return None

    async def _look(self) -> None:
        """Ask the canary, and decide by the revision that it names if that is accepted."""
        async with self._looking:
            verdict = await ask_canary(self._engine.client, self._engine.timeout_seconds, "")
            if isinstance(verdict, Indeterminate):
                await self._unusable(f"{verdict.rule_id}: {verdict.cause}")
            elif (bundle := self._accepted.get(verdict.policy_revision)) is not None:
                await self._usable(bundle)
            else:
                await self._unusable(self._not_usable(verdict.policy_revision))

    async def _usable(self, bundle: Bundle) -> None:
        newest = self._accepted.newest
        self._current = newest is not None and newest.revision == bundle.revision
        if self._current:
            self._current_at = self._clock.monotonic()
        was_ready, self._opa_error = self._status.ready, ""
        self._status = replace(self._status, ready=True)
        if not self._serves(bundle.revision):
            await self._activate(bundle)
            return
        self._show()
        if not was_ready:
            await self._report(PolicyEventKind.READY)

    async def _activate(self, bundle: Bundle) -> None:
        """Decide by the bundle, which OPA serves, from now on."""
        self._served = ExternalRevision(bundle, self._engine.client, self._clock.monotonic(), self.follow)
        self._accepted.serve(bundle.revision)
        tenants, now = tuple(sorted(bundle.agent_policies)), self._clock.wall_us()
        self._status = replace(
            self._status,
            revision=bundle.revision,
            tenants=tenants,
            git_commit=bundle.git_commit,
            pusher=bundle.pusher,
            loaded_at_us=now,
        )
        self._show()
        source = await self._confirmation.remember(bundle)
        await self._listener(event_of(PolicyEventKind.ACTIVATED, self.status(), source=source))

    async def _unusable(self, error: str) -> None:
        reported, self._opa_error = self._opa_error == error, error
        self._current = False
        self._status = replace(self._status, ready=False)
        self._show()
        if not reported:
            await self._report(PolicyEventKind.NOT_READY, error)

    def _serves(self, revision: str) -> bool:
        return self._served is not None and self._served.revision == revision

    def _not_usable(self, revision: str) -> str:
        """Return why the answers of a revision are not used."""
        if revision == self._status.held_revision:
            return f"OPA serves the revision {revision}, which is held; run {how_to_confirm(revision)}"
        newest = self._accepted.newest
        expected = f"accepted {newest.revision} last" if newest is not None else "accepted none"
        return f"OPA serves the revision {revision}, but Placet {expected}; give both the same bundle"

    def _was_read(self) -> None:
        self._read_at, self._readable = self._clock.monotonic(), True
        self._show()

    def _show(self) -> None:
        """Update the status. What is served ages while no release can be read, or OPA does not serve the newest."""
        now = self._clock.wall_us()
        if error := "\n".join(filter(None, (self._refused, self._opa_error))):
            since = self._status.refused_since_us or now
            self._status = replace(self._status, last_error=error, last_error_at_us=now, refused_since_us=since)
        else:
            self._status = replace(self._status, last_error="", last_error_at_us=0, refused_since_us=0)
        if self._served is not None:
            self._served.confirmed_at = min(self._read_at, self._current_at)
        fresh = self._readable and self._current
        self._status = self._status.with_source_seen(now) if fresh else self._status.with_source_unseen(now)

    async def _report(self, kind: PolicyEventKind, detail: str = "") -> None:
        await self._listener(event_of(kind, self.status(), detail))
