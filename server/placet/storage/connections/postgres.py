"""Connects to PostgreSQL: the requirements on its server, and limits on every wait."""

from __future__ import annotations

import contextlib
import logging
import os
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
from placet.storage.connections.postgres_arrays import encode_array, register_arrays
from placet.storage.connections.postgres_pooler import is_known_whole, require_own_session
from placet.storage.sql.statements.dialect import Statements

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Sequence
    from contextlib import AbstractContextManager

    from psycopg.rows import TupleRow

    from placet.storage.sql.driver import Connection, Cursor
    from placet.storage.sql.statements.bulk import Bulk

SQL: Final = Statements(postgresql.dialect(paramstyle="format"))  # type: ignore[no-untyped-call]  # SQLAlchemy's own
VERSION_MIN: Final = 150_000
"""PostgreSQL 15, as `server_version_num` counts."""
DURABLE: Final = frozenset({"on", "remote_apply"})
"""Values of synchronous_commit for which a returned commit is on disk, here and on synchronous standbys."""
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
"""The server's time in microseconds since the Unix epoch."""
_SESSION: Final = (
    "SELECT set_config('statement_timeout', %s, false), set_config('lock_timeout', %s, false),"
    " set_config('idle_in_transaction_session_timeout', %s, false),"
    " set_config('client_connection_check_interval', '1s', false),"
    " set_config('default_transaction_isolation', 'read committed', false),"
    # Pinned, so that reloading the server's configuration does not make the commits of a running Placet less durable.
    " set_config('synchronous_commit', current_setting('synchronous_commit'), false),"
    # Keys are looked up by their index also where a plan was made when the table was empty and never analysed.
    " set_config('enable_seqscan', 'off', false), set_config('enable_hashjoin', 'off', false),"
    " set_config('enable_mergejoin', 'off', false),"
    # A plan that has to scan a table seems expensive then: without this, PostgreSQL would compile it, for 100 ms.
    " set_config('jit', 'off', false),"
    # A session for reading is read-only. A session for writing uses the database's setting.
    " set_config('default_transaction_read_only',"
    " coalesce(%s, current_setting('default_transaction_read_only')), false)"
)

logging.getLogger("psycopg").addHandler(logging.NullHandler())  # failures are raised; keep its lines out of our log


class PostgresConnection:
    """A `placet.storage.sql.driver.Connection`. Its owner begins and ends transactions with statements."""

    def __init__(self, connection: psycopg.Connection[TupleRow]) -> None:
        self.driver = connection
        self._cursors = count(1)

    @property
    def usable(self) -> bool:
        """Whether the session is open, as far as is known."""
        return not self.driver.closed

    def execute(self, sql: str, parameters: Sequence[Any] = (), /) -> Cursor:
        """Run one statement on a new cursor."""
        return self.driver.execute(sql.encode(), parameters)

    def executemany(self, sql: str, parameters: Sequence[Sequence[Any]], /) -> None:
        """Run one statement for each of the parameters, in a pipeline."""
        if parameters:
            with self.driver.cursor() as cursor:
                cursor.executemany(sql.encode(), parameters)

    def write_rows(self, statement: Bulk, parameters: Sequence[Any], /) -> None:
        """Run a statement once for all rows of parameters."""
        if parameters:
            columns = [parameters[start :: statement.width] for start in range(statement.width)]
            self.execute(statement.text(1), _arrays(statement, columns))

    def look_up(self, statement: Bulk, keys: Sequence[Sequence[Any]], /) -> list[Any]:
        """Return the row or None that is found for each of the distinct keys, with one statement."""
        found: list[Any] = [None] * len(keys)
        if keys:
            for number, *columns in self.execute(statement.text(1), _arrays(statement, list(zip(*keys, strict=True)))):
                found[number - 1] = columns  # PostgreSQL counts from 1
        return found

    def fetch_each(self, sql: str, parameters: Sequence[Sequence[Any]], /) -> list[Any]:
        """Return the first row or None for each of the parameters, in a pipeline."""
        return [rows[0] if rows else None for rows in self.fetch_lists(sql, parameters)]

    def fetch_lists(self, sql: str, parameters: Sequence[Sequence[Any]], /) -> list[list[Any]]:
        """Return all rows for each of the parameters, in a pipeline."""
        if not parameters:
            return []
        with self.driver.cursor() as cursor:
            cursor.executemany(sql.encode(), parameters, returning=True)
            return [result.fetchall() for result in cursor.results()]

    def together(self) -> AbstractContextManager[object]:
        """Send the statements of the block in one round trip."""
        return self.driver.pipeline()

    def stream(self, sql: str, parameters: Sequence[Any], /) -> Iterator[Any]:
        """Yield the rows from a server-side cursor."""
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


