"""A policy served by a managed OPA. Placet starts, watches and restarts OPA, and reloads the policy when it changes.

A new revision is built, checked, started beside the old one and asked the canary; then it takes over. A failure on the
way changes only the status, the log and the metrics.
"""

from __future__ import annotations

import asyncio
from dataclasses import replace
from typing import TYPE_CHECKING, Final

from placet.engine.policy_url import PolicyUrl, Published, checked_by
from placet.engine.refusals import Refused, load_or_refuse, refused_by, watch_confirmation
from placet.engine.served_revision import Engine, ServedRevision
from placet.engine.source import PolicyFolder, PolicyReader, Source
from placet.kernel.collector import keep_from_collector
from placet.kernel.errors import PolicyInvalidError
from placet.policy.bundles.bundle import bundle_of
from placet.policy.checks.rules_apart import check_rules_apart
from placet.revisions.status import EngineMode, Hold, PolicyEvent, PolicyEventKind, PolicyStatus, event_of

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable
    from pathlib import Path

    from placet.kernel.clock import Clock
    from placet.policy.bundles.bundle import Bundle
    from placet.policy.bundles.removal_confirmation import RemovalConfirmation
    from placet.policy.files.tree import PolicyTree

CANARY_INTERVAL_SECONDS: Final = 1.0
CANARY_MISSES_MAX: Final = 3
"""Failed canaries in a row before OPA is restarted: one may coincide with a pause of the machine."""
RESTART_BACKOFF_SECONDS: Final = (0.0, 0.1, 0.2, 0.5, 1.0, 2.0, 5.0)
STEADY_SECONDS: Final = 30.0
"""An OPA that ran for this long is restarted immediately; one that died sooner, with increasing delays."""
NOT_AS_BUILT: Final = "does not match its name, so it was not used; check who can write there"


