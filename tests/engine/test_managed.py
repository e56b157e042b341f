"""The managed OPA's supervision: reload and restart meet, fail, and are cancelled; nothing is left over or lost."""

from __future__ import annotations

import asyncio
import contextlib
import math
import os
import random
import shutil
import signal
import tempfile
import time
from pathlib import Path
from typing import TYPE_CHECKING, Any

import psutil
import pytest

from placet.engine import source
from placet.engine.managed import ManagedPolicies
from placet.engine.pinned_program import PinnedProgram
from placet.engine.process import FOLDER, OpaProcess
from placet.engine.served_revision import Engine, ServedRevision
from placet.engine.source import QUIET_SECONDS, Source
from placet.kernel.errors import ConfigurationError, LedgerUnavailableError, PolicyInvalidError
from placet.kernel.model import Effect, Indeterminate, Verdict
from placet.policy.bundles.removal_confirmation import RemovalConfirmation
from placet.policy.files import folder
from placet.policy.files.archive import pack, unpack
from placet.revisions.status import PolicyEventKind, ServedSource
from tests.freezing import freeze
from tests.serving import REGO_DIR
from tests.support.bundle_cache import seed_bundles
from tests.support.checked_policies import remember_checked_policies
from tests.support.running_policies import run_policies

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Callable, Iterator

    from placet.policy.bundles.bundle import Bundle
    from placet.revisions.status import PolicyEvent

TIMEOUT_SECONDS = 2.0
LOOK_SECONDS = 0.2
WITHIN_SECONDS = 20.0


class Clock:
    """The machine's."""

    def wall_us(self) -> int:
        return time.time_ns() // 1_000

    def monotonic(self) -> float:
        return time.monotonic()


class Memory:
    """A `PolicyMemory` that outlives the policies; `broken` it fails as a ledger does."""

    def __init__(self) -> None:
        self.sources: tuple[ServedSource, ...] = ()
        self.revisions: set[str] = set()
        self.newest_us = 0
        self.broken = False

    async def served(self) -> tuple[ServedSource, ...]:
        return self.sources

    async def newest_release_us(self) -> int:
        self._work()
        return self.newest_us

    async def confirmed(self, revision: str) -> bool:
        self._work()
        return revision in self.revisions

    def _work(self) -> None:
        if self.broken:
            raise LedgerUnavailableError("away")


class Supervised:
    """Policies with what they tell."""

    def __init__(
        self,
        folder: Path,
        opa: Path,
        *,
        pinned: bool = False,
        age_seconds_max: float = math.inf,
        memory: Memory | None = None,
        asks: bool = True,
    ) -> None:
        self.memory = memory
        self._changes = 0
        self.rego_dir = folder / "rego"
        if not self.rego_dir.exists():
            shutil.copytree(REGO_DIR, self.rego_dir, ignore=shutil.ignore_patterns("*_test.rego"))
        self.log = folder / "opa.log"
        self.events: list[PolicyEvent] = []
        self.errors: list[BaseException] = []
        program = PinnedProgram(opa) if pinned else None
        self.engine = Engine(opa, self.log, TIMEOUT_SECONDS, lambda _rule_id, _cause: None, program)
        self.source = Source(self.rego_dir, folder / "bundles", LOOK_SECONDS, age_seconds_max)
        note = self.errors.append
        confirmation = (
            RemovalConfirmation(memory, folder / "bundles", note, enabled=asks) if memory is not None else None
        )
        self.policies = ManagedPolicies(
            self.source, self.engine, Clock(), self._note, self.errors.append, "test", confirmation
        )

    async def _note(self, event: PolicyEvent) -> None:
        self.events.append(event)
        if self.memory is not None and event.source is not None:
            self.memory.sources = (event.source,)

    @property
    def kinds(self) -> list[PolicyEventKind]:
        return [event.kind for event in self.events]

    @property
    def generation(self) -> ServedRevision:
        generation = self.policies.current()
        assert generation is not None
        return generation

    @property
    def revision(self) -> str:
        return self.policies.status().revision

    def change(self, text: str = "") -> None:
        """Another revision, that decides as before."""
        pack = self.rego_dir / "policy" / "refunds" / "refunds.rego"
        self._changes += 1
        pack.write_text(f"{pack.read_text()}\n# {text or self._changes}\n")

    def spoil(self) -> Callable[[], object]:
        """Break the policy; what mends it."""
        pack = self.rego_dir / "policy" / "refunds" / "refunds.rego"
        whole = pack.read_text()
        pack.write_text(whole + "\nbroken\n")
        return lambda: pack.write_text(whole)


