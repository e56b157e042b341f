"""Reads all rows of a table, page by page."""

from __future__ import annotations

from typing import TYPE_CHECKING

from placet.kernel.limits import PAGE_SIZE_MAX
from placet.kernel.state import RowQuery

if TYPE_CHECKING:
    from collections.abc import AsyncIterator

    from placet.audit.ports import RowReader
    from placet.kernel.state import Row, StateTable


async def rows_of(ledger: RowReader, table: StateTable, tenant: str, status: str) -> AsyncIterator[Row]:
    """Yield every row of the tenant with the status. Tenant "" means rows that belong to no tenant.

    Raises LedgerUnavailableError when the rows cannot be read.
    """
    token = ""
    while True:
        page = await ledger.list_rows(RowQuery(table, tenant, status, PAGE_SIZE_MAX, token))
        for row in page.rows:
            yield row
        token = page.next_page_token
        if not token:
            return
