"""Random commitments with random changes come out on every engine as they do in a plain model."""

from __future__ import annotations

import asyncio
import itertools
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Final

from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from placet.audit.records import Committed, Conflict
from placet.audit.verification.verify_trail import verify_trail
from placet.kernel.state import PutIfVersion, ReadSet, RequireVersion, Reserve, Settle
from placet.storage.postgres.backend import PostgresLedger
from placet.storage.postgres.offline import verify_url
from placet.storage.sqlite.backend import SqliteLedger
from placet.storage.sqlite.offline import verify_database
from tests.storage.making import TickingClock
from tests.storage.state_making import change, counter, key, row
from tests.support.memory_ledger import MemoryLedger
from tests.support.replacing import replace

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence
    from pathlib import Path

    from placet.audit.records import CommitResult, VerifyReport
    from placet.kernel.state import Change, CounterKey, RowKey, Snapshot
    from placet.signing.keys import SigningKey
    from tests.storage.ledger_contract import CheckpointingLedger

ROWS: Final = [key(name) for name in "ab"]
COUNTERS: Final = [counter(name) for name in "abc"]
EXAMPLES: Final = 150

versions = st.integers(0, 3)
changes = st.one_of(
    st.builds(
        lambda name, version, status: PutIfVersion(row(name, version, status=status)),
        *map(st.sampled_from, ("ab", range(4), "xy")),
    ),
    st.builds(RequireVersion, st.sampled_from(ROWS), versions),
    st.builds(Reserve, st.sampled_from(COUNTERS), st.integers(0, 6), st.sampled_from([None, 5, 10])),
    st.builds(Settle, st.sampled_from(COUNTERS), st.integers(-6, 6), st.integers(-2, 6)),
)
History = list[list[list["Change"]]]
"""Batches of commitments of changes."""
commitments = st.lists(changes, max_size=4)
histories: st.SearchStrategy[History] = st.lists(st.lists(commitments, min_size=1, max_size=5), min_size=1, max_size=5)


@dataclass
class Model:
    """What a ledger does with state, in the plainest words."""

    versions: dict[RowKey, tuple[int, str]] = field(default_factory=dict)
    used: dict[CounterKey, int] = field(default_factory=dict)
    reserved: dict[CounterKey, int] = field(default_factory=dict)

    def commit(self, changes: Sequence[Change]) -> CommitResult:
        before = (dict(self.versions), dict(self.used), dict(self.reserved))
        for each in changes:
            if not self.make(each):
                self.versions, self.used, self.reserved = before
                return Conflict(each)
        return Committed()

    def make(self, each: Change) -> bool:
        match each:
            case PutIfVersion(made):
                holds = self.versions.get(made.key, (0, ""))[0] == made.version
                if holds:
                    self.versions[made.key] = (made.version + 1, made.status)
            case RequireVersion(row_key, version):
                holds = self.versions.get(row_key, (0, ""))[0] == version
            case Reserve(counted, amount, limit):
                total = self.used.get(counted, 0) + self.reserved.get(counted, 0) + amount
                holds = limit is None or total <= limit
                if holds:
                    self.reserved[counted] = self.reserved.get(counted, 0) + amount
            case Settle(counted, reserved, used):
                holds = True
                self.reserved[counted] = self.reserved.get(counted, 0) + reserved
                self.used[counted] = self.used.get(counted, 0) + used
        return holds

    def check(self, known: Snapshot, wanted: ReadSet) -> None:
        assert {each.key: (each.version, each.status) for each in known.rows.values()} == self.versions
        for counted in wanted.counters:
            usage = known.usage(counted)
            assert (usage.used, usage.reserved) == (self.used.get(counted, 0), self.reserved.get(counted, 0))


def moved(each: Change, tenant: str) -> Change:
    """The same change of a tenant's own."""
    match each:
        case PutIfVersion(made):
            return PutIfVersion(replace(made, key=replace(made.key, tenant=tenant)))
        case RequireVersion(row_key, version):
            return RequireVersion(replace(row_key, tenant=tenant), version)
        case Reserve(counted, amount, limit):
            return Reserve(counted._replace(tenant=tenant), amount, limit)
        case Settle(counted, reserved, used):
            return Settle(counted._replace(tenant=tenant), reserved, used)


async def play(ledger: CheckpointingLedger, history: History, tenant: str) -> int:
    """How many commitments were stored."""
    model, stored = Model(), 0
    wanted = ReadSet(
        [replace(each, tenant=tenant) for each in ROWS], [each._replace(tenant=tenant) for each in COUNTERS]
    )
    for said in history:
        batch = [[moved(each, tenant) for each in changes] for changes in said]
        results = list(await ledger.commit([change(*changes, tenant=tenant) for changes in batch]))
        assert results == [model.commit(changes) for changes in batch]
        stored += results.count(Committed())
        model.check(await ledger.load(wanted), wanted)
    return stored


def check(open_it: Callable[[], CheckpointingLedger], verify: Callable[[], VerifyReport], examples: int) -> None:
    """Play so many histories, each in a tenant of its own; then all state is what the records say."""
    tenants = (f"t{number}" for number in itertools.count())
    stored = 0

    with asyncio.Runner() as runner:
        ledger = runner.run(opened(open_it))

        @settings(max_examples=examples, deadline=None, suppress_health_check=[HealthCheck.too_slow])
        @given(history=histories)
        def as_in_the_model(history: History) -> None:
            nonlocal stored
            stored += runner.run(play(ledger, history, next(tenants)))

        try:
            as_in_the_model()
            report = runner.run(ledger.verify())
            assert (report.records, report.problems) == (stored, ())
            report = verify()
            assert (report.records, report.problems) == (stored, ())
            assert report.state is not None
            assert report.state.rows > 0 < report.state.counters
            assert (report.state.unproven, report.state.since) == (0, ())
        finally:
            runner.run(ledger.close())


async def opened(open_it: Callable[[], CheckpointingLedger]) -> CheckpointingLedger:
    return open_it()


def test_in_memory(signing_key: SigningKey) -> None:
    ledger = MemoryLedger(writer="w1", signing_key=signing_key, clock=TickingClock())
    check(lambda: ledger, lambda: verify_trail(ledger, signing_key.public.check, state=True), EXAMPLES)


def test_in_sqlite(database: Path, signing_key: SigningKey) -> None:
    check(
        lambda: SqliteLedger.open(database, writer="w1", signing_key=signing_key, clock=TickingClock()),
        lambda: verify_database(database, signing_key.public, state=True),
        EXAMPLES,
    )


def test_in_postgres(postgres_url: str, signing_key: SigningKey) -> None:
    check(
        lambda: PostgresLedger.open(postgres_url, writer="w1", signing_key=signing_key, clock=TickingClock()),
        lambda: verify_url(postgres_url, signing_key.public, state=True),
        EXAMPLES,
    )