class ManagedPolicies:
    """A `PolicySource` with a managed OPA."""

    def __init__(
        self,
        source: Source,
        engine: Engine,
        clock: Clock,
        listener: Callable[[PolicyEvent], Awaitable[None]],
        on_error: Callable[[BaseException], None],
        engine_version: str,
        confirmation: RemovalConfirmation | None = None,
        published: Published | None = None,
    ) -> None:
        """Prepare the source; `start` loads the first policy.

        With `published` the policy is read from there, and not from the folder of the source. `listener` receives all
        events in order, `on_error` internal errors. With a `confirmation`, a policy that removes restrictions of the
        served one, or is older, is held until a person confirms it.
        """
        self._source = source
        self._engine = engine
        self._clock = clock
        self._listener = listener
        self._on_error = on_error
        self._reader: PolicyReader = (
            PolicyUrl(published, source, checked_by(engine, source.cache_dir), self._cache_refused)
            if published is not None
            else PolicyFolder(source, engine, self._cache_refused)
        )
        self._confirmation = confirmation
        self._published = published is not None
        self._loading = asyncio.Lock()
        self._served: ServedRevision | None = None
        self._serving = asyncio.Event()
        self._restarts = 0
        self._restarted_at = clock.monotonic()
        self._status = PolicyStatus(ready=False, engine_mode=EngineMode.MANAGED, engine_version=engine_version)

    def current(self) -> ServedRevision | None:
        """Return the policy that decides now, or None when none does."""
        return self._served

    def status(self) -> PolicyStatus:
        """Return what is served, and why a newer policy is not."""
        if self._served is None:
            return self._status
        return self._served.status_now(self._status, self._clock, self._source.age_seconds_max)

    async def start(self) -> None:
        """Load or hold the first policy. Raises PolicyInvalidError or ConfigurationError when it cannot be served.

        When a published one cannot be served, the policy that was served before this process started decides.
        """
        try:
            await self._load()
        except PolicyInvalidError as error:
            if not self._published or not await self._serve_last():
                raise
            await self._reject(refused_by(error))

    async def run(self) -> None:
        """Watch the files and the engine until cancelled."""
        async with asyncio.TaskGroup() as tasks:
            tasks.create_task(self._watch_source(), name="placet-policy-source")
            tasks.create_task(self._watch_engine(), name="placet-policy-engine")
            confirmation = watch_confirmation(self._was_confirmed, self.check_now)
            tasks.create_task(confirmation, name="placet-policy-confirmation")

    async def close(self) -> None:
        """Stop OPA."""
        if self._served is not None:
            await self._served.stop()

    async def check_now(self) -> None:
        """Read the policy now, as after a change."""
        async with self._loading:
            await self._reload()

    async def _load(self) -> bool:
        """Build and check the policy, then activate it. Returns False when a person must confirm it first."""
        bundle = await self._reader.bundle((self._status.revision,))
        commit = await self._reader.commit()
        served = self._served
        if served is None:
            return await self._load_first(bundle, commit)
        if served.revision == bundle.revision:
            self._status = replace(self._status.without_problems(), git_commit=commit)
            self._seen()
            if self._confirmation is not None:
                self._confirmation.note_release(bundle)
            return True
        if self._confirmation is None:
            return await self._activate_or_hold(bundle, commit, Hold())
        hold = await self._confirmation.hold_after(served.bundle.tree, bundle)
        return await self._activate_or_hold(bundle, commit, hold)

    async def _load_first(self, bundle: Bundle, commit: str) -> bool:
        """Load while no policy decides.

        Compares with the policy that was served before this process started. When the new one must be confirmed, the
        earlier one decides until then; when the earlier one cannot be read or served, no policy decides.
        """
        if self._confirmation is None:
            await self._activate(bundle, commit)
            return True
        previous = await self._confirmation.previous(self._source.rego_dir)
        hold = await self._confirmation.hold_since(previous, bundle)
        if hold.reasons and previous.tree is not None:
            await self._serve_previous(previous.tree)
        elif not hold.reasons and previous.incomparable and not previous.matches(bundle):
            await self._report(
                PolicyEventKind.CACHE_REFUSED, f"{previous.incomparable}; the policy is served nevertheless"
            )
        return await self._activate_or_hold(bundle, commit, hold)

    async def _activate_or_hold(self, bundle: Bundle, commit: str, hold: Hold) -> bool:
        """Activate the policy, or hold it when a person must confirm it first."""
        if not hold.reasons:
            await self._activate(bundle, commit)
            return True
        if self._served is None:  # people and agents are then distinguished by its tenants
            self._status = replace(self._status, tenants=tuple(sorted(bundle.agent_policies)))
        await self._hold(bundle.revision, hold)
        return False

    async def _serve_last(self) -> bool:
        """Serve what was served before this process began. Returns False when that is not possible."""
        if self._confirmation is None:
            return False
        previous = await self._confirmation.previous(self._source.rego_dir)
        if previous.tree is not None:
            await self._serve_previous(previous.tree)
        return self._served is not None

    async def _serve_previous(self, tree: PolicyTree) -> None:
        """Serve what was served before this process began."""
        try:
            before = await asyncio.to_thread(
                bundle_of, tree, self._engine.opa, self._source.cache_dir, rules=check_rules_apart
            )
            await self._activate(before, "")
        except PolicyInvalidError as error:  # a newer Placet takes it no longer
            self._on_error(error)

    async def _activate(self, bundle: Bundle, commit: str) -> None:
        """Start the revision beside the old one and activate it. The old one stops after its last query."""
        old = self._served
        source = await self._confirmation.remember(bundle) if self._confirmation is not None else None
        self._served = await ServedRevision.start(bundle, self._engine, self._clock.monotonic())
        now = self._clock.wall_us()
        self._status = replace(
            self._status.without_problems(),
            ready=True,
            revision=bundle.revision,
            loaded_at_us=now,
            confirmed_at_us=now,
            tenants=tuple(sorted(bundle.agent_policies)),
            git_commit=commit,
            pusher=bundle.pusher,
        )
        self._serving.set()
        keep_from_collector()
        try:
            await self._listener(event_of(PolicyEventKind.ACTIVATED, self.status(), source=source))
        finally:
            if old is not None:
                await old.retire()

    async def _hold(self, revision: str, hold: Hold) -> None:
        """Keep the served policy until a person confirms the newest. Reports this once."""
        reported = self._status.held_revision == revision
        now = self._clock.wall_us()
        self._status = self._status.with_held(revision, hold, now)
        self._seen()
        if not reported:
            await self._report(PolicyEventKind.HELD, "\n".join(hold.reasons))

    async def _cache_refused(self, path: Path) -> None:
        await self._report(PolicyEventKind.CACHE_REFUSED, f"{path}: {NOT_AS_BUILT}")

    async def _reload(self) -> None:
        loaded = await load_or_refuse(self._load, self._reader, self._on_error)
        if isinstance(loaded, Refused):
            await self._reject(loaded)
        else:
            self._status = replace(self._status, reloads_accepted=self._status.reloads_accepted + loaded)

    async def _reject(self, refused: Refused) -> None:
        """Record that the newest policy cannot be served. Reports it once.

        A policy that was read and rejected does not make the served one stale: a bad push alone stops nothing.
        """
        why = refused.why
        reported = why == self._status.last_error
        refusals = self._status.reloads_refused + (not reported)
        now = self._clock.wall_us()
        self._status = replace(self._status.with_error(why, now), reloads_refused=refusals)
        if refused.seen:
            self._seen()
        else:
            self._status = self._status.with_source_unseen(now)
        if not reported:
            await self._report(PolicyEventKind.REFUSED, why)

    async def _watch_source(self) -> None:
        async for _ in self._reader.changes(self._on_error):
            await self._check()

    async def _check(self) -> None:
        """Reload when the policy changed. An unchanged one confirms the served policy."""
        async with self._loading:
            if await self._reader.changed() or await self._was_confirmed():
                await self._reload()
            else:
                self._seen()

    async def _was_confirmed(self) -> bool:
        """Whether a person confirmed the held policy, perhaps on another replica."""
        held = self._status.held_as
        return bool(held) and self._confirmation is not None and await self._confirmation.confirmed(held)

    def _seen(self) -> None:
        if self._served is not None:
            self._served.confirmed_at = self._clock.monotonic()
            self._status = self._status.with_source_seen(self._clock.wall_us())

    async def _watch_engine(self) -> None:
        misses = 0
        await self._serving.wait()
        while True:
            served = self._served
            if served is None:
                raise AssertionError("a policy is served once `_serving` is set")
            if not await served.process.ended_within(CANARY_INTERVAL_SECONDS):
                error = await served.canary_error()
                misses = misses + 1 if error else 0
                if not error:
                    await self._set_ready()
                if misses < CANARY_MISSES_MAX:
                    continue
            if served is self._served:  # a replaced revision stops on purpose
                await self._restart(served)
            misses = 0

    async def _restart(self, served: ServedRevision) -> None:
        """Restart OPA with increasing delays until the canary succeeds or another revision takes over."""
        if self._clock.monotonic() - self._restarted_at > STEADY_SECONDS:
            self._restarts = 0
        self._status = replace(self._status, ready=False)
        await self._report(PolicyEventKind.NOT_READY, "OPA ended or does not answer")
        while served is self._served:
            await asyncio.sleep(RESTART_BACKOFF_SECONDS[min(self._restarts, len(RESTART_BACKOFF_SECONDS) - 1)])
            self._restarts += 1
            error = await served.restart()
            self._restarted_at = self._clock.monotonic()
            self._status = replace(self._status, engine_restarts=self._status.engine_restarts + 1)
            await self._report(PolicyEventKind.ENGINE_RESTARTED, error)
            if not error:
                await self._set_ready()
                return

    async def _set_ready(self) -> None:
        if not self._status.ready:
            self._status = replace(self._status, ready=True)
            await self._report(PolicyEventKind.READY)

    async def _report(self, kind: PolicyEventKind, detail: str = "") -> None:
        await self._listener(event_of(kind, self.status(), detail))
