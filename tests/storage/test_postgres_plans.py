"""As `test_sqlite_plans`, on PostgreSQL, whose plans follow from what the tables hold."""

from __future__ import annotations

import itertools
import re
from itertools import product
from operator import attrgetter
from typing import TYPE_CHECKING

import pytest

from placet.kernel.state import StateTable
from placet.storage.connections.postgres import SQL, connect
from placet.storage.migrate import prepare
from placet.storage.sql.schema import BROWSED, CONDITIONS

if TYPE_CHECKING:
    from collections.abc import Iterator

    from placet.storage.connections.postgres import PostgresConnection
    from placet.storage.sql.statements.bulk import Bulk
    from tests.postgres import Postgres

ROWS = 10_000
NUMBERS = f"FROM generate_series(1, {ROWS}) AS i"
ROW = (
    "'t' || mod(i, 3), 'id' || i, 1, CASE mod(i, 5) WHEN 0 THEN 's' ELSE 'done' END, i,"
    " CASE mod(i, 7) WHEN 0 THEN i END, 'x'"
)
RECORDS = (
    'tenant, writer, sequence, kind, recorded_at_us, decision_id, effect, rule_id, tool, run_id, "user", agent,'
    " subject, body, previous_hash, hash"
)
RECORD = (
    "'t' || mod(i, 3), 'w' || mod(i, 2), i, 'k', i, CASE mod(i, 3) WHEN 0 THEN 'dec' || i END, 'e' || mod(i, 3),"
    " 'r' || mod(i, 50), 'o' || mod(i, 9), 'n' || i / 20, 'u' || mod(i, 99), 'a',"
    " CASE mod(i, 4) WHEN 0 THEN 's' || i / 20 END, 'x', 'x', 'x'"
)
FILL = (
    *(f"INSERT INTO {kept} SELECT {ROW} {NUMBERS}" for kept in StateTable),
    f"INSERT INTO counters SELECT 't' || mod(i, 3), 'b', 'u', 'w' || mod(i, 97), 's' || i, i, i, i, i, i {NUMBERS}",
    f"INSERT INTO idempotency_keys SELECT 't' || mod(i, 3), 'c', 'k' || i, 'd', 'dec' || i, 'w1', i, '', i {NUMBERS}",
    f"INSERT INTO audit_records ({RECORDS}) SELECT {RECORD} {NUMBERS}",
    f"INSERT INTO audit_parts SELECT 't' || mod(i, 3), 'w' || mod(i, 2), i, 'input', 'x', 'x' {NUMBERS}",
    "ANALYZE",
)


@pytest.fixture(scope="module")
def filled(postgres_server: Postgres) -> Iterator[PostgresConnection]:
    url = postgres_server.url(postgres_server.new_database())
    prepare(url)
    connection = connect(url, "plans", writes=True)
    for sql in FILL:
        connection.execute(sql)
    yield connection
    connection.close()


@pytest.fixture(scope="module")
def empty(postgres_server: Postgres) -> Iterator[PostgresConnection]:
    url = postgres_server.url(postgres_server.new_database())
    prepare(url)
    connection = connect(url, "plans", writes=True)
    yield connection
    connection.close()


def plan(connection: PostgresConnection, sql: str, given: tuple[object, ...]) -> str:
    return "\n".join(line for (line,) in connection.execute(f"EXPLAIN (COSTS OFF) {sql}", given).fetchall())


def check_plan(found: str, index: str, *, sorts: bool = False) -> None:
    assert "Seq Scan" not in found, found
    assert index in found.split(), found
    assert sorts or "Sort" not in found, found


@pytest.mark.parametrize(
    ("name", "index", "given"),
    [
        ("keys.stored", "pk_idempotency_keys", ("t1", "c", "k1")),
        ("keys.delete", "pk_idempotency_keys", ("t1", "c", "k1")),
        ("keys.delete_replaced", "pk_idempotency_keys", ("t1", "c", "k1", "d")),
        ("keys.decided_before", "ix_idempotency_keys_decided", (900, 50)),
        ("records.with_subject_after", "ix_audit_records_watched", ("w1", 500, 50)),
        ("records.body_at", "ix_audit_records_writer", ("t1", "w1", 1)),
        ("parts.of_record", "pk_audit_parts", ("t1", "w1", 1)),
        ("records.decision", "ix_audit_records_decision_id", ("t0", "dec3")),
    ],
)
def test_look_ups(filled: PostgresConnection, name: str, index: str, given: tuple[object, ...]) -> None:
    check_plan(plan(filled, attrgetter(name)(SQL), given), index)


@pytest.mark.parametrize(
    ("name", "index", "given"),
    [
        ("records.about_subject", "ix_audit_records_subject", ("t1", "s4")),
        ("records.bodies_after", "ix_audit_records_writer", ("w1", ROWS - 50)),
        ("records.count_effects", "ix_audit_records_newest", ("t1", 100, "o2")),
    ],
)
def test_what_an_index_left_may_be_sorted(
    filled: PostgresConnection, name: str, index: str, given: tuple[object, ...]
) -> None:
    check_plan(plan(filled, attrgetter(name)(SQL), given), index, sorts=True)


