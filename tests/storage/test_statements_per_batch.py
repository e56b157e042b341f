"""How many statements a commit runs: a fixed number for each table, however many decisions it holds."""

from __future__ import annotations

import math
import re
from collections import Counter
from typing import TYPE_CHECKING, Any

import pytest

from placet.audit.records import Committed
from placet.kernel.state import ReadSet
from placet.storage.connections.postgres import PostgresConnection
from placet.storage.sql.statements.bulk import BULK_ROWS_MAX, bulk_sizes
from placet.storage.sqlite.writer import SqliteWriter
from tests.storage.batch_making import counters_of, decided

if TYPE_CHECKING:
    from collections.abc import Sequence

    from placet.storage.ledger import ThreadedLedger
    from placet.storage.sqlite.backend import SqliteLedger
    from tests.storage.replicas import Replicas
from tests.support.replacing import replace

TABLES = re.compile(r"(?:INTO|UPDATE|JOIN) (\w+)")
FIRST = 10_000
"""Number of the first decision of the batch that is counted."""
SIZES = (1, 32, 100)
LOOK_UPS = {"SELECT idempotency_keys": 1}
LIMITS_LOOK_UPS = {"SELECT counters": 1}
TRANSACTION = {"BEGIN": 1, "COMMIT": 1, "UPDATE audit_writers": 1}


def name_of(sql: str) -> str:
    """Return the verb and the table of a statement; the verb only when it has no table."""
    table = TABLES.search(sql)
    return f"{sql.split(maxsplit=1)[0]} {table[1]}" if table else sql.split(maxsplit=1)[0]


async def second_commit(ledger: ThreadedLedger, size: int, ran: list[str], *, limits: bool) -> Counter[str]:
    """Commit one decision, then `size` others of other users and runs. Return the statements of the second commit."""
    await ledger.commit(decided([1], limits=limits))
    ran.clear()
    results = await ledger.commit(decided(range(FIRST, FIRST + size), limits=limits))
    assert list(results) == [Committed()] * size
    return Counter(map(name_of, ran))


def written_rows(size: int, *, limits: bool) -> dict[str, int]:
    """Return how many rows the second commit inserts into each table."""
    rows = {"audit_records": size, "audit_parts": size * (3 if limits else 2), "idempotency_keys": size}
    counters = {counter for number in range(FIRST, FIRST + size) for counter in counters_of(number)}
    return {**rows, "counters": len(counters), "reservations": size} if limits else rows


@pytest.mark.parametrize("limits", [False, True])
@pytest.mark.parametrize("size", SIZES)
async def test_sqlite(ledger: SqliteLedger, size: int, limits: bool) -> None:  # noqa: FBT001
    """One look-up for each table of new keys, and one insert for each power of two in the number of its rows."""
    ran = traced(ledger)
    inserts = {
        f"INSERT {table}": len(list(bulk_sizes(rows))) for table, rows in written_rows(size, limits=limits).items()
    }
    look_ups = {**LOOK_UPS, **(LIMITS_LOOK_UPS if limits else {})}
    if limits:
        look_ups["SELECT counters"] = math.ceil(written_rows(size, limits=True)["counters"] / BULK_ROWS_MAX)
    assert await second_commit(ledger, size, ran, limits=limits) == Counter(
        {**TRANSACTION, "PRAGMA": 1, **look_ups, **inserts}  # the pragma tells whether another connection has written
    )


async def test_counters_that_were_used_before_are_not_read_again(ledger: SqliteLedger) -> None:
    ran = traced(ledger)
    await ledger.commit(decided(range(1, 33), limits=True))
    ran.clear()
    again = [replace(made, idempotency=None) for made in decided(range(1, 33), limits=True)]
    spent = [replace(made, decision=None, changes=made.changes[2:-1]) for made in again]
    await ledger.commit(spent)
    known = await ledger.load(ReadSet(counters=counters_of(1)))
    assert [usage.reserved for usage in known.counters.values()] == [6, 192, 6, 192, 192, 192, 42]
    assert not [sql for sql in ran if sql.startswith("SELECT")]


def traced(ledger: SqliteLedger) -> list[str]:
    """Return the list of the statements that the writer will run."""
    ran: list[str] = []
    writer = ledger._writer
    assert isinstance(writer, SqliteWriter)
    assert writer._connection is not None
    writer._connection.set_trace_callback(ran.append)
    return ran


@pytest.mark.parametrize("limits", [False, True])
@pytest.mark.parametrize("size", SIZES)
async def test_postgres(replicas: Replicas, monkeypatch: pytest.MonkeyPatch, size: int, limits: bool) -> None:  # noqa: FBT001
    """One statement for each table to look up, to ensure, to insert and to save. Locks are taken by look-ups."""
    ran: list[str] = []
    execute = PostgresConnection.execute

    def counting(self: PostgresConnection, sql: str, parameters: Sequence[Any] = (), /) -> Any:
        ran.append(sql)
        return execute(self, sql, parameters)

    def refuse(*_: object) -> None:
        pytest.fail("a commit runs a statement for each row")

    monkeypatch.setattr(PostgresConnection, "execute", counting)
    monkeypatch.setattr(PostgresConnection, "executemany", refuse)
    ledger = replicas.open()
    inserts = {f"INSERT {table}": 1 for table in written_rows(size, limits=limits)}
    look_ups = {
        **LOOK_UPS,
        "SELECT control_versions": 1,
        "SELECT": 1,
        **(LIMITS_LOOK_UPS if limits else {}),
    }  # the lock of controls has no table
    expected = Counter({**TRANSACTION, **look_ups, **inserts})
    expected["INSERT counters"] += limits  # ensured, and saved
    assert await second_commit(ledger, size, ran, limits=limits) == expected


@pytest.mark.parametrize("count", [0, 1, 2, 3, 31, 32, 100, 127, 128, 129, 1_000])
def test_sizes_of_inserts(count: int) -> None:
    sizes = list(bulk_sizes(count))
    assert sum(sizes) == count
    assert sizes == sorted(sizes, reverse=True)
    assert {size & (size - 1) for size in sizes} <= {0}, "powers of two"
    assert len(sizes) <= 7 + count // BULK_ROWS_MAX
