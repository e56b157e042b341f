"""What state costs: budgets and limits beside none, PostgreSQL beside SQLite, a full database beside an empty one."""

from __future__ import annotations

import asyncio
import contextlib
import sqlite3
import statistics
import time
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from tests import postgres
from tests.bench import filling, load, policies, programs
from tests.bench.lines import Line, at_least, at_most, plain

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator
    from pathlib import Path

    from tests.bench.load import Load
    from tests.bench.programs import Server

CALLERS = 32
TURNS = 5
"""Those who are compared take turns: what else the machine does reaches both."""
LISTED_MS_MAX = 5.0
FIRST_PAGE = "SELECT * FROM approvals WHERE tenant = ? ORDER BY created_at_us DESC, id DESC LIMIT 51"


@dataclass(frozen=True, slots=True)
class Side:
    """One of those who are compared: a tenant of a server. `cpu_seconds` is what its processes used so far."""

    server: Server
    tenant: str
    cpu_seconds: Callable[[], float]

    def run(self, callers: int, calls: int) -> tuple[Load, float]:
        """So many calls; what was seen, and microseconds of CPU for each."""
        before = self.cpu_seconds()
        seen = load.unary(self.server.address, callers, calls, request_of(self.tenant))
        return seen, (self.cpu_seconds() - before) / calls * 1e6


@dataclass(frozen=True, slots=True)
class Compared:
    """Two sides after their turns: medians of each, and the median of the ratios turn by turn (second to first)."""

    first: Load
    second: Load
    per_second: float
    p50: float
    first_cpu_us: float
    second_cpu_us: float


def request_of(tenant: str) -> dict[str, Any]:
    """The benchmark's request from that tenant. Of 1,000 users; a run has 8 calls or so, which is domain's average."""
    user = "{{newUUID}}" if tenant == "cold" else "u_{{randomInt 1 1000}}"
    identity = {**load.REQUEST["identity"], "tenant": tenant, "user": user}
    run = {**load.REQUEST["run"], "run_id": "run_{{randomInt 1 5000}}"}
    return {**load.REQUEST, "identity": identity, "run": run}