async def until(condition: Callable[[], object], what: str = "") -> None:
    async with asyncio.timeout(WITHIN_SECONDS):
        while not condition():  # noqa: ASYNC110 - what is waited for has no event
            await asyncio.sleep(0.01)
    assert condition(), what


def engines() -> set[int]:
    """The OPAs of this process."""
    children = psutil.Process().children()
    return {child.pid for child in children if child.status() != psutil.STATUS_ZOMBIE and "opa" in child.name()}


def folders() -> set[Path]:
    return set(Path(tempfile.gettempdir()).glob(f"{FOLDER}{os.getpid()}-*"))


@pytest.fixture(autouse=True)
def policies_are_checked_once(monkeypatch: pytest.MonkeyPatch) -> None:
    remember_checked_policies(monkeypatch)


@pytest.fixture
def nothing_left() -> Iterator[None]:
    """After the test there are as many OPAs and folders as before."""
    children, temporary = set(psutil.Process().children()), folders()
    yield
    assert not [child for child in psutil.Process().children() if child not in children and child.is_running()]
    assert folders() <= temporary


@pytest.fixture
async def supervised(nothing_left: None, tmp_path: Path, opa: Path) -> AsyncIterator[Supervised]:
    del nothing_left
    it = Supervised(tmp_path, opa)
    keep_bundles = seed_bundles(it.rego_dir, tmp_path)
    await it.policies.start()
    keep_bundles()
    running = asyncio.create_task(it.policies.run())
    yield it
    running.cancel()
    with contextlib.suppress(asyncio.CancelledError):
        await running
    await it.policies.close()


async def test_it_says_what_happens(supervised: Supervised) -> None:
    first = supervised.revision
    assert supervised.kinds == [PolicyEventKind.ACTIVATED]
    supervised.change()
    await until(lambda: supervised.revision != first)
    os.kill(supervised.generation.process.pid, signal.SIGKILL)
    await until(lambda: PolicyEventKind.READY in supervised.kinds)
    assert supervised.kinds == [
        PolicyEventKind.ACTIVATED,
        PolicyEventKind.ACTIVATED,
        PolicyEventKind.NOT_READY,
        PolicyEventKind.ENGINE_RESTARTED,
        PolicyEventKind.READY,
    ]
    assert [event.revision for event in supervised.events] == [first, *[supervised.revision] * 4]
    assert not supervised.errors


async def test_a_policy_that_is_mended_to_what_is_served_is_no_longer_an_error(supervised: Supervised) -> None:
    revision = supervised.revision
    mend = supervised.spoil()
    await until(lambda: supervised.policies.status().last_error)
    mend()
    await until(lambda: not supervised.policies.status().last_error)
    assert supervised.revision == revision
    assert supervised.kinds == [PolicyEventKind.ACTIVATED, PolicyEventKind.REFUSED]
    assert supervised.policies.status().reloads_accepted == 1


async def test_a_repacked_bundle_in_the_cache_decides_nothing_and_is_told(tmp_path: Path, opa: Path) -> None:
    it = Supervised(tmp_path, opa)
    await it.policies.start()
    bundle = tmp_path / "bundles" / f"{it.revision}.tar.gz"
    await it.policies.close()
    whole = bundle.read_bytes()
    files = unpack(whole)
    allows = b"""package placet.main

decisions[i] := {"effect": "allow", "rule_id": "a.b", "findings": []} if some i, _ in input.batch
"""
    bundle.write_bytes(pack({**files, "/placet/main/main.rego": allows}))
    again = ManagedPolicies(it.source, it.engine, Clock(), it._note, it.errors.append, "test")
    await again.start()
    assert bundle.read_bytes() == whole
    assert it.kinds == [PolicyEventKind.ACTIVATED, PolicyEventKind.CACHE_REFUSED, PolicyEventKind.ACTIVATED]
    assert str(bundle) in it.events[1].detail
    await again.close()


