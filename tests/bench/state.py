"""The cost of state: budgets and limits or none, PostgreSQL or SQLite, a full or an empty database."""

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
from tests.bench.lines import Spread, at_least, at_most, measured, plain

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator
    from pathlib import Path

    from tests.bench.lines import Line
    from tests.bench.load import Load
    from tests.bench.programs import Server

CALLERS = 32
TURNS = 5
"""The two sides of a comparison take turns, so that other load on the machine affects both."""
LISTED_MS_MAX = 5.0
FIRST_PAGE = "SELECT * FROM approvals WHERE tenant = ? ORDER BY created_at_us DESC, id DESC LIMIT 51"


@dataclass(frozen=True, slots=True)
class Side:
    """One side of a comparison: a tenant of a server."""

    server: Server
    tenant: str
    cpu_seconds: Callable[[], float]  # CPU time of the server's processes since their start

    def run(self, callers: int, calls: int) -> tuple[Load, float]:
        """Send the calls. Returns the load, and microseconds of CPU time for each call."""
        before = self.cpu_seconds()
        result = load.unary(self.server.address, callers, calls, request_of(self.tenant))
        return result, (self.cpu_seconds() - before) / calls * 1e6


@dataclass(frozen=True, slots=True)
class Comparison:
    """The medians of two sides over all turns."""

    first: Load
    second: Load
    per_second: float  # median of the ratios of each turn, second to first
    p50: float  # likewise
    first_cpu_us: float
    second_cpu_us: float


def request_of(tenant: str) -> dict[str, Any]:
    """Return the benchmark's request from the tenant: from 1,000 users, in runs of about 8 calls, a usual average."""
    user = "{{newUUID}}" if tenant == "cold" else "u_{{randomInt 1 1000}}"
    identity = {**load.REQUEST["identity"], "tenant": tenant, "user": user}
    run = {**load.REQUEST["run"], "run_id": "run_{{randomInt 1 5000}}"}
    return {**load.REQUEST, "identity": identity, "run": run}