def limits(folder: Path, calls: int) -> Iterator[Line]:
    """Budgets, a run's limit and hot counters on both engines; PostgreSQL beside SQLite."""
    rego = policies.with_limits(folder)
    with postgres.postgres(durable=True) as database, contextlib.ExitStack() as stack:
        sqlite = stack.enter_context(programs.placet(rego))
        shared = stack.enter_context(programs.placet(rego, database_url=database.url(database.new_database())))

        def postgres_cpu() -> float:
            return shared.cpu_seconds() + database.cpu_seconds()

        def side(tenant: str, *, on_postgres: bool = False) -> Side:
            server = shared if on_postgres else sqlite
            return Side(server, tenant, postgres_cpu if on_postgres else sqlite.cpu_seconds)

        for each in (side("acme"), side("acme", on_postgres=True)):
            each.run(CALLERS, calls // 4)
        found = _turns(side("acme"), side("limited"), CALLERS, calls)
        yield from _cpu("SQLite", found)
        yield _faster("SQLite: 6 budgets, a run's limit / none", found, 0.8)
        found = _turns(side("acme", on_postgres=True), side("limited", on_postgres=True), CALLERS, calls)
        yield from _cpu("PostgreSQL", found)
        yield plain("PostgreSQL: 6 budgets, a run's limit / none", found.per_second, "x")
        found = _turns(side("acme"), side("acme", on_postgres=True), CALLERS, calls)
        yield _faster("PostgreSQL / SQLite, no limits", found, 0.5)
        found = _turns(side("limited"), side("limited", on_postgres=True), CALLERS, calls)
        yield _faster("PostgreSQL / SQLite, 6 budgets, a run's limit", found, 0.5)
        for name, on_postgres in (("SQLite", False), ("PostgreSQL", True)):
            cold, hot = (side(tenant, on_postgres=on_postgres) for tenant in ("cold", "hot"))
            for callers in (1, CALLERS):
                found = _turns(cold, hot, callers, calls if callers > 1 else calls // 4)
                yield _slower(f"{name}: hot budget / cold one, p50, {callers} callers", found, 1.3)


def full(folder: Path, decisions: int, approvals: int, calls: int) -> Iterator[Line]:
    """An empty database beside one with so many past decisions and open approvals. SQLite."""
    rego = policies.with_limits(folder)
    past, waiting = folder / "past", folder / "waiting"
    for place, count, open_approvals in ((past, decisions, 0), (waiting, 0, approvals)):
        with programs.placet(rego, place):
            pass
        asyncio.run(filling.fill(place, count, open_approvals))
    with programs.placet(rego) as empty:
        for place, what in ((past, f"{decisions} past decisions"), (waiting, f"{approvals} open approvals")):
            with programs.placet(rego, place) as server:
                sides = (Side(empty, "acme", empty.cpu_seconds), Side(server, "acme", server.cpu_seconds))
                for each in sides:
                    each.run(1, calls // 4)
                yield _slower(f"p50 at 1 caller, {what} / none", _turns(*sides, 1, calls), 1.2)
                yield _slower(f"p50 at {CALLERS} callers, {what} / none", _turns(*sides, CALLERS, calls * 4), 1.2)
                if place == waiting:
                    yield from _listing(server, approvals, calls)


def _listing(server: Server, approvals: int, calls: int) -> Iterator[Line]:
    """The first page of all approvals, in any state and pending; beside the bare SQL."""
    floor = _page_ms(server.data_dir / "placet.db", calls)
    for what, asked in (("any", {}), ("pending", {"state": "APPROVAL_STATE_PENDING"})):
        request = {"tenant": "acme", **asked}
        seen = load.call(server.address, "approval", "ApprovalService/ListApprovals", 1, calls, request)
        yield plain(f"ListApprovals of {approvals}, {what}: bare SQL", floor, "ms")
        yield at_most(f"ListApprovals of {approvals}, {what}: first page / 5 ms", seen.p50_ms, "ms", LISTED_MS_MAX, 1.0)


def _page_ms(path: Path, rounds: int) -> float:
    connection = sqlite3.connect(path)
    times = []
    for _ in range(rounds):
        started = time.perf_counter()
        connection.execute(FIRST_PAGE, ("acme",)).fetchall()
        times.append(time.perf_counter() - started)
    connection.close()
    return statistics.median(times) * 1_000


def _turns(first: Side, second: Side, callers: int, calls: int) -> Compared:
    """Each side in turn, a few times, after one short turn that does not count."""
    for side in (first, second):
        side.run(callers, calls // 10)
    turns = [(first.run(callers, calls // TURNS), second.run(callers, calls // TURNS)) for _ in range(TURNS)]
    return Compared(
        _median([seen for (seen, _), _ in turns]),
        _median([seen for _, (seen, _) in turns]),
        statistics.median(b.per_second / a.per_second for (a, _), (b, _) in turns),
        statistics.median(b.p50_ms / a.p50_ms for (a, _), (b, _) in turns),
        statistics.median(cpu for (_, cpu), _ in turns),
        statistics.median(cpu for _, (_, cpu) in turns),
    )


def _median(seen: list[Load]) -> Load:
    columns = zip(*((each.per_second, each.p50_ms, each.p99_ms) for each in seen), strict=True)
    return load.Load(*(statistics.median(column) for column in columns))


def _faster(name: str, found: Compared, factor: float) -> Line:
    return at_least(name, found.second.per_second, "calls/s", found.first.per_second, factor, found.per_second)


def _slower(name: str, found: Compared, factor: float) -> Line:
    return at_most(name, found.second.p50_ms, "ms", found.first.p50_ms, factor, found.p50)


def _cpu(engine: str, found: Compared) -> Iterator[Line]:
    """What a call costs in the server, OPA and the database together: less the machine's to say than throughput is."""
    first, second = found.first_cpu_us, found.second_cpu_us
    yield plain(f"{engine}: CPU of a call without limits", first, "us")
    yield Line(f"{engine}: CPU of a call with 6 budgets, a run's limit", second, "us", first, second / first, "", None)