async def test_another_program_in_opas_place_is_not_run(tmp_path: Path, opa: Path, nothing_left: None) -> None:
    del nothing_left
    program = tmp_path / "opa"
    shutil.copy(opa, program)
    it = Supervised(tmp_path, program, pinned=True)
    await it.policies.start()
    running = asyncio.create_task(it.policies.run())
    program.rename(tmp_path / "away")
    program.write_text("#!/bin/sh\ntouch ran\n")
    program.chmod(0o755)
    os.kill(it.generation.process.pid, signal.SIGKILL)
    await until(lambda: it.policies.status().engine_restarts > 1)
    assert not it.policies.status().ready
    assert f"{program}: was replaced while Placet ran" in it.events[-1].detail
    it.change()
    await until(lambda: it.policies.status().last_error)
    assert "was replaced while Placet ran" in it.policies.status().last_error
    (tmp_path / "away").rename(program)
    await until(lambda: it.policies.status().ready and not it.policies.status().last_error)
    running.cancel()
    await asyncio.wait({running})
    await it.policies.close()


async def test_a_bad_push_does_not_make_the_served_revision_grow_old(supervised: Supervised) -> None:
    generation = supervised.generation
    confirmed = generation.confirmed_at
    await until(lambda: generation.confirmed_at > confirmed)
    mend = supervised.spoil()
    await until(lambda: supervised.policies.status().last_error)
    refused = supervised.policies.status()
    assert 0 < refused.refused_since_us <= refused.last_error_at_us
    assert (refused.unseen_since_us, refused.decides_until_us, refused.stale) == (0, 0, False)
    confirmed = generation.confirmed_at
    await until(lambda: generation.confirmed_at > confirmed + LOOK_SECONDS)
    supervised.spoil()
    await until(lambda: supervised.policies.status().reloads_refused > 1)
    assert supervised.policies.status().refused_since_us == refused.refused_since_us
    mend()
    await until(lambda: not supervised.policies.status().refused_since_us)


