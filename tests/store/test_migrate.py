from __future__ import annotations

import sqlite3
from typing import TYPE_CHECKING

import pytest
from alembic import command
from alembic.autogenerate import compare_metadata
from alembic.migration import MigrationContext
from alembic.script import ScriptDirectory
from sqlalchemy import create_engine, inspect

from placet.core.errors import SetupError
from placet.store.engines import sqlite_url
from placet.store.lock import WriterLock
from placet.store.migrate import (
    SchemaState,
    alembic_config,
    db_status,
    db_upgrade,
    prepare,
    revision_state,
)
from placet.store.schema import HEAD_REVISION, metadata

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

    from sqlalchemy import Connection


@pytest.fixture
def url(database: Path) -> str:
    return sqlite_url(database)


@pytest.fixture
def connection(url: str) -> Iterator[Connection]:
    engine = create_engine(url)
    with engine.connect() as connected:
        yield connected
    engine.dispose()


def set_revision(database: Path, revision: str) -> None:
    with sqlite3.connect(database) as connected:
        connected.execute("UPDATE alembic_version SET version_num = ?", (revision,))
    connected.close()


def test_from_nothing(url: str, database: Path) -> None:
    assert db_status(url).state is SchemaState.EMPTY
    assert not database.exists(), "asking writes nothing"
    status = db_upgrade(url)
    assert (status.state, status.revision, status.wanted) == (SchemaState.CURRENT, HEAD_REVISION, HEAD_REVISION)
    assert db_status(url) == status
    assert db_upgrade(url) == status


def test_the_migrations_make_the_tables_that_the_code_uses(url: str, connection: Connection) -> None:
    db_upgrade(url)
    assert compare_metadata(MigrationContext.configure(connection), metadata) == []
    indexes = {index["name"] for table in metadata.tables for index in inspect(connection).get_indexes(table)}
    assert indexes == {index.name for table in metadata.tables.values() for index in table.indexes}


def test_the_newest_migration_is_the_one_that_the_code_names(connection: Connection) -> None:
    assert ScriptDirectory.from_config(alembic_config(connection)).get_heads() == [HEAD_REVISION]


def test_down_and_up_again(url: str, connection: Connection) -> None:
    db_upgrade(url)
    command.downgrade(alembic_config(connection), "base")
    connection.commit()
    assert inspect(connection).get_table_names() == ["alembic_version"]
    connection.commit()
    assert db_status(url).state is SchemaState.OLDER
    assert db_upgrade(url).state is SchemaState.CURRENT


@pytest.mark.parametrize(
    ("revision", "state"),
    [("0000", SchemaState.OLDER), (HEAD_REVISION, SchemaState.CURRENT), ("0003", SchemaState.NEWER)],
)
def test_revisions_are_in_order(revision: str, state: SchemaState) -> None:
    assert revision_state(revision) is state


def test_a_newer_schema_is_left_alone(url: str, database: Path) -> None:
    db_upgrade(url)
    set_revision(database, "0003")
    for use in (db_upgrade, prepare):
        with pytest.raises(SetupError, match="a newer Placet"):
            use(url)
    assert db_status(url).state is SchemaState.NEWER


def test_an_older_schema_waits_for_its_owner(url: str, database: Path) -> None:
    db_upgrade(url)
    set_revision(database, "0000")
    with pytest.raises(SetupError, match="placet db upgrade"):
        prepare(url)


def test_a_server_is_not_upgraded_under_its_feet(url: str, database: Path) -> None:
    lock = WriterLock.take(database)
    with pytest.raises(SetupError, match="in use by process"):
        db_upgrade(url)
    lock.release()
    assert db_upgrade(url).state is SchemaState.CURRENT


def test_a_migration_that_fails_leaves_nothing(url: str, database: Path) -> None:
    with sqlite3.connect(database) as connected:
        connected.execute("CREATE TABLE audit_checkpoints (in_the_way INTEGER)")
    connected.close()
    with pytest.raises(SetupError, match="cannot be upgraded"):
        db_upgrade(url)
    assert db_status(url).state is SchemaState.EMPTY


def test_a_file_that_is_no_database(url: str, database: Path) -> None:
    database.write_bytes(b"something else, long enough" * 100)
    with pytest.raises(SetupError, match="cannot be read"):
        db_status(url)


def test_a_database_in_memory() -> None:
    assert db_upgrade("sqlite://").state is SchemaState.CURRENT
