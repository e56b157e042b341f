"""Helpers that build SQL text with SQLAlchemy Core."""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING, Any, Final

from sqlalchemy import Integer, LargeBinary, bindparam, literal_column
from sqlalchemy.ext.compiler import compiles
from sqlalchemy.sql import ClauseElement
from sqlalchemy.sql.functions import FunctionElement

if TYPE_CHECKING:
    from sqlalchemy import ColumnElement, Select
    from sqlalchemy.engine import Dialect
    from sqlalchemy.sql.compiler import SQLCompiler

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


class Position(FunctionElement[int]):
    """Where bytes are within other bytes, from 1; 0 if they are not. Arguments: the other bytes, the bytes."""

    type = Integer()
    name = "position"
    inherit_cache = True


@compiles(Position, "sqlite")
def _instr(element: Position, compiler: SQLCompiler, **options: Any) -> str:  # noqa: ANN401 - passed on
    return f"instr({compiler.process(element.clauses, **options)})"


@compiles(Position, "postgresql")
def _position(element: Position, compiler: SQLCompiler, **options: Any) -> str:  # noqa: ANN401 - passed on
    whole, part = (compiler.process(clause, **options) for clause in element.clauses)
    return f"position({part} IN {whole})"


def holds(column: ColumnElement[bytes], name: str) -> ColumnElement[bool]:
    """Return the condition that the bytes of a column contain those of the next parameter."""
    return Position(column, bindparam(name, type_=LargeBinary())) > _ZERO


def first(rows: Select[Any], count: ColumnElement[int] | None = None) -> Select[Any]:
    """Limit a query to its first rows: to `count`, or by default to the number in the last parameter."""
    return rows.limit(bindparam("count") if count is None else count).offset(_ZERO)
