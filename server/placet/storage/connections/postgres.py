"""Connect to PostgreSQL: what a server must be for a ledger, and how long anything may take there."""

from __future__ import annotations

import contextlib
import logging
from itertools import count
from typing import TYPE_CHECKING, Any, Final

import psycopg
from psycopg.conninfo import conninfo_to_dict
from sqlalchemy.dialects import postgresql

from placet.kernel.clock import ServerTime
from placet.kernel.errors import ConfigurationError
from placet.kernel.limits import (
    STORE_CONNECT_SECONDS_MAX,
    STORE_IDLE_MS_MAX,
    STORE_LOCK_MS_MAX,
    STORE_STATEMENT_MS_MAX,
)
from placet.storage.sql.statements import Statements

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Sequence
    from contextlib import AbstractContextManager

    from psycopg.rows import TupleRow

    from placet.storage.sql.driver import Connection, Cursor

SQL: Final = Statements(postgresql.dialect(paramstyle="format"))  # type: ignore[no-untyped-call]  # SQLAlchemy's own
VERSION_MIN: Final = 150_000
"""PostgreSQL 15, as `server_version_num` counts."""
DURABLE: Final = frozenset({"on", "remote_apply"})
"""Values of synchronous_commit with which a commit is on the disk, here and where it is mirrored, when it returns."""
_KEEPALIVES: Final = {
    "keepalives": "1",
    "keepalives_idle": "5",
    "keepalives_interval": "2",
    "keepalives_count": "3",
    "tcp_user_timeout": str(STORE_STATEMENT_MS_MAX),
}
_SERVER: Final = (
    "SELECT current_setting('server_version_num')::int, current_setting('server_version'),"
    " current_setting('synchronous_commit'), current_setting('server_encoding')"
)
CLOCK: Final = "SELECT (extract(epoch FROM clock_timestamp()) * 1000000)::bigint"
_SESSION: Final = (
    "SELECT set_config('statement_timeout', %s, false), set_config('lock_timeout', %s, false),"
    " set_config('idle_in_transaction_session_timeout', %s, false),"
    " set_config('client_connection_check_interval', '1s', false),"
    " set_config('default_transaction_isolation', 'read committed', false),"
    # Whoever reloads the server's configuration does not change what a commit means to a server that runs.
    " set_config('synchronous_commit', current_setting('synchronous_commit'), false),"
    # A session that only reads does only that; one that writes, unless somebody forbade it for the database.
    " set_config('default_transaction_read_only',"
    " coalesce(%s, current_setting('default_transaction_read_only')), false)"
)

logging.getLogger("psycopg").addHandler(logging.NullHandler())  # what fails is raised; its lines are none of our log's


class PostgresConnection:
    """A `placet.storage.sql.driver.Connection`. Transactions are begun and ended by statements."""

    def __init__(self, connection: psycopg.Connection[TupleRow]) -> None:
        self.driver = connection
        self._cursors = count(1)

    @property
    def usable(self) -> bool:
        """Whether it is open, as far as is known."""
        return not self.driver.closed

    def execute(self, sql: str, parameters: Sequence[Any] = (), /) -> Cursor:
        """Run one statement on a cursor of its own."""
        return self.driver.execute(sql.encode(), parameters)

    def executemany(self, sql: str, parameters: Sequence[Sequence[Any]], /) -> None:
        """Run one statement for each of the parameters, without waiting in between."""
        if parameters:
            with self.driver.cursor() as cursor:
                cursor.executemany(sql.encode(), parameters)

    def fetch_each(self, sql: str, parameters: Sequence[Sequence[Any]], /) -> list[Any]:
        """The first row or None for each of the parameters, without waiting in between."""
        return [rows[0] if rows else None for rows in self.fetch_lists(sql, parameters)]

    def fetch_lists(self, sql: str, parameters: Sequence[Sequence[Any]], /) -> list[list[Any]]:
        """All rows for each of the parameters, without waiting in between."""
        if not parameters:
            return []
        with self.driver.cursor() as cursor:
            cursor.executemany(sql.encode(), parameters, returning=True)
            return [result.fetchall() for result in cursor.results()]

    def together(self) -> AbstractContextManager[object]:
        """The statements of the block in one round trip."""
        return self.driver.pipeline()

    def stream(self, sql: str, parameters: Sequence[Any], /) -> Iterator[Any]:
        """The rows one by one, by a cursor of the server's."""
        with self.driver.cursor(f"placet_{next(self._cursors)}") as cursor:
            cursor.execute(sql.encode(), parameters)
            yield from cursor

    def interrupt(self) -> None:
        """Make the statement that runs in another thread fail soon."""
        with contextlib.suppress(psycopg.Error):
            self.driver.cancel_safe(timeout=STORE_CONNECT_SECONDS_MAX)

    def close(self) -> None:
        """End the session."""
        self.driver.close()


def is_conninfo(url: str) -> bool:
    """Whether the driver can read it."""
    try:
        conninfo_to_dict(url)
    except psycopg.Error:
        return False
    return True


def defaults(url: str, name: str) -> dict[str, Any]:
    """What to ask of the driver where the URL says nothing."""
    given = conninfo_to_dict(url)
    wanted = {
        **_KEEPALIVES,
        "connect_timeout": str(STORE_CONNECT_SECONDS_MAX),
        "application_name": f"placet {name}",
        "client_encoding": "utf8",
    }
    return {option: value for option, value in wanted.items() if option not in given}


def connect(url: str, name: str, *, writes: bool = False) -> PostgresConnection:
    """A session whose waits are bounded. psycopg.Error when there is none to be had."""
    connection = psycopg.connect(url, autocommit=True, **defaults(url, name))
    limits = (STORE_STATEMENT_MS_MAX, STORE_LOCK_MS_MAX, STORE_IDLE_MS_MAX)
    try:
        connection.execute(_SESSION.encode(), (*map(str, limits), None if writes else "on"))
    except BaseException:
        connection.close()
        raise
    return PostgresConnection(connection)


def require_durable(connection: PostgresConnection, where: str) -> None:
    """ConfigurationError unless what this server commits stays committed, and it is one that Placet knows."""
    number, version, synchronous_commit, encoding = connection.execute(_SERVER).fetchone()
    if number < VERSION_MIN:
        raise ConfigurationError(f"{where}: is PostgreSQL {version}, Placet needs 15 or newer; upgrade it")
    if encoding != "UTF8":
        raise ConfigurationError(
            f"{where}: its encoding is {encoding}; make the database with `createdb --encoding=UTF8 "
            "--template=template0`"
        )
    if synchronous_commit not in DURABLE:
        raise ConfigurationError(
            f"{where}: synchronous_commit is {synchronous_commit}, a decision could be lost after it was answered; "
            "set it for Placet's role: ALTER ROLE ... SET synchronous_commit = on"
        )


def ask_time(connection: Connection, monotonic: Callable[[], float]) -> ServerTime:
    """Read the clock of the server."""
    asked_at = monotonic()
    (wall_us,) = connection.execute(CLOCK).fetchone()
    return ServerTime(asked_at, wall_us, monotonic())


def masked(url: str) -> str:
    """The database as people know it: without the password."""
    given = conninfo_to_dict(url)
    host, port = given.get("host") or "localhost", given.get("port")
    user = f"{given['user']}@" if given.get("user") else ""
    return f"postgresql://{user}{host}{f':{port}' if port else ''}/{given.get('dbname') or given.get('user') or ''}"
