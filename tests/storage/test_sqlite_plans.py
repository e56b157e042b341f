"""Every statement finds its rows by an index, and queries come in order without sorting."""

from __future__ import annotations

from itertools import product
from operator import attrgetter
from typing import TYPE_CHECKING

import pytest

from placet.kernel.state import StateTable
from placet.storage.connections.sqlite import SQL, connect_reader
from placet.storage.sql.schema import BROWSED, CONDITIONS, SELECTIVE
from placet.storage.sql.statements.bulk import BULK_ROWS_MAX

if TYPE_CHECKING:
    from pathlib import Path

    from placet.storage.sql.statements.bulk import Bulk


def plan(database: Path, sql: str) -> list[str]:
    connection = connect_reader(database)
    given = [1] * sql.count("?")
    steps = [detail for *_, detail in connection.execute(f"EXPLAIN QUERY PLAN {sql}", given)]
    connection.close()
    return steps


@pytest.mark.parametrize(("condition", "from_us", "before"), list(product([None, *CONDITIONS], *[[False, True]] * 2)))
def test_pages(original: Path, condition: str | None, from_us: bool, before: bool) -> None:  # noqa: FBT001
    sql = SQL.records.page((condition,) if condition else (), from_us=from_us, before=before)
    index = condition if condition in SELECTIVE else "newest"
    (step,) = plan(original, sql)
    assert step.startswith(f"SEARCH audit_records USING INDEX ix_audit_records_{index} (tenant=?")


def test_a_page_of_a_caller_comes_in_order_without_sorting(original: Path) -> None:
    sql = SQL.records.page((), members=1, from_us=True, before=True)
    (step,) = plan(original, sql)
    assert step.startswith("SEARCH audit_records USING INDEX ix_audit_records_newest (tenant=?")


@pytest.mark.parametrize(
    ("name", "index"),
    [
        ("keys.stored", "sqlite_autoindex_idempotency_keys_1 (tenant=? AND caller=? AND idempotency_key=?)"),
        ("chains.move_head", "sqlite_autoindex_audit_writers_1 (writer=?)"),
        ("chains.head", "sqlite_autoindex_audit_writers_1 (writer=?)"),
        ("records.bodies_after", "ix_audit_records_writer (writer=? AND sequence>?)"),
        ("checkpoints.newest", "sqlite_autoindex_audit_checkpoints_1 (writer=?)"),
        ("checkpoints.of_writer", "sqlite_autoindex_audit_checkpoints_1 (writer=?)"),
        ("records.body_at", "sqlite_autoindex_audit_records_1 (tenant=? AND writer=? AND sequence=?)"),
        ("parts.of_record", "sqlite_autoindex_audit_parts_1 (tenant=? AND writer=? AND sequence=?)"),
        ("records.decision", "ix_audit_records_decision_id (tenant=? AND decision_id=?)"),
        ("records.of_writer", "ix_audit_records_writer (writer=?)"),
        ("keys.delete", "sqlite_autoindex_idempotency_keys_1 (tenant=? AND caller=? AND idempotency_key=?)"),
        ("keys.delete_replaced", "sqlite_autoindex_idempotency_keys_1 (tenant=? AND caller=? AND idempotency_key=?)"),
        ("keys.decided_before", "ix_idempotency_keys_decided (decided_at_us<?)"),
        ("records.with_subject_after", "ix_audit_records_watched (writer=? AND sequence>?)"),
        ("records.about_subject", "ix_audit_records_subject (tenant=? AND subject=?)"),
    ],
)
def test_look_ups(original: Path, name: str, index: str) -> None:
    (step,) = plan(original, attrgetter(name)(SQL))
    assert step.endswith(f"USING INDEX {index}")


def test_effects_are_counted_over_the_newest(original: Path) -> None:
    """The few that are left are grouped aside."""
    steps = plan(original, SQL.records.count_effects)
    assert steps[1] == "SEARCH audit_records USING INDEX ix_audit_records_newest (tenant=?)"
    assert steps[2:] == ["SCAN anon_1", "USE TEMP B-TREE FOR GROUP BY"]


