"""Every statement finds its rows by an index on PostgreSQL, too, and pages come in order without sorting."""

from __future__ import annotations

import contextlib
import re
from itertools import product
from typing import TYPE_CHECKING

import pytest

from placet.core.changes import Kept
from placet.store.migrate import prepare
from placet.store.postgres_connect import SQL, connect
from placet.store.schema import CONDITIONS, SELECTIVE

if TYPE_CHECKING:
    from collections.abc import Iterator

    from placet.store.postgres_connect import PostgresConnection
    from tests.postgres import Postgres


FILL = """
INSERT INTO audit_records (tenant, writer, sequence, kind, recorded_at_us, decision_id, effect, rule_id, tool, run_id,
                           "user", agent, subject, body, previous_hash, hash)
SELECT 'tenant-' || mod(i, 3), 'w' || mod(i, 4), i, 'decision.made', i, 'dec_' || i, 'allow', 'rule-' || mod(i, 9),
       'tool-' || mod(i, 9), 'run-' || i / 8, 'user-' || mod(i, 50), 'agent', 'dec_' || i, '', '', ''
FROM generate_series(1, 5000) AS i
"""

FILL_ROWS = """
INSERT INTO {} (tenant, id, version, status, created_at_us, due_at_us, body)
SELECT 'tenant-' || mod(i, 3), 'id_' || i, 1, 'pending', i, i, '' FROM generate_series(1, 2000) AS i
"""


@pytest.fixture(scope="module")
def filled(postgres_server: Postgres) -> Iterator[PostgresConnection]:
    """What it would do if a scan of a table were always dearer than its index, as it is when there is much in it."""
    url = postgres_server.url(postgres_server.new_database())
    prepare(url)
    with contextlib.closing(connect(url, "plans", writes=True)) as connection:
        connection.driver.prepare_threshold = None  # the tests prepare by themselves
        connection.execute(FILL)
        for kept in Kept:
            connection.execute(FILL_ROWS.format(kept))
        connection.execute("ANALYZE")
        for method in ("seqscan", "bitmapscan", "sort"):
            connection.execute(f"SET enable_{method} = off")
        yield connection


def plan(connection: PostgresConnection, sql: str) -> str:
    connection.execute("DEALLOCATE ALL")
    numbered = sql
    for number in range(1, sql.count("%s") + 1):
        numbered = numbered.replace("%s", f"${number}", 1)
    connection.execute(f"PREPARE looked AS {numbered}".replace("%", "%%"))
    connection.execute("SET plan_cache_mode = force_generic_plan")
    given = ", ".join(["NULL"] * sql.count("%s"))
    steps = connection.execute(f"EXPLAIN (COSTS off) EXECUTE looked{f'({given})' if given else ''}").fetchall()
    return "\n".join(step for (step,) in steps)


@pytest.mark.parametrize(("condition", "from_us", "before"), list(product([None, *CONDITIONS], *[[False, True]] * 2)))
def test_pages(filled: PostgresConnection, condition: str | None, from_us: bool, before: bool) -> None:  # noqa: FBT001
    found = plan(filled, SQL.page((condition,) if condition else (), from_us=from_us, before=before))
    index = condition if condition in SELECTIVE else "newest"
    assert f"Index Scan Backward using ix_audit_records_{index} on audit_records" in found
    assert "Sort" not in found
    assert "Seq Scan" not in found


@pytest.mark.parametrize(
    ("name", "index"),
    [
        ("key", "pk_idempotency_keys"),
        ("move_head", "pk_audit_writers"),
        ("head", "pk_audit_writers"),
        ("since", "ix_audit_records_writer"),
        ("newest_checkpoint", "pk_audit_checkpoints"),
        ("checkpoints", "pk_audit_checkpoints"),
        ("record", "(pk_audit_records|ix_audit_records_writer)"),
        ("parts", "pk_audit_parts"),
        ("decision", "ix_audit_records_decision_id"),
        ("records", "ix_audit_records_writer"),
        ("old_keys", "ix_idempotency_keys_decided"),
        ("watched", "ix_audit_records_watched"),
        ("history", "ix_audit_records_subject"),
    ],
)
def test_look_ups(filled: PostgresConnection, name: str, index: str) -> None:
    found = plan(filled, getattr(SQL, name))
    assert re.search(f"using {index} on", found)
    assert "Seq Scan" not in found
    assert "Sort" not in found


@pytest.mark.parametrize("kept", list(Kept))
def test_rows(filled: PostgresConnection, kept: Kept) -> None:
    for locked in (False, True):
        assert f"using pk_{kept} on {kept}" in plan(filled, SQL.state.row(kept, locked=locked))
    assert f"using pk_{kept} on {kept}" in plan(filled, SQL.state.update_row(kept))
    assert f"using ix_{kept}_due on {kept}" in plan(filled, SQL.state.due(kept))


def test_counters(filled: PostgresConnection) -> None:
    for sql in (SQL.state.counter, SQL.state.counter_locked):
        assert "using pk_counters on counters" in plan(filled, sql)
