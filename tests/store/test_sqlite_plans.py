"""Every statement finds its rows by an index, and queries come in order without sorting."""

from __future__ import annotations

from itertools import product
from typing import TYPE_CHECKING

import pytest

from placet.store.schema import CONDITIONS, SELECTIVE
from placet.store.sqlite_files import SQL, connect_reader

if TYPE_CHECKING:
    from pathlib import Path


def plan(database: Path, sql: str) -> list[str]:
    connection = connect_reader(database)
    given = [1] * sql.count("?")
    steps = [detail for *_, detail in connection.execute(f"EXPLAIN QUERY PLAN {sql}", given)]
    connection.close()
    return steps


@pytest.mark.parametrize(("condition", "from_us", "before"), list(product([None, *CONDITIONS], *[[False, True]] * 2)))
def test_pages(original: Path, condition: str | None, from_us: bool, before: bool) -> None:  # noqa: FBT001
    sql = SQL.page((condition,) if condition else (), from_us=from_us, before=before)
    index = condition if condition in SELECTIVE else "newest"
    (step,) = plan(original, sql)
    assert step.startswith(f"SEARCH audit_records USING INDEX ix_audit_records_{index} (tenant=?")


@pytest.mark.parametrize(
    ("name", "index"),
    [
        ("key", "sqlite_autoindex_idempotency_keys_1 (tenant=? AND caller=? AND idempotency_key=?)"),
        ("move_head", "sqlite_autoindex_audit_writers_1 (writer=?)"),
        ("head", "sqlite_autoindex_audit_writers_1 (writer=?)"),
        ("since", "ix_audit_records_writer (writer=? AND sequence>?)"),
        ("newest_checkpoint", "sqlite_autoindex_audit_checkpoints_1 (writer=?)"),
        ("checkpoints", "sqlite_autoindex_audit_checkpoints_1 (writer=?)"),
        ("record", "sqlite_autoindex_audit_records_1 (tenant=? AND writer=? AND sequence=?)"),
        ("parts", "sqlite_autoindex_audit_parts_1 (tenant=? AND writer=? AND sequence=?)"),
        ("decision", "ix_audit_records_decision_id (tenant=? AND decision_id=?)"),
        ("records", "ix_audit_records_writer (writer=?)"),
    ],
)
def test_look_ups(original: Path, name: str, index: str) -> None:
    (step,) = plan(original, getattr(SQL, name))
    assert step.endswith(f"USING INDEX {index}")