def test_agents_are_found_by_an_index(original: Path) -> None:
    steps = plan(original, SQL.records.agents)
    assert steps[0] == "SEARCH audit_records USING INDEX ix_audit_records_newest (tenant=? AND recorded_at_us>?)"


def test_the_last_use_of_agents_reads_the_index_of_the_newest(original: Path) -> None:
    steps = plan(original, SQL.records.agents_last_used)
    assert steps[0] == "SEARCH audit_records USING INDEX ix_audit_records_newest (tenant=? AND recorded_at_us>?)"


def test_heads_are_one_row_for_each_writer(original: Path) -> None:
    assert plan(original, SQL.chains.heads) == ["SCAN audit_writers"]


def test_totals(original: Path) -> None:
    (step,) = plan(original, SQL.state.totals)
    assert step == "SEARCH counters USING INDEX sqlite_autoindex_counters_1 (tenant=? AND budget_id=?)"


@pytest.mark.parametrize(
    ("statement", "table", "columns"),
    [
        (SQL.bulk.stored_keys, "idempotency_keys", "tenant=? AND caller=? AND idempotency_key=?"),
        (SQL.bulk.counters, "counters", "tenant=? AND budget_id=? AND unit=? AND window_key=? AND scope_key=?"),
        (SQL.bulk.counters_locked, "counters", "tenant=? AND budget_id=? AND unit=? AND window_key=? AND scope_key=?"),
        *((SQL.bulk.rows(kept, locked=locked), kept, "tenant=? AND id=?") for kept in StateTable for locked in (0, 1)),
        *((SQL.bulk.update_rows(kept), kept, "tenant=? AND id=?") for kept in StateTable),
    ],
)
@pytest.mark.parametrize("size", [1, BULK_ROWS_MAX])
def test_many_at_once(original: Path, statement: Bulk, table: str, columns: str, size: int) -> None:
    """The rows of parameters come first, then each row of the table by the index of its key."""
    scan, search = plan(original, statement.text(size))[-2:]
    assert scan == "SCAN given"
    assert search == f"SEARCH {table} USING INDEX sqlite_autoindex_{table}_1 ({columns})"


def test_from_one_budget_to_the_next_is_one_look(original: Path) -> None:
    steps = plan(original, SQL.state.budget_ids_with_usage)
    index = "SEARCH counters USING COVERING INDEX sqlite_autoindex_counters_1"
    looks = [step for step in steps if "counters" in step]
    assert looks == [f"{index} (tenant=?)", f"{index} (tenant=? AND budget_id>?)"]


def test_the_largest_counters_are_sorted_within_their_window(original: Path) -> None:
    """An index by what is used would be written to by every decision, for the sake of a look now and then."""
    search, sort = plan(original, SQL.state.top_counters)
    assert search.endswith("sqlite_autoindex_counters_1 (tenant=? AND budget_id=? AND unit=? AND window_key=?)")
    assert sort == "USE TEMP B-TREE FOR ORDER BY"


@pytest.mark.parametrize("kept", list(StateTable))
def test_rows(original: Path, kept: StateTable) -> None:
    (due,) = plan(original, SQL.state.due(kept))
    assert due.startswith(f"SEARCH {kept} USING INDEX ix_{kept}_due (due_at_us>")
    (count,) = plan(original, SQL.state.count_due(kept))
    assert f"{kept} USING COVERING INDEX ix_{kept}_due" in count


@pytest.mark.parametrize("before", [False, True])
@pytest.mark.parametrize("status", [True, False])
@pytest.mark.parametrize("kept", sorted(BROWSED))
def test_pages_of_rows(original: Path, kept: StateTable, status: bool, before: bool) -> None:  # noqa: FBT001
    (step,) = plan(original, SQL.state.page(kept, status=status, before=before))
    index = f"ix_{kept}_listed (tenant=? AND status=?" if status else f"ix_{kept}_newest (tenant=?"
    place = " AND (created_at_us,id)<(?,?)" if before else ""
    assert step == f"SEARCH {kept} USING INDEX {index}{place})"
