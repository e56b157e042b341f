"""The schema of a database: compares it with this version of Placet, creates it and upgrades it."""

from __future__ import annotations

from dataclasses import dataclass
from enum import StrEnum
from pathlib import Path
from typing import TYPE_CHECKING, Final

from sqlalchemy import column as sql_column
from sqlalchemy import inspect, select, table

from placet.kernel.errors import ConfigurationError
from placet.storage.connections.engines import connected, hold_schema, sqlite_file
from placet.storage.connections.file_lock import WriterLock
from placet.storage.sql.schema import HEAD_REVISION, metadata

if TYPE_CHECKING:
    from collections.abc import Collection

    from alembic.config import Config
    from sqlalchemy import Connection

    from placet.storage.sql import driver

MIGRATIONS: Final = Path(__file__).parent / "migrations"
VERSION_TABLE: Final = "alembic_version"
EXPECTED: Final = frozenset(metadata.tables)
"""The tables of this version's schema."""
_REVISION: Final = f"SELECT version_num FROM {VERSION_TABLE}"  # noqa: S608 - ours
_VERSIONS: Final = table(VERSION_TABLE, sql_column("version_num"))


class SchemaState(StrEnum):
    """How a database's schema compares with the one of this version."""

    EMPTY = "empty"
    CURRENT = "current"
    OLDER = "older"
    NEWER = "newer"
    DAMAGED = "damaged"


@dataclass(frozen=True, slots=True)
class SchemaStatus:
    """The schema of a database."""

    state: SchemaState
    revision: str
    """The database's revision; empty without a schema."""
    expected: str
    """The revision of this version of Placet."""
    missing: tuple[str, ...] = ()
    """The tables that a damaged schema lacks."""


def db_status(url: str) -> SchemaStatus:
    """Return the schema status of the database at a URL. Writes nothing.

    Raises ConfigurationError when it cannot be read.
    """
    file = sqlite_file(url)
    if file is not None and not file.exists():
        return SchemaStatus(SchemaState.EMPTY, "", HEAD_REVISION)
    with connected(url, "its schema cannot be read") as connection:
        return schema_status(connection)


def db_upgrade(url: str) -> SchemaStatus:
    """Upgrade the schema to this version's, in one transaction. Does nothing when it is current.

    Raises ConfigurationError when the schema is newer, cannot be written, or a server writes to the database.
    """
    file = sqlite_file(url)
    lock = WriterLock.take(file) if file is not None else None
    try:
        with connected(url, "its schema cannot be upgraded") as connection:
            hold_schema(connection, while_serving=False)
            upgrade(connection)
            return schema_status(connection)
    finally:
        if lock is not None:
            lock.release()


def prepare(url: str) -> None:
    """Create the schema if there is none. Raises ConfigurationError when it is not the one of this version.

    For SQLite the caller holds the file's lock. On PostgreSQL the first of several replicas creates the schema.
    """
    with connected(url, "its schema cannot be made") as connection:
        status = schema_status(connection)
        if status.state is SchemaState.EMPTY:
            hold_schema(connection, while_serving=True)
            upgrade(connection)
        else:
            require_current(status, str(connection.engine.url.database))


def schema_status(connection: Connection) -> SchemaStatus:
    """Return the schema status of the connected database."""
    tables = set(inspect(connection).get_table_names())
    if VERSION_TABLE not in tables:
        if not missing_tables(tables):
            return SchemaStatus(SchemaState.DAMAGED, "", HEAD_REVISION, (VERSION_TABLE,))
        return SchemaStatus(SchemaState.EMPTY, "", HEAD_REVISION)
    revision = ", ".join(connection.execute(select(_VERSIONS.c.version_num)).scalars())
    state, missing = revision_state(revision), missing_tables(tables)
    if state is SchemaState.CURRENT and missing:
        return SchemaStatus(SchemaState.DAMAGED, revision, HEAD_REVISION, missing)
    return SchemaStatus(state, revision, HEAD_REVISION)


def missing_tables(tables: Collection[str]) -> tuple[str, ...]:
    """Return the tables of this version's schema that are not in `tables`, sorted."""
    return tuple(sorted(EXPECTED - set(tables)))


def stored_revision(connection: driver.Connection) -> str:
    """Return the revision of a schema that has VERSION_TABLE, as it is stored; "" when there is none."""
    return ", ".join(str(revision) for (revision,) in connection.execute(_REVISION))


def require_revision(revision: str, where: str) -> None:
    """Raise ConfigurationError unless the revision, as it is stored, is that of this version."""
    require_current(SchemaStatus(revision_state(revision), revision, HEAD_REVISION), where)


def require_current(status: SchemaStatus, where: str) -> None:
    """Raise ConfigurationError unless the schema is the one of this version."""
    if status.state is SchemaState.DAMAGED:
        raise ConfigurationError(
            f"{where}: is damaged, it has no table {', '.join(status.missing)}; run `placet audit verify`, keep it as "
            "evidence, and restore a backup; or move it aside and run `placet db new-trail`"
        )
    if status.state is SchemaState.NEWER:
        raise ConfigurationError(
            f"{where}: was written by a newer Placet (schema {status.revision}, this one knows {status.expected}); "
            "run that version or a newer one"
        )
    if status.state is not SchemaState.CURRENT:
        raise ConfigurationError(
            f"{where}: its schema is {status.revision or 'empty'}, {status.expected} is needed; "
            "stop Placet, keep a copy, and run `placet db upgrade`"
        )


def upgrade(connection: Connection) -> None:
    """Upgrade the schema of the connected database, within its transaction.

    Raises ConfigurationError when it is newer or damaged.
    """
    status = schema_status(connection)
    if status.state in {SchemaState.NEWER, SchemaState.DAMAGED}:
        require_current(status, str(connection.engine.url.database))
    if status.state is not SchemaState.CURRENT:
        from alembic import command  # noqa: PLC0415 - 0.05 s that a start with a current schema need not wait

        command.upgrade(alembic_config(connection), HEAD_REVISION)


def alembic_config(connection: Connection) -> Config:
    """Return Alembic's configuration for the migrations in this package."""
    from alembic.config import Config  # noqa: PLC0415 - as above

    config = Config()
    config.set_main_option("script_location", str(MIGRATIONS).replace("%", "%%"))
    config.attributes["connection"] = connection
    return config


def revision_state(revision: str) -> SchemaState:
    """Compare a revision with this version's. Revisions are numbered, so an older Placet recognises a newer schema."""
    if revision == HEAD_REVISION:
        return SchemaState.CURRENT
    return SchemaState.OLDER if revision < HEAD_REVISION else SchemaState.NEWER
