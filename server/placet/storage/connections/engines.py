"""SQLAlchemy connections for everything that concerns the schema. Decisions use the drivers directly."""

from __future__ import annotations

import contextlib
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final

from sqlalchemy import URL, create_engine, event, make_url, pool
from sqlalchemy.exc import DBAPIError

from placet.kernel.errors import ConfigurationError

if TYPE_CHECKING:
    from collections.abc import Iterator

    from sqlalchemy import Connection, Engine

_REMEDIES: Final = {
    # PostgreSQL's insufficient_privilege
    "42501": "run `placet db upgrade` and then `placet db grants --apply` as the role that owns the tables",
}


def sqlite_url(path: Path) -> str:
    """Return the URL of a database file."""
    return URL.create("sqlite", database=str(path)).render_as_string()


def sqlite_file(url: str) -> Path | None:
    """Return the file of an SQLite URL, or None for other URLs."""
    if not url.startswith("sqlite:"):
        return None
    database = make_url(url).database
    return Path(database) if database else None


@contextlib.contextmanager
def connected(url: str, what_failed: str) -> Iterator[Connection]:
    """Yield a connection in its own transaction, which is committed at the end.

    Raises ConfigurationError, beginning with `what_failed`, when a statement fails.
    """
    engine = _engine(url)
    try:
        with engine.begin() as connection:
            yield connection
    except DBAPIError as error:
        remedy = _REMEDIES.get(getattr(error.orig, "sqlstate", ""), "see that it may be read and written, and has room")
        reason = "; ".join(str(error.orig).splitlines())
        raise ConfigurationError(f"{engine.url.database}: {what_failed} ({reason}); {remedy}") from error
    finally:
        engine.dispose()


def hold_schema(connection: Connection, *, while_serving: bool) -> None:
    """Lock the schema against other processes until the end of the transaction.

    On SQLite the lock file does this. Raises ConfigurationError when a server runs and `while_serving` is False.
    """
    if connection.dialect.name != "postgresql":
        return
    from placet.storage.connections import postgres_locks  # noqa: PLC0415 - only with PostgreSQL

    driver: Any = connection.connection.driver_connection
    if not while_serving:
        postgres_locks.forbid_serving(driver, str(connection.engine.url.database))
    postgres_locks.hold_schema(driver)


def _engine(url: str) -> Engine:
    if sqlite_file(url) is None and not url.startswith("sqlite:"):
        return _postgres(url)
    engine = create_engine(url, poolclass=pool.NullPool)
    event.listen(engine, "connect", _own_transactions)
    event.listen(engine, "begin", _begin)
    return engine


def _postgres(url: str) -> Engine:
    """Create an engine. The driver parses the URL, as for the ledger; SQLAlchemy gets only a name for messages."""
    from placet.storage.connections.postgres import masked, open_session  # noqa: PLC0415 - only with PostgreSQL

    name = URL.create("postgresql+psycopg", database=masked(url))
    return create_engine(name, poolclass=pool.NullPool, creator=lambda: open_session(url, "schema", autocommit=False))


def _own_transactions(connection: Any, _record: object) -> None:  # noqa: ANN401 - a DB-API connection
    """Stop the driver from managing transactions.

    It begins none before DDL, so a failed migration would stay half done.
    """
    connection.isolation_level = None


def _begin(connection: Connection) -> None:
    connection.exec_driver_sql("BEGIN")
