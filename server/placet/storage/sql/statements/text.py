"""Helpers that build SQL text with SQLAlchemy Core."""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING, Any, Final

from sqlalchemy import bindparam, literal_column
from sqlalchemy.sql import ClauseElement

if TYPE_CHECKING:
    from sqlalchemy import ColumnElement, Select
    from sqlalchemy.engine import Dialect

ToText = Callable[[ClauseElement], str]
"""Returns the text of a statement in one dialect, with positional parameters."""
_ZERO: Final[ColumnElement[int]] = literal_column("0")
"""Written out, because an offset that SQLAlchemy adds would be one more parameter."""


def to_text(dialect: Dialect) -> ToText:
    """Return the function that compiles statements for this dialect."""
    return lambda statement: str(statement.compile(dialect=dialect))


def equals(*columns: ColumnElement[Any]) -> list[ColumnElement[bool]]:
    """Return a condition for each column: it equals the next parameter."""
    return [column == bindparam(None, type_=column.type) for column in columns]


def first(rows: Select[Any], count: ColumnElement[int] | None = None) -> Select[Any]:
    """Limit a query to its first rows: to `count`, or by default to the number in the last parameter."""
    return rows.limit(bindparam("count") if count is None else count).offset(_ZERO)