@pytest.mark.parametrize(("condition", "from_us", "before"), list(product([None, *CONDITIONS], *[[False, True]] * 2)))
def test_pages(filled: PostgresConnection, condition: str | None, from_us: bool, before: bool) -> None:  # noqa: FBT001
    sql = SQL.records.page((condition,) if condition else (), from_us=from_us, before=before)
    conditions = {None: (), "effect": ("e1",), "rule_id": ("r1",), "tool": ("o1",), "run_id": ("n9",), "user": ("u9",)}
    times = (10,) if from_us else ()
    place = (ROWS - 500, "w1", 1) if before else ()
    found = plan(filled, sql, ("t0", *conditions.get(condition, ("a",)), *times, *place, 51))
    assert "Seq Scan" not in found, found
    assert "ix_audit_records_" in found, found


def test_the_largest_counters_are_sorted_within_their_window(filled: PostgresConnection) -> None:
    check_plan(plan(filled, SQL.state.top_counters, ("t1", "b", "u", "w1", 10)), "pk_counters", sorts=True)


def generic_plan(connection: PostgresConnection, statement: Bulk) -> str:
    """Return the plan for parameters that are not known yet, which the driver's prepared statements get."""
    numbers = itertools.count(1)
    sql = re.sub("%s", lambda _: f"${next(numbers)}", statement.text(1))
    connection.execute("SET plan_cache_mode = force_generic_plan")
    connection.execute(f"PREPARE generic AS {sql}")
    given = ", ".join(["NULL"] * statement.width)
    try:
        lines = connection.execute(f"EXPLAIN (COSTS OFF) EXECUTE generic ({given})").fetchall()
    finally:
        connection.execute("DEALLOCATE generic")
        connection.execute("RESET plan_cache_mode")
    return "\n".join(line for (line,) in lines)


@pytest.mark.parametrize("full", [True, False])
@pytest.mark.parametrize(
    ("statement", "table"),
    [
        (SQL.bulk.stored_keys, "idempotency_keys"),
        (SQL.bulk.counters, "counters"),
        (SQL.bulk.counters_locked, "counters"),
        *((SQL.bulk.rows(kept, locked=locked), kept) for kept in StateTable for locked in (False, True)),
        *((SQL.bulk.update_rows(kept), kept) for kept in StateTable),
    ],
)
def test_many_at_once(
    filled: PostgresConnection,
    empty: PostgresConnection,
    statement: Bulk,
    table: str,
    full: bool,  # noqa: FBT001
) -> None:
    """Each row is found by the index of its key: also by a plan that was made when the table was empty."""
    found = generic_plan(filled if full else empty, statement)
    check_plan(found, f"pk_{table}")
    assert "Nested Loop" in found
    assert ("LockRows" in found) == ("FOR UPDATE" in statement.text(1))


def test_locks_are_taken_in_the_order_of_the_keys(filled: PostgresConnection) -> None:
    """Rows are locked as they come out of the loop, which follows the numbers of the parameters."""
    lines = generic_plan(filled, SQL.bulk.counters_locked).splitlines()
    assert [line.split("->")[-1].split(" on ")[0].strip() for line in lines[:3]] == [
        "LockRows",
        "Nested Loop",
        "Function Scan",
    ]


def test_a_scan_of_a_small_table_is_not_compiled(filled: PostgresConnection) -> None:
    """It seems expensive, because sessions discourage scans."""
    assert "JIT" not in plan(filled, SQL.chains.heads, ())
    assert filled.execute("SHOW jit").fetchone() == ("off",)


def test_from_one_budget_to_the_next_is_one_look(filled: PostgresConnection) -> None:
    explained = filled.execute(
        f"EXPLAIN (ANALYZE, COSTS OFF) {SQL.state.budget_ids_with_usage}", ("t1", "t1", 9)
    ).fetchall()
    found = "\n".join(line for (line,) in explained)  # without ANALYZE the inner look is left out
    check_plan(found, "pk_counters")
    assert found.count("Index Only Scan using pk_counters") == 2, found


@pytest.mark.parametrize("kept", list(StateTable))
def test_rows(filled: PostgresConnection, kept: StateTable) -> None:
    check_plan(plan(filled, SQL.state.due(kept), (ROWS // 2, 50)), f"ix_{kept}_due")
    check_plan(plan(filled, SQL.state.count_due(kept), ()), f"ix_{kept}_due")


@pytest.mark.parametrize("before", [False, True])
@pytest.mark.parametrize("status", [True, False])
@pytest.mark.parametrize("kept", sorted(BROWSED))
def test_pages_of_rows(filled: PostgresConnection, kept: StateTable, status: bool, before: bool) -> None:  # noqa: FBT001
    sql = SQL.state.page(kept, status=status, before=before)
    place = (ROWS // 2, "id1") if before else ()
    found = plan(filled, sql, ("t1", *(("s",) if status else ()), *place, 51))
    check_plan(found, f"ix_{kept}_{'listed' if status else 'newest'}")