async def test_what_cannot_be_seen_makes_it_grow_old(
    tmp_path: Path, opa: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    it = Supervised(tmp_path, opa, age_seconds_max=1.0)
    await it.policies.start()
    running = asyncio.create_task(it.policies.run())
    away = it.rego_dir.with_name("away")
    it.rego_dir.rename(away)
    await until(lambda: it.policies.status().unseen_since_us)
    status = it.policies.status()
    assert "no such folder" in status.last_error
    assert status.refused_since_us <= status.unseen_since_us < status.decides_until_us
    assert status.decides_until_us <= status.confirmed_at_us + 1_100_000
    assert it.events[-1].decides_until_us > 0
    await until(lambda: it.policies.status().stale)
    away.rename(it.rego_dir)
    await until(lambda: not it.policies.status().stale)
    assert (it.policies.status().unseen_since_us, it.policies.status().decides_until_us) == (0, 0)
    monkeypatch.setattr(folder, "_read", unreadable)
    it.change()
    await until(lambda: it.policies.status().unseen_since_us)
    assert "refunds.rego: cannot be read: Permission denied" in it.policies.status().last_error
    await until(lambda: it.policies.status().stale)
    running.cancel()
    await asyncio.wait({running})
    await it.policies.close()


def unreadable(_path: Path) -> bytes:
    raise PermissionError(13, "Permission denied")


async def test_what_only_the_machine_lacks_does_not_make_it_grow_old(
    supervised: Supervised, monkeypatch: pytest.MonkeyPatch
) -> None:
    def fails(*_: object) -> Bundle:
        raise ConfigurationError("no room for the cache")

    monkeypatch.setattr(source, "build_bundle", fails)
    supervised.change()
    await until(lambda: supervised.policies.status().last_error)
    confirmed = supervised.generation.confirmed_at
    await until(lambda: supervised.generation.confirmed_at > confirmed)
    assert not supervised.policies.status().unseen_since_us


async def test_it_tells_the_commit_of_the_folder(tmp_path: Path, opa: Path) -> None:
    it = Supervised(tmp_path, opa)
    git = it.rego_dir / ".git"
    (git / "refs" / "heads").mkdir(parents=True)
    (git / "HEAD").write_text("ref: refs/heads/main\n")
    (git / "refs" / "heads" / "main").write_text("a" * 40 + "\n")
    await it.policies.start()
    assert it.policies.status().git_commit == "a" * 40
    assert it.events[-1].git_commit == "a" * 40
    await it.policies.close()


async def test_a_fault_of_our_own_while_loading_changes_nothing(
    supervised: Supervised, monkeypatch: pytest.MonkeyPatch
) -> None:
    revision = supervised.revision

    def fails(*_: object) -> Bundle:
        raise RuntimeError("cannot happen")

    with monkeypatch.context() as patched:
        patched.setattr(source, "build_bundle", fails)
        supervised.change()
        await until(lambda: supervised.errors)
    assert "RuntimeError: cannot happen" in supervised.events[1].detail
    assert supervised.events[1].revision == revision
    assert supervised.generation.process.running


async def test_where_changes_are_not_reported_they_are_found(
    supervised: Supervised, monkeypatch: pytest.MonkeyPatch
) -> None:
    async def out_of_watches(*_: object, **__: object) -> AsyncIterator[set[Any]]:
        raise OSError("OS file watch limit reached")
        yield set()

    revision = supervised.revision
    monkeypatch.setattr(source, "awatch", out_of_watches)
    supervised.rego_dir.rename(supervised.rego_dir.with_name("away"))  # ends the watch that is under way
    await until(lambda: supervised.policies.status().last_error)
    supervised.rego_dir.with_name("away").rename(supervised.rego_dir)
    supervised.change()
    await until(lambda: supervised.revision != revision)
    assert supervised.policies.status().last_error == ""


async def test_the_old_opa_lives_until_its_last_query_is_over(supervised: Supervised) -> None:
    old = supervised.generation
    freeze(old.process.pid)
    asked = asyncio.create_task(old.evaluate([b"{}"]))
    supervised.change()
    await until(lambda: supervised.generation is not old)
    assert old.process.running
    [verdict] = await asked
    assert isinstance(verdict, Indeterminate)
    assert verdict.rule_id == "pdp.engine_timeout"
    await until(lambda: not old.process.running)


async def changed_under_kills(supervised: Supervised) -> None:
    """Change the policy, and kill the OPA that serves at random points until the change is in force."""
    before = supervised.revision
    supervised.change()
    async with asyncio.timeout(WITHIN_SECONDS):
        while supervised.revision == before:
            if supervised.generation.process.running:
                os.kill(supervised.generation.process.pid, signal.SIGKILL)
            await asyncio.sleep(random.uniform(0, LOOK_SECONDS))


async def test_it_dies_while_the_policy_changes(supervised: Supervised) -> None:
    others = engines() - {supervised.generation.process.pid}  # of servers of other tests in this process
    for _ in range(3):
        await changed_under_kills(supervised)
        await until(lambda: supervised.policies.status().ready and len(engines() - others) == 1)
    assert await supervised.generation.canary_error() == ""
    assert not supervised.errors


async def test_what_keeps_it_from_coming_back_is_told_until_it_is_mended(
    tmp_path: Path, opa: Path, nothing_left: None
) -> None:
    del nothing_left
    program = tmp_path / "opa"
    program.symlink_to(opa)
    it = Supervised(tmp_path, program)
    await it.policies.start()
    running = asyncio.create_task(it.policies.run())
    program.unlink()
    os.kill(it.generation.process.pid, signal.SIGKILL)
    await until(lambda: it.policies.status().engine_restarts > 1)
    assert not it.policies.status().ready
    assert "FileNotFoundError" in it.events[-1].detail
    program.symlink_to(opa)
    await until(lambda: it.policies.status().ready)
    running.cancel()
    await asyncio.wait({running})
    await it.policies.close()


@pytest.mark.usefixtures("nothing_left")
async def test_cancelled_while_it_starts(tmp_path: Path, opa: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    async def never(_: ServedRevision) -> str:
        await asyncio.Event().wait()
        return ""

    monkeypatch.setattr(ServedRevision, "await_canary", never)
    it = Supervised(tmp_path, opa)
    before = len(folders())
    starting = asyncio.create_task(it.policies.start())
    await until(lambda: len(folders()) > before)
    starting.cancel()
    await asyncio.wait({starting})
    assert starting.cancelled()
    await it.policies.close()


@pytest.mark.usefixtures("nothing_left")
async def test_cancelled_while_another_revision_starts(
    tmp_path: Path, opa: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    it = Supervised(tmp_path, opa)
    await it.policies.start()
    reached = asyncio.Event()

    async def never(_: ServedRevision) -> str:
        reached.set()
        await asyncio.Event().wait()
        return ""

    monkeypatch.setattr(ServedRevision, "await_canary", never)
    revision = it.revision
    running = asyncio.create_task(it.policies.run())
    it.change()
    await asyncio.wait_for(reached.wait(), WITHIN_SECONDS)
    running.cancel()
    await asyncio.wait({running})
    assert running.cancelled()
    assert it.revision == revision
    await it.policies.close()


@pytest.mark.usefixtures("nothing_left")
async def test_cancelled_between_two_revisions(tmp_path: Path, opa: Path) -> None:
    it = Supervised(tmp_path, opa)
    await it.policies.start()
    old = it.generation
    freeze(old.process.pid)
    asked = asyncio.create_task(old.evaluate([b"{}"]))
    running = asyncio.create_task(it.policies.run())
    it.change()
    await until(lambda: it.generation is not old)
    running.cancel()
    await asyncio.wait({running})
    await asked
    await it.policies.close()
    await asyncio.wait_for(old.process.wait(), WITHIN_SECONDS)  # it was told to end at once
    assert not old.process.running


@pytest.mark.usefixtures("nothing_left")
async def test_cancelled_as_opa_ends(tmp_path: Path, opa: Path, tiny_bundle: Bundle) -> None:
    for steps in range(8):
        process = OpaProcess.start(opa, tiny_bundle.content, tmp_path / "opa.log")
        waiting = asyncio.create_task(process.ended_within(WITHIN_SECONDS))
        await asyncio.sleep(0)
        await process.kill()
        for _ in range(steps):
            await asyncio.sleep(0)
        if waiting.cancel():
            await asyncio.wait({waiting})
            assert waiting.cancelled(), f"the cancel was forgotten after {steps} steps"
        assert await process.ended_within(0)


@pytest.mark.usefixtures("nothing_left")
async def test_cancelled_while_the_old_opa_ends(tmp_path: Path, opa: Path) -> None:
    it = Supervised(tmp_path, opa)
    await it.policies.start()
    old = it.generation
    freeze(old.process.pid)  # so that it does not end when it is told to
    running = asyncio.create_task(it.policies.run())
    it.change()
    await until(lambda: it.generation is not old)
    running.cancel()
    await asyncio.wait({running})
    await asyncio.wait_for(old.process.wait(), 1)
    assert not old.process.running
    await it.policies.close()


@pytest.mark.usefixtures("nothing_left")
async def test_a_first_policy_that_cannot_be_served(tmp_path: Path, opa: Path) -> None:
    it = Supervised(tmp_path, opa)
    it.spoil()
    with pytest.raises(PolicyInvalidError):
        await it.policies.start()
    await it.policies.close()


@pytest.mark.usefixtures("nothing_left")
async def test_no_place_for_its_log(tmp_path: Path, opa: Path, tiny_bundle: Bundle) -> None:
    with pytest.raises(ConfigurationError, match="cannot start OPA"):
        OpaProcess.start(opa, tiny_bundle.content, tmp_path / "no-folder" / "opa.log")


@pytest.mark.usefixtures("nothing_left")
async def test_no_place_for_its_socket(
    tmp_path: Path, opa: Path, tiny_bundle: Bundle, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(tempfile, "tempdir", str(tmp_path / "no-folder"))
    with pytest.raises(ConfigurationError, match="cannot make a folder"):
        OpaProcess.start(opa, tiny_bundle.content, tmp_path / "opa.log")


@pytest.mark.usefixtures("nothing_left")
async def test_no_descriptor_to_watch_it_by(
    tmp_path: Path, opa: Path, tiny_bundle: Bundle, monkeypatch: pytest.MonkeyPatch
) -> None:
    def out_of_descriptors(_: int) -> int:
        raise OSError(24, "Too many open files")

    monkeypatch.setattr(os, "pidfd_open", out_of_descriptors)
    with pytest.raises(ConfigurationError, match="Too many open files"):
        OpaProcess.start(opa, tiny_bundle.content, tmp_path / "opa.log")


async def test_a_file_of_the_cache_is_not_what_opa_comes_back_with(
    tmp_path: Path, opa: Path, tiny_bundle: Bundle
) -> None:
    engine = Engine(opa, tmp_path / "opa.log", TIMEOUT_SECONDS, lambda _rule_id, _cause: None)
    generation = await ServedRevision.start(tiny_bundle, engine, 0.0)
    tiny_bundle.path.write_bytes(b"another policy")
    assert await generation.restart() == ""
    [verdict] = await generation.evaluate([b"{}"])
    assert isinstance(verdict, Verdict)
    assert verdict.effect is Effect.DENY
    await generation.stop()


@contextlib.asynccontextmanager
async def asking(folder: Path, opa: Path, memory: Memory) -> AsyncIterator[Supervised]:
    """Policies that ask before a policy decides that lost something."""
    it = Supervised(folder, opa, memory=memory)
    async with run_policies(it.policies):
        yield it


def cut(it: Supervised, before: str = "  destinations:") -> bytes:
    """Cut the tenant's file off; what it was."""
    file = it.rego_dir / "config" / "acme.yaml"
    whole = file.read_bytes()
    file.write_bytes(whole.partition(before.encode())[0])
    assert file.read_bytes() != whole
    return whole


async def test_a_file_that_lost_its_end_waits_until_it_is_whole(tmp_path: Path, opa: Path) -> None:
    async with asking(tmp_path, opa, Memory()) as it:
        served = it.revision
        whole = cut(it)
        await until(lambda: it.policies.status().held_revision)
        status = it.policies.status()
        assert (status.revision, status.last_error, status.ready) == (served, "", True)
        assert status.held_revision != served
        assert status.held_since_us > 0
        assert any("acme.yaml" in text and "destinations" in text for text in status.held_reasons)
        assert it.kinds == [PolicyEventKind.ACTIVATED, PolicyEventKind.HELD]
        assert it.events[-1].held_revision == status.held_revision
        confirmed = it.generation.confirmed_at
        await until(lambda: it.generation.confirmed_at > confirmed)  # it was seen, so nothing grows old
        (it.rego_dir / "config" / "acme.yaml").write_bytes(whole)
        await until(lambda: not it.policies.status().held_revision)
        assert it.revision == served
        assert it.kinds == [PolicyEventKind.ACTIVATED, PolicyEventKind.HELD]


async def test_what_is_confirmed_decides(tmp_path: Path, opa: Path) -> None:
    memory = Memory()
    async with asking(tmp_path, opa, memory) as it:
        served = it.revision
        cut(it)
        await until(lambda: it.policies.status().held_revision)
        held = it.policies.status().held_revision
        await it.policies.check_now()
        assert it.revision == served
        memory.revisions.add(held)  # on another replica: it is found at the next look
        await until(lambda: it.kinds[-1] is PolicyEventKind.ACTIVATED)
        assert (it.revision, it.policies.status().held_revision) == (held, "")


async def test_the_question_survives_a_restart(tmp_path: Path, opa: Path) -> None:
    memory = Memory()
    async with asking(tmp_path, opa, memory) as it:
        served, whole = it.revision, cut(it)
        await until(lambda: it.policies.status().held_revision)
        held = it.policies.status().held_revision
    for _ in range(2):
        async with asking(tmp_path, opa, memory) as again:
            status = again.policies.status()
            assert (status.revision, status.held_revision, status.ready) == (served, held, True)
            assert again.kinds == [PolicyEventKind.ACTIVATED, PolicyEventKind.HELD]
            [verdict] = await again.generation.evaluate([b"{}"])
            assert isinstance(verdict, Verdict)
            assert verdict.policy_revision == served
    memory.revisions.add(held)
    async with asking(tmp_path, opa, memory) as again:
        assert (again.revision, again.policies.status().held_revision) == (held, "")
    (tmp_path / "rego" / "config" / "acme.yaml").write_bytes(whole)
    async with asking(tmp_path, opa, memory) as again:
        assert again.revision == served


async def test_a_file_that_is_cut_while_the_server_is_down_waits(tmp_path: Path, opa: Path) -> None:
    memory = Memory()
    async with asking(tmp_path, opa, memory) as it:
        served = it.revision
    cut(it)
    async with asking(tmp_path, opa, memory) as again:
        assert again.revision == served
        assert again.policies.status().held_revision


async def test_the_first_start_asks_nothing(tmp_path: Path, opa: Path) -> None:
    it = Supervised(tmp_path, opa)
    cut(it)
    async with asking(tmp_path, opa, Memory()) as first:
        assert first.policies.status().held_revision == ""


async def test_an_empty_data_directory_compares_with_what_the_ledger_holds(tmp_path: Path, opa: Path) -> None:
    memory = Memory()
    async with asking(tmp_path, opa, memory) as it:
        served = it.revision
    shutil.rmtree(tmp_path / "bundles")
    async with asking(tmp_path, opa, memory) as again:  # nothing was changed, so nothing is asked
        assert (again.revision, again.kinds) == (served, [PolicyEventKind.ACTIVATED])
        cut(again)
        await until(lambda: again.policies.status().held_revision)
    shutil.rmtree(tmp_path / "bundles")
    async with asking(tmp_path, opa, memory) as again:
        status = again.policies.status()
        assert (status.revision, bool(status.held_revision), status.ready) == (served, True, True)
        assert any("destinations" in reason for reason in status.held_reasons)


async def test_an_empty_ledger_compares_with_what_the_cache_holds(tmp_path: Path, opa: Path) -> None:
    async with asking(tmp_path, opa, Memory()) as it:
        first = it.revision
        it.change()
        await until(lambda: it.revision != first)
        served = it.revision
        assert len([*(tmp_path / "bundles").glob("*.source.tgz")]) == 2
    cut(it)
    async with asking(tmp_path, opa, Memory()) as again:
        status = again.policies.status()
        assert (status.revision, bool(status.held_revision)) == (served, True)


async def test_files_kept_of_what_was_served_are_not_believed_when_they_were_changed(tmp_path: Path, opa: Path) -> None:
    memory = Memory()
    async with asking(tmp_path, opa, memory) as it:
        served = it.revision
    cut(it)
    [kept] = (tmp_path / "bundles").glob("*.source.tgz")
    files = unpack(kept.read_bytes())
    forged = pack({**files, "config/acme.yaml": b"agent_policy: {allowed_tools: [shell.run]}"})
    kept.write_bytes(forged)
    async with asking(tmp_path, opa, memory) as again:  # the ledger's copy is whole
        assert (again.revision, bool(again.policies.status().held_revision)) == (served, True)
    kept.write_bytes(forged)
    memory.sources = tuple(ServedSource(each.digest, forged) for each in memory.sources)
    async with asking(tmp_path, opa, memory) as again:
        assert again.policies.current() is None
        [reason] = again.policies.status().held_reasons
        assert str(kept) in reason
        assert "the ledger is damaged" in reason


async def test_what_cannot_be_compared_waits_and_nothing_decides_until_it_is_confirmed(
    tmp_path: Path, opa: Path
) -> None:
    memory = Memory()
    async with asking(tmp_path, opa, memory) as it:
        served = it.revision
    memory.sources = tuple(ServedSource(each.digest) for each in memory.sources)
    shutil.rmtree(tmp_path / "bundles")
    async with asking(tmp_path, opa, memory) as again:  # nothing was changed, so nothing is asked
        assert (again.revision, again.kinds) == (served, [PolicyEventKind.ACTIVATED])
    cut(again)
    shutil.rmtree(tmp_path / "bundles")
    memory.sources = tuple(ServedSource(each.digest) for each in memory.sources)
    async with asking(tmp_path, opa, memory) as again:
        status = again.policies.status()
        assert (again.policies.current(), status.ready, status.only_policy_is_held) == (None, False, True)
        assert "acme" in status.tenants
        assert again.kinds == [PolicyEventKind.HELD]
        assert "could not be compared, because" in again.events[0].detail
        assert ".source.tgz: No such file or directory" in again.events[0].detail
        memory.revisions.add(status.held_revision)
        await until(lambda: again.kinds[-1] is PolicyEventKind.ACTIVATED)
        assert again.revision == status.held_revision
        os.kill(again.generation.process.pid, signal.SIGKILL)
        await until(lambda: again.policies.status().engine_restarts)  # it is watched from then on


async def test_what_cannot_be_compared_is_served_and_told_where_nobody_wants_to_be_asked(
    tmp_path: Path, opa: Path
) -> None:
    memory = Memory()
    async with asking(tmp_path, opa, memory) as it:
        assert it.revision
    cut(it)
    memory.sources = tuple(ServedSource(each.digest) for each in memory.sources)
    shutil.rmtree(tmp_path / "bundles")
    again = Supervised(tmp_path, opa, memory=memory, asks=False)
    await again.policies.start()
    await again.policies.close()
    assert again.kinds == [PolicyEventKind.CACHE_REFUSED, PolicyEventKind.ACTIVATED]
    assert "could not be compared" in again.events[0].detail


async def test_a_ledger_that_is_away_confirms_nothing_and_stops_nothing(tmp_path: Path, opa: Path) -> None:
    memory = Memory()
    async with asking(tmp_path, opa, memory) as it:
        memory.broken = True
        first = it.revision
        it.change()
        await until(lambda: it.revision != first)
        cut(it)
        await until(lambda: it.policies.status().held_revision)
        held = it.policies.status().held_revision
        assert it.revision != held
        memory.revisions.add(held)
        memory.broken = False
        await until(lambda: not it.policies.status().held_revision)
        assert it.revision == held


async def test_a_wrong_policy_in_place_of_one_that_waits_is_refused(tmp_path: Path, opa: Path) -> None:
    async with asking(tmp_path, opa, Memory()) as it:
        served = it.revision
        cut(it)
        await until(lambda: it.policies.status().held_revision)
        it.spoil()
        await until(lambda: it.policies.status().last_error)
        assert (it.policies.status().held_revision, it.revision) == ("", served)


async def test_files_are_read_when_they_rest(supervised: Supervised) -> None:
    file = supervised.rego_dir / "config" / "acme.yaml"
    served, whole = supervised.revision, file.read_bytes()
    new = whole.replace(b"jira.search", b"jira.find")
    with file.open("wb", buffering=0) as slow:
        for start in range(0, len(new), len(new) // 12):
            slow.write(new[start : start + len(new) // 12])
            await asyncio.sleep(QUIET_SECONDS / 3)
            assert supervised.revision == served
    await until(lambda: supervised.revision != served)
    assert supervised.kinds == [PolicyEventKind.ACTIVATED, PolicyEventKind.ACTIVATED]
    assert "jira.find" in supervised.generation.agent_policies["acme"].allowed_tools


async def test_files_that_never_rest_are_told(supervised: Supervised, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(source, "QUIET_TRIES_MAX", 2)
    changes = iter(range(1_000_000))
    monkeypatch.setattr(source, "content_digest", lambda _: str(next(changes)))
    served = supervised.revision
    supervised.change()
    await until(lambda: supervised.policies.status().last_error)
    assert "keeps changing" in supervised.policies.status().last_error
    assert supervised.revision == served
    monkeypatch.undo()
    await until(lambda: supervised.revision != served)
