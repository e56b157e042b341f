"""The first page of a long list takes no longer than that of a short one: 5 ms of 100,000 requests for approval."""

from __future__ import annotations

import time
from typing import TYPE_CHECKING, Final

from placet.kernel.state import RowQuery, StateTable
from placet.storage.connections.sqlite import connect_writer

if TYPE_CHECKING:
    from pathlib import Path

    from placet.storage.ledger import ThreadedLedger
    from placet.storage.sqlite.backend import SqliteLedger
    from tests.storage.replicas import Replicas

ROWS: Final = 100_000
PAGE_MS_MAX: Final = 5.0
LOOKS: Final = 21
# Most are pending, as they are after a night in which nobody looked; the body is as long as that of an ordinary one.
ROW: Final = "'acme', 'apr_' || i, 1, CASE i % 10 WHEN 0 THEN 'used' ELSE 'pending' END, i, i"
COUNT: Final = f"WITH RECURSIVE n(i) AS (SELECT 1 UNION ALL SELECT i + 1 FROM n WHERE i < {ROWS})"  # noqa: S608 - constants
SQLITE: Final = f"{COUNT} INSERT INTO approvals SELECT {ROW}, zeroblob(1800) FROM n"  # noqa: S608 - likewise
NUMBERS: Final = f"generate_series(1, {ROWS}) AS i"
POSTGRES: Final = f"INSERT INTO approvals SELECT {ROW}, decode(repeat('00', 1800), 'hex') FROM {NUMBERS}"  # noqa: S608 - likewise


async def check(ledger: ThreadedLedger) -> None:
    for status in ("", "pending", "used"):
        query, times = RowQuery(StateTable.APPROVALS, "acme", status), []
        for _ in range(LOOKS):
            begun = time.perf_counter()
            page = await ledger.list_rows(query)
            times.append((time.perf_counter() - begun) * 1_000)
        assert (len(page.rows), bool(page.next_page_token)) == (query.page_size, True)
        assert page.rows[0].created_at_us >= ROWS - 1
        assert min(times) < PAGE_MS_MAX, status


async def test_in_sqlite(ledger: SqliteLedger, database: Path) -> None:
    connection = connect_writer(database)
    connection.execute(SQLITE)
    connection.close()
    await check(ledger)


async def test_in_postgres(replicas: Replicas) -> None:
    ledger = replicas.open()
    replicas.server.run(POSTGRES, replicas.database)
    replicas.server.run("ANALYZE approvals", replicas.database)
    await check(ledger)
