"""Policy served by a managed OPA: started, watched, restarted; reloaded when `rego/` changes.

A new revision is built, checked, started beside the old one and asked the canary; only then does it take over. Whatever
fails on the way changes nothing but status, log and metric.
"""

from __future__ import annotations

import asyncio
from dataclasses import replace
from typing import TYPE_CHECKING, Final

from watchfiles import awatch

from placet.engine.generation import Engine, ServedRevision
from placet.engine.source import PolicyFolder, Source
from placet.kernel.errors import ConfigurationError, PolicyInvalidError, PolicyUnreadableError
from placet.policy.bundles.bundle import bundle_of
from placet.policy.files.checkout import git_commit
from placet.revisions.status import EngineMode, PolicyEvent, PolicyEventKind, PolicyStatus, event_of

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable
    from pathlib import Path

    from placet.kernel.clock import Clock
    from placet.policy.bundles.bundle import Bundle
    from placet.policy.bundles.removal_question import RemovalQuestion
    from placet.policy.files.tree import PolicyTree

CANARY_INTERVAL_SECONDS: Final = 1.0
CANARY_MISSES_MAX: Final = 3
"""Canaries missed in a row before OPA is replaced; one may fall into a pause of the machine."""
RESTART_BACKOFF_SECONDS: Final = (0.0, 0.1, 0.2, 0.5, 1.0, 2.0, 5.0)
STEADY_SECONDS: Final = 30.0
"""An OPA that ran for so long is replaced at once; one that died earlier, ever more slowly."""
NOT_AS_BUILT: Final = "is not the bundle of its name, so it was not used; see who can write there"