def limits(folder: Path, calls: int) -> Iterator[Line]:
    """Compare budgets, a run limit and hot counters on both engines, and PostgreSQL with SQLite."""
    rego = policies.with_limits(folder)
    with postgres.postgres(durable=True) as database, contextlib.ExitStack() as stack:
        sqlite = stack.enter_context(programs.placet(rego))
        shared = stack.enter_context(programs.placet(rego, database_url=database.url(database.new_database())))

        def postgres_cpu() -> float:
            return shared.cpu_seconds() + database.cpu_seconds()

        def side(tenant: str, *, on_postgres: bool = False) -> Side:
            server = shared if on_postgres else sqlite
            return Side(server, tenant, postgres_cpu if on_postgres else sqlite.cpu_seconds)

        for warmed in (side("acme"), side("acme", on_postgres=True)):
            warmed.run(CALLERS, calls // 4)
        compared = _turns(side("acme"), side("limited"), CALLERS, calls)
        yield from _cpu("SQLite", compared)
        yield _faster("SQLite: 6 budgets, a run's limit / none", compared, 0.8)
        compared = _turns(side("acme", on_postgres=True), side("limited", on_postgres=True), CALLERS, calls)
        yield from _cpu("PostgreSQL", compared)
        yield plain("PostgreSQL: 6 budgets, a run's limit / none", compared.per_second, "x")
        compared = _turns(side("acme"), side("acme", on_postgres=True), CALLERS, calls)
        yield _faster("PostgreSQL / SQLite, no limits", compared, 0.5)
        compared = _turns(side("limited"), side("limited", on_postgres=True), CALLERS, calls)
        yield _faster("PostgreSQL / SQLite, 6 budgets, a run's limit", compared, 0.5)
        for name, on_postgres in (("SQLite", False), ("PostgreSQL", True)):
            cold, hot = (side(tenant, on_postgres=on_postgres) for tenant in ("cold", "hot"))
            for callers in (1, CALLERS):
                compared = _turns(cold, hot, callers, calls if callers > 1 else calls // 4)
                yield _slower(f"{name}: hot budget / cold one, p50, {callers} callers", compared, 1.3)


def full(folder: Path, decisions: int, approvals: int, calls: int) -> Iterator[Line]:
    """Compare an empty SQLite database with one of past decisions, and with one of open approvals."""
    rego = policies.with_limits(folder)
    past, waiting = folder / "past", folder / "waiting"
    for data_dir, count, open_approvals in ((past, decisions, 0), (waiting, 0, approvals)):
        with programs.placet(rego, data_dir):
            pass
        asyncio.run(filling.fill(data_dir, count, open_approvals))
    with programs.placet(rego) as empty:
        for data_dir, what in ((past, f"{decisions} past decisions"), (waiting, f"{approvals} open approvals")):
            with programs.placet(rego, data_dir) as server:
                sides = (Side(empty, "acme", empty.cpu_seconds), Side(server, "acme", server.cpu_seconds))
                for side in sides:
                    side.run(1, calls // 4)
                yield _slower(f"p50 at 1 caller, {what} / none", _turns(*sides, 1, calls), 1.2)
                yield _slower(f"p50 at {CALLERS} callers, {what} / none", _turns(*sides, CALLERS, calls * 4), 1.2)
                if data_dir == waiting:
                    yield from _listing(server, approvals, calls)


def _listing(server: Server, approvals: int, calls: int) -> Iterator[Line]:
    """Measure the first page of approvals, in any state and pending, and its bare SQL."""
    floor = _page_ms(server.data_dir / "placet.db", calls)
    for what, filters in (("any", {}), ("pending", {"state": "APPROVAL_STATE_PENDING"})):
        request = {"tenant": "acme", **filters}
        page = load.call(server.address, "approval", "ApprovalService/ListApprovals", 1, calls, request)
        yield plain(f"ListApprovals of {approvals}, {what}: bare SQL", floor, "ms")
        yield at_most(f"ListApprovals of {approvals}, {what}: first page / 5 ms", page.p50_ms, "ms", LISTED_MS_MAX, 1.0)


def _page_ms(path: Path, rounds: int) -> float:
    connection = sqlite3.connect(path)
    times = []
    for _ in range(rounds):
        started = time.perf_counter()
        connection.execute(FIRST_PAGE, ("acme",)).fetchall()
        times.append(time.perf_counter() - started)
    connection.close()
    return statistics.median(times) * 1_000


def _turns(first: Side, second: Side, callers: int, calls: int) -> Comparison:
    """Measure the sides in TURNS turns, after one short turn that does not count."""
    for side in (first, second):
        side.run(callers, calls // 10)
    turns = [(first.run(callers, calls // TURNS), second.run(callers, calls // TURNS)) for _ in range(TURNS)]
    return Comparison(
        _median([result for (result, _), _ in turns]),
        _median([result for _, (result, _) in turns]),
        statistics.median(b.per_second / a.per_second for (a, _), (b, _) in turns),
        statistics.median(b.p50_ms / a.p50_ms for (a, _), (b, _) in turns),
        statistics.median(cpu for (_, cpu), _ in turns),
        statistics.median(cpu for _, (_, cpu) in turns),
    )


def _median(loads: list[Load]) -> Load:
    columns = zip(*((result.per_second, result.p50_ms, result.p99_ms) for result in loads), strict=True)
    return load.Load(*(statistics.median(column) for column in columns))


def _faster(name: str, compared: Comparison, factor: float) -> Line:
    return at_least(name, compared.second.per_second, "calls/s", compared.first.per_second, factor, compared.per_second)


def _slower(name: str, compared: Comparison, factor: float) -> Line:
    return at_most(name, compared.second.p50_ms, "ms", compared.first.p50_ms, factor, compared.p50)


def _cpu(engine: str, compared: Comparison) -> Iterator[Line]:
    """Yield the CPU time of a call in server, OPA and database: other load affects it less than throughput."""
    first, second = compared.first_cpu_us, compared.second_cpu_us
    yield plain(f"{engine}: CPU of a call without limits", first, "us")
    name = f"{engine}: CPU of a call with 6 budgets, a run's limit"
    yield measured(name, Spread.of([second]), "us", Spread.of([first]), Spread.of([second / first]), "")
