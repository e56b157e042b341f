"""What the store uses of a database driver: DB-API 2.0, two short cuts that sqlite3 has, and four of our own."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Protocol

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence
    from contextlib import AbstractContextManager


class Cursor(Protocol):
    """The rows that a statement gave."""

    @property
    def rowcount(self) -> int:
        """How many rows the statement changed."""
        ...

    def fetchone(self) -> Any:  # noqa: ANN401 - a tuple, or None
        """The next row."""
        ...

    def fetchall(self) -> list[Any]:
        """All rows left."""
        ...

    def __iter__(self) -> Iterator[Any]:
        """The rows, one by one."""
        ...


class Connection(Protocol):
    """A connection, with its transaction under the control of whoever holds it."""

    def execute(self, sql: str, parameters: Sequence[Any] = ..., /) -> Cursor:
        """Run one statement on a cursor of its own."""
        ...

    def executemany(self, sql: str, parameters: Sequence[Sequence[Any]], /) -> object:
        """Run one statement for each of the parameters."""
        ...

    def fetch_each(self, sql: str, parameters: Sequence[Sequence[Any]], /) -> list[Any]:
        """The first row that the query gives for each of the parameters, or None, in their order. One round trip."""
        ...

    def fetch_lists(self, sql: str, parameters: Sequence[Sequence[Any]], /) -> list[list[Any]]:
        """All rows that the query gives for each of the parameters, in their order. One round trip."""
        ...

    def together(self) -> AbstractContextManager[object]:
        """Statements of the block wait for no answers until its end, where what failed first is raised."""
        ...

    def stream(self, sql: str, parameters: Sequence[Any], /) -> Iterator[Any]:
        """The rows of a query one by one, in memory that does not grow with them. Needs a transaction."""
        ...