class ManagedPolicies:
    """A `PolicySource` with an OPA of its own.

    `listener` is told what happens, in order; `on_error` of what went wrong in Placet itself. With a `question`, a
    policy that lost restrictions against the served one waits until somebody confirms it.
    """

    def __init__(
        self,
        source: Source,
        engine: Engine,
        clock: Clock,
        listener: Callable[[PolicyEvent], Awaitable[None]],
        on_error: Callable[[BaseException], None],
        engine_version: str,
        question: RemovalQuestion | None = None,
    ) -> None:
        self._source = source
        self._engine = engine
        self._clock = clock
        self._listener = listener
        self._on_error = on_error
        self._folder = PolicyFolder(source, engine, self._cache_refused)
        self._question = question
        self._loading = asyncio.Lock()
        self._generation: ServedRevision | None = None
        self._begun = asyncio.Event()
        self._restarts = 0
        self._restarted_at = clock.monotonic()
        self._status = PolicyStatus(ready=False, engine_mode=EngineMode.MANAGED, engine_version=engine_version)

    def current(self) -> ServedRevision | None:
        """The policy that decides now."""
        return self._generation

    def status(self) -> PolicyStatus:
        """What is served, and whether something newer was refused."""
        if self._generation is None:
            return self._status
        age = self._clock.monotonic() - self._generation.confirmed_at
        return self._status.aged(age, self._source.age_seconds_max, self._clock.wall_us())

    async def start(self) -> None:
        """Load the first policy, or hold it. PolicyInvalidError or ConfigurationError when there is none to serve."""
        await self._load()

    async def run(self) -> None:
        """Watch the files and the engine until cancelled."""
        async with asyncio.TaskGroup() as tasks:
            tasks.create_task(self._watch_files(), name="placet-policy-files")
            tasks.create_task(self._watch_engine(), name="placet-policy-engine")

    async def close(self) -> None:
        """Stop OPA."""
        if self._generation is not None:
            await self._generation.stop()

    async def look_again(self) -> None:
        """Look now at what stands there, as after a change."""
        async with self._loading:
            await self._reload()

    async def _load(self) -> bool:
        """Build, check, and let it take over; False when somebody has to confirm it first."""
        commit = await asyncio.to_thread(git_commit, self._source.rego_dir)
        bundle = await self._folder.bundle((self._status.revision,))
        served = self._generation
        if served is None:
            return await self._begin(bundle, commit)
        if served.revision == bundle.revision:
            self._status = replace(self._status.sound(), git_commit=commit)
            self._seen()
            return True
        lost = await self._question.reasons(served.bundle.tree, bundle) if self._question is not None else ()
        return await self._settle(bundle, commit, lost)

    async def _begin(self, bundle: Bundle, commit: str) -> bool:
        """Load while nothing decides: against what was served before this process began, which decides while it waits.

        When that cannot be read or served, nothing decides until somebody confirms the newest.
        """
        if self._question is None:
            await self._activate(bundle, commit)
            return True
        earlier = await self._question.earlier(self._source.rego_dir)
        lost = await self._question.since(earlier, bundle)
        if lost and earlier.tree is not None:
            await self._serve_again(earlier.tree)
        elif not lost and earlier.incomparable and not earlier.is_of(bundle):
            await self._tell(PolicyEventKind.CACHE_REFUSED, f"{earlier.incomparable}; it is served all the same")
        return await self._settle(bundle, commit, lost)

    async def _settle(self, bundle: Bundle, commit: str, lost: tuple[str, ...]) -> bool:
        """Let it take over; or hold it for what it lost."""
        if not lost:
            await self._activate(bundle, commit)
            return True
        if self._generation is None:  # then people and agents are told apart by those of its tenants
            self._status = replace(self._status, tenants=tuple(sorted(bundle.agent_policies)))
        await self._hold(bundle.revision, lost)
        return False

    async def _serve_again(self, tree: PolicyTree) -> None:
        """Serve what was served before this process began."""
        try:
            before = await asyncio.to_thread(bundle_of, tree, self._engine.opa, self._source.cache_dir)
            await self._activate(before, "")
        except PolicyInvalidError as error:  # a newer Placet takes it no longer
            self._on_error(error)

    async def _activate(self, bundle: Bundle, commit: str) -> None:
        """Start it beside the old one and let it take over; the old one ends when its last query is over."""
        old = self._generation
        source = await self._question.keep(bundle) if self._question is not None else None
        self._generation = await ServedRevision.start(bundle, self._engine, self._clock.monotonic())
        now = self._clock.wall_us()
        self._status = replace(
            self._status.sound(),
            ready=True,
            revision=bundle.revision,
            loaded_at_us=now,
            confirmed_at_us=now,
            tenants=tuple(sorted(bundle.agent_policies)),
            git_commit=commit,
        )
        self._begun.set()
        try:
            await self._listener(event_of(PolicyEventKind.ACTIVATED, self.status(), source=source))
        finally:
            if old is not None:
                await old.retire()

    async def _hold(self, revision: str, lost: tuple[str, ...]) -> None:
        """Go on with what is served until somebody confirms the newest; told once."""
        told = self._status.held_revision == revision
        self._status = self._status.held(revision, lost, self._clock.wall_us())
        self._seen()
        if not told:
            await self._tell(PolicyEventKind.HELD, "\n".join(lost))

    async def _cache_refused(self, path: Path) -> None:
        await self._tell(PolicyEventKind.CACHE_REFUSED, f"{path}: {NOT_AS_BUILT}")

    async def _reload(self) -> None:
        try:
            accepted = await self._load()
        except (PolicyUnreadableError, OSError) as error:
            self._folder.forget()  # not the policy's fault, so the next look tries again
            await self._refused(str(error), seen=False)
        except PolicyInvalidError as error:
            await self._refused(str(error))
        except ConfigurationError as error:
            self._folder.forget()
            await self._refused(str(error))
        except Exception as fault:  # noqa: BLE001 - whatever a policy breaks, the one that is served stays
            self._on_error(fault)
            await self._refused(f"internal error while loading: {type(fault).__name__}: {fault}")
        else:
            self._status = replace(self._status, reloads_accepted=self._status.reloads_accepted + accepted)

    async def _refused(self, why: str, *, seen: bool = True) -> None:
        """Note that the newest policy cannot be served, and tell it once.

        One that was seen to be wrong does not make the served one grow old: a bad push stops nothing by itself.
        """
        why = why.encode(errors="backslashreplace").decode()  # a file's name need not be UTF-8, a record must
        told = why == self._status.last_error
        refused = self._status.reloads_refused + (not told)
        now = self._clock.wall_us()
        self._status = replace(self._status.wrong(why, now), reloads_refused=refused)
        if seen:
            self._seen()
        else:
            self._status = self._status.unseen(now)
        if not told:
            await self._tell(PolicyEventKind.REFUSED, why)

    async def _watch_files(self) -> None:
        """Look at the files when a change is reported, and from time to time anyway; also where none is reported."""
        seconds = self._source.confirm_interval_seconds
        milliseconds = max(1, int(seconds * 1_000))
        told = ""
        while True:
            try:
                async for _ in awatch(self._source.rego_dir, rust_timeout=milliseconds, yield_on_timeout=True):
                    told = ""
                    await self._look()
            # No such folder, no more watches to be had; and, in a group, a name that is no text.
            except (OSError, RuntimeError, ExceptionGroup) as fault:
                if told != str(fault):
                    told = str(fault)
                    self._on_error(fault)
            await asyncio.sleep(seconds)
            await self._look()

    async def _look(self) -> None:
        """Reload on change. Files that are as they were when they were last seen confirm what is served."""
        async with self._loading:
            if await self._folder.changed() or await self._was_confirmed():
                await self._reload()
            else:
                self._seen()

    async def _was_confirmed(self) -> bool:
        """Whether somebody confirmed what waits, perhaps on another replica."""
        held = self._status.held_revision
        return bool(held) and self._question is not None and await self._question.confirmed(held)

    def _seen(self) -> None:
        if self._generation is not None:
            self._generation.confirmed_at = self._clock.monotonic()
            self._status = self._status.seen(self._clock.wall_us())

    async def _watch_engine(self) -> None:
        misses = 0
        await self._begun.wait()
        while True:
            generation = self._generation
            if generation is None:
                raise AssertionError("what has begun has a generation")
            if not await generation.process.ended_within(CANARY_INTERVAL_SECONDS):
                fault = await generation.canary_fault()
                misses = misses + 1 if fault else 0
                if not fault:
                    await self._set_ready()
                if misses < CANARY_MISSES_MAX:
                    continue
            if generation is self._generation:  # one that was replaced meanwhile ends on purpose
                await self._restart(generation)
            misses = 0

    async def _restart(self, generation: ServedRevision) -> None:
        """Restart OPA, ever more slowly, until the canary is answered or another generation took over."""
        if self._clock.monotonic() - self._restarted_at > STEADY_SECONDS:
            self._restarts = 0
        self._status = replace(self._status, ready=False)
        await self._tell(PolicyEventKind.NOT_READY, "OPA ended or does not answer")
        while generation is self._generation:
            await asyncio.sleep(RESTART_BACKOFF_SECONDS[min(self._restarts, len(RESTART_BACKOFF_SECONDS) - 1)])
            self._restarts += 1
            fault = await generation.restart()
            self._restarted_at = self._clock.monotonic()
            self._status = replace(self._status, engine_restarts=self._status.engine_restarts + 1)
            await self._tell(PolicyEventKind.ENGINE_RESTARTED, fault)
            if not fault:
                await self._set_ready()
                return

    async def _set_ready(self) -> None:
        if not self._status.ready:
            self._status = replace(self._status, ready=True)
            await self._tell(PolicyEventKind.READY)

    async def _tell(self, kind: PolicyEventKind, detail: str = "") -> None:
        await self._listener(event_of(kind, self.status(), detail))
