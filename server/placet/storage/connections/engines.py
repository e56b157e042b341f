"""Connections of SQLAlchemy, for all that is done to a schema. Decisions go past it, on the driver."""

from __future__ import annotations

import contextlib
from pathlib import Path
from typing import TYPE_CHECKING, Any

from sqlalchemy import URL, create_engine, event, make_url, pool
from sqlalchemy.exc import DBAPIError

from placet.kernel.errors import ConfigurationError

if TYPE_CHECKING:
    from collections.abc import Iterator

    from sqlalchemy import Connection, Engine


def sqlite_url(path: Path) -> str:
    """The URL of a database file."""
    return URL.create("sqlite", database=str(path)).render_as_string()


def sqlite_file(url: str) -> Path | None:
    """The file at a URL; None when it is none of SQLite's."""
    if not url.startswith("sqlite:"):
        return None
    database = make_url(url).database
    return Path(database) if database else None


@contextlib.contextmanager
def connected(url: str, what_failed: str) -> Iterator[Connection]:
    """A connection in a transaction of its own, committed at the end.

    ConfigurationError when the engine refuses something.
    """
    engine = _engine(url)
    try:
        with engine.begin() as connection:
            yield connection
    except DBAPIError as error:
        remedy = "see that it may be read and written, and that there is room"
        said = "; ".join(str(error.orig).splitlines())
        raise ConfigurationError(f"{engine.url.database}: {what_failed} ({said}); {remedy}") from error
    finally:
        engine.dispose()


def hold_schema(connection: Connection, *, while_serving: bool) -> None:
    """Be the only one that makes or changes the schema, until the end of the transaction.

    On SQLite the lock beside the file does this. ConfigurationError when a server runs and `while_serving` is False.
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
    """The driver reads the URL, as it does for the ledger; SQLAlchemy knows the name to tell people."""
    import psycopg  # noqa: PLC0415 - only with PostgreSQL

    from placet.storage.connections.postgres import defaults, masked  # noqa: PLC0415 - likewise

    name = URL.create("postgresql+psycopg", database=masked(url))
    return create_engine(name, poolclass=pool.NullPool, creator=lambda: psycopg.connect(url, **defaults(url, "schema")))


def _own_transactions(connection: Any, _record: object) -> None:  # noqa: ANN401 - a DB-API connection
    """The driver begins none before DDL: a failed migration would stay half done."""
    connection.isolation_level = None


def _begin(connection: Connection) -> None:
    connection.exec_driver_sql("BEGIN")
