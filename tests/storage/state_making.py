"""Builders of rows, counters and their changes, for the tests of state."""

from __future__ import annotations

from typing import TYPE_CHECKING

from placet.audit.records import Commitment, RecordKind
from placet.kernel.state import CounterKey, PutIfVersion, ReadSet, Reserve, Row, RowKey, RowQuery, Settle, StateTable
from tests.storage.making import START_US
from tests.support.replacing import replace

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

    from placet.audit.ports import Ledger
    from placet.kernel.state import Change

COUNTER = CounterKey("acme", "b", "calls", "2026-04-24", "user:u_1")


def change(*changes: Change, subject: str = "", tenant: str = "acme", at_us: int = START_US) -> Commitment:
    """Return a commitment with changes."""
    return Commitment(RecordKind.BUDGET_ADJUSTED, tenant, at_us, {}, subject=subject, changes=changes)


def row(name: str = "a", version: int = 0, **fields: object) -> Row:
    """Return the row of an approval. Keyword arguments replace its fields."""
    made = Row(RowKey(StateTable.APPROVALS, "acme", name), "pending", START_US, b'{"a":1}', version=version)
    return replace(made, **fields)


def key(name: str = "a", tenant: str = "acme", table: StateTable = StateTable.APPROVALS) -> RowKey:
    return RowKey(table, tenant, name)


def counter(scope_key: str = "user:u_1", **fields: str) -> CounterKey:
    return COUNTER._replace(scope_key=scope_key, **fields)


def reserve(amount: int, limit: int | None = 10, of: CounterKey = COUNTER) -> Reserve:
    return Reserve(of, amount, limit, START_US + 1)


def settle(reserved: int, used: int, of: CounterKey = COUNTER) -> Settle:
    return Settle(of, reserved, used, START_US + 1)


async def stored_row(ledger: Ledger, name: str = "a") -> Row | None:
    return (await ledger.load(ReadSet(rows=[key(name)]))).rows.get(key(name))


async def usage(ledger: Ledger, of: CounterKey = COUNTER) -> tuple[int, int]:
    """Return (used, reserved) of a counter."""
    stored = (await ledger.load(ReadSet(counters=[of]))).usage(of)
    return (stored.used, stored.reserved)


async def pages(ledger: Ledger, query: RowQuery) -> list[list[str]]:
    """Return the ids of the rows on each page."""
    all_pages = []
    while True:
        page = await ledger.list_rows(query)
        all_pages.append([listed.key.id for listed in page.rows])
        if not page.next_page_token:
            return all_pages
        query = replace(query, page_token=page.next_page_token)


def put_all(rows: Sequence[Row]) -> list[Commitment]:
    return [change(PutIfVersion(written)) for written in rows]


def numbered(count: int) -> Iterator[str]:
    return (f"{number:04}" for number in range(count))