def _arrays(statement: Bulk, columns: Sequence[Sequence[Any]]) -> list[bytes]:
    """Return an array for each column."""
    return [encode_array(element, column) for element, column in zip(statement.types, columns, strict=True)]


def is_conninfo(url: str) -> bool:
    """Return whether the driver can parse the URL."""
    try:
        conninfo_to_dict(url)
    except psycopg.Error:
        return False
    return True


def connection_hosts(url: str) -> tuple[list[str], str]:
    """Return the hosts that the URL names, sockets included, and its sslmode. Empty: the driver's defaults."""
    options = conninfo_to_dict(url)
    hosts = str(options.get("hostaddr") or options.get("host") or os.environ.get("PGHOST", ""))
    sslmode = str(options.get("sslmode") or os.environ.get("PGSSLMODE", ""))
    return [host for host in hosts.split(",") if host], sslmode


def defaults(url: str, name: str) -> dict[str, Any]:
    """Return the connection options that the URL does not set."""
    url_options = conninfo_to_dict(url)
    options = {
        **_KEEPALIVES,
        "connect_timeout": str(STORE_CONNECT_SECONDS_MAX),
        "application_name": f"placet {name}",
        "client_encoding": "utf8",
    }
    return {option: value for option, value in options.items() if option not in url_options}


def connect(url: str, name: str, *, writes: bool = False) -> PostgresConnection:
    """Open a session with limits on every wait. Raises as `open_session` does."""
    connection = open_session(url, name, check_again=writes)
    limits = (STORE_STATEMENT_MS_MAX, STORE_LOCK_MS_MAX, STORE_IDLE_MS_MAX)
    try:
        connection.execute(_SESSION.encode(), (*map(str, limits), None if writes else "on"))
    except BaseException:
        connection.close()
        raise
    register_arrays(connection)
    return PostgresConnection(connection)


def open_session(
    url: str, name: str, *, autocommit: bool = True, check_again: bool = False
) -> psycopg.Connection[TupleRow]:
    """Open a session of the driver. Raises psycopg.Error when there is no connection.

    ConfigurationError when a pooler splits sessions, for which each URL is checked once, or with `check_again` again.
    """

    def another() -> psycopg.Connection[TupleRow]:
        return psycopg.connect(url, autocommit=True, **defaults(url, name))

    session = another()
    try:
        if check_again or not is_known_whole(url):
            require_own_session(session, another, url, masked(url))
        session.autocommit = autocommit
    except BaseException:
        session.close()
        raise
    return session


def require_durable(connection: PostgresConnection, where: str) -> None:
    """Raise ConfigurationError unless commits on this server are durable and its version and encoding are supported."""
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
    """Read the clock of the database server."""
    sent_at = monotonic()
    (wall_us,) = connection.execute(CLOCK).fetchone()
    return ServerTime(sent_at, wall_us, monotonic())


def masked(url: str) -> str:
    """Return the database's URL without the password, for messages."""
    parts = conninfo_to_dict(url)
    host, port = parts.get("host") or "localhost", parts.get("port")
    user = f"{parts['user']}@" if parts.get("user") else ""
    return f"postgresql://{user}{host}{f':{port}' if port else ''}/{parts.get('dbname') or parts.get('user') or ''}"
