"""Reads state from a database that servers write: for programs beside them, such as the bundle server."""

from __future__ import annotations

import asyncio
from dataclasses import dataclass
from typing import TYPE_CHECKING

from placet.kernel.errors import ConfigurationError, LedgerUnavailableError

if TYPE_CHECKING:
    from collections.abc import Callable

    from placet.kernel.state import ReadSet, RowPage, RowQuery, Snapshot
    from placet.storage.database import Database, Result
    from placet.storage.sql.reader import Reader


@dataclass(frozen=True, slots=True)
class StoredState:
    """A `placet.audit.ports.RowReader`. Every method raises LedgerUnavailableError when the database cannot be read."""

    database: Database

    async def load(self, read_set: ReadSet) -> Snapshot:
        """Return the requested state as it was last committed."""
        return await self._read(lambda reader: reader.state.read(read_set))

    async def list_rows(self, query: RowQuery) -> RowPage:
        """Return a page of rows, newest first."""
        return await self._read(lambda reader: reader.state.page(query))

    async def _read(self, work: Callable[[Reader], Result]) -> Result:
        try:
            return await asyncio.to_thread(self.database.read, work)
        except ConfigurationError as error:
            raise LedgerUnavailableError("the database cannot be read; try again") from error
