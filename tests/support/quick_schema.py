"""Creates the schema of empty databases by the statements that the first migration in this process ran.

Alembic takes 0.1 s of CPU time for an empty database, and thousands of tests need one. Tests of the migrations
themselves use `placet.storage.migrate` as it is: see `migrated`.
"""

from __future__ import annotations

import contextlib
from typing import TYPE_CHECKING, Any, Final

import pytest
from sqlalchemy import event

from placet.storage import migrate
from placet.storage.migrate import SchemaState, schema_status

if TYPE_CHECKING:
    from collections.abc import Iterator

    from sqlalchemy import Connection

WRITES: Final = ("CREATE", "INSERT", "UPDATE", "ALTER", "DROP", "DELETE")
migrated: Final = migrate.upgrade
"""The function of Placet, which runs the migrations."""
_statements: Final[dict[str, tuple[str, ...]]] = {}
"""By dialect: what made the schema of the first empty database."""


def upgrade(connection: Connection) -> None:
    """Upgrade the schema like `placet.storage.migrate.upgrade`."""
    dialect = connection.dialect.name
    if schema_status(connection).state is not SchemaState.EMPTY:
        migrated(connection)
    elif dialect in _statements:
        for statement in _statements[dialect]:
            connection.exec_driver_sql(statement)
    else:
        with _recorded(connection) as ran:
            migrated(connection)
        _statements[dialect] = tuple(ran)


@contextlib.contextmanager
def quick_schemas() -> Iterator[None]:
    """Create schemas quickly for the duration of the block."""
    with pytest.MonkeyPatch.context() as patched:
        patched.setattr(migrate, "upgrade", upgrade)
        yield


@contextlib.contextmanager
def _recorded(connection: Connection) -> Iterator[list[str]]:
    """Yield a list to which each writing statement of the connection is appended."""
    ran: list[str] = []

    def record(_connection: object, _cursor: object, statement: str, parameters: Any, *_: object) -> None:
        if statement.lstrip().upper().startswith(WRITES):
            assert not parameters, f"cannot be repeated: {statement}"
            ran.append(statement)

    event.listen(connection, "before_cursor_execute", record)
    try:
        yield ran
    finally:
        event.remove(connection, "before_cursor_execute", record)
