"""The driver interface of the storage: DB-API 2.0, two shortcuts of sqlite3, and six methods of Placet."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Protocol

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence
    from contextlib import AbstractContextManager

    from placet.storage.sql.statements.bulk import Bulk


class Cursor(Protocol):
    """The result of a statement."""

    @property
    def rowcount(self) -> int:
        """How many rows the statement changed."""
        ...

    def fetchone(self) -> Any:  # noqa: ANN401 - a tuple, or None
        """Return the next row, or None."""
        ...

    def fetchall(self) -> list[Any]:
        """Return all remaining rows."""
        ...

    def __iter__(self) -> Iterator[Any]:
        """Iterate over the rows."""
        ...


class Connection(Protocol):
    """A connection. Its owner begins and ends transactions with statements."""

    def execute(self, sql: str, parameters: Sequence[Any] = ..., /) -> Cursor:
        """Run one statement on a new cursor."""
        ...

    def executemany(self, sql: str, parameters: Sequence[Sequence[Any]], /) -> object:
        """Run one statement for each of the parameters."""
        ...

    def write_rows(self, statement: Bulk, parameters: Sequence[Any], /) -> None:
        """Run a statement for many rows, in as few statements as the engine allows: one on PostgreSQL.

        `parameters` are those of all rows, one after another: `statement.width` for each row.
        """
        ...

    def look_up(self, statement: Bulk, keys: Sequence[Sequence[Any]], /) -> list[Any]:
        """Return the row or None that is found for each of the distinct keys, in their order, all of one moment."""
        ...

    def fetch_each(self, sql: str, parameters: Sequence[Sequence[Any]], /) -> list[Any]:
        """Return the query's first row, or None, for each of the parameters, in their order. One round trip."""
        ...

    def fetch_lists(self, sql: str, parameters: Sequence[Sequence[Any]], /) -> list[list[Any]]:
        """Return the query's rows for each of the parameters, in their order. One round trip."""
        ...

    def together(self) -> AbstractContextManager[object]:
        """Send the statements of the block without waiting for answers. Its end raises the first failure."""
        ...

    def stream(self, sql: str, parameters: Sequence[Any], /) -> Iterator[Any]:
        """Yield the rows of a query, in memory that does not grow with them. Needs a transaction."""
        ...
