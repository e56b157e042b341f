from __future__ import annotations

from typing import TYPE_CHECKING

import pytest
from alembic import command
from alembic.autogenerate import compare_metadata
from alembic.migration import MigrationContext
from alembic.script import ScriptDirectory
from sqlalchemy import inspect, text

from placet.kernel.errors import ConfigurationError
from placet.signing.keys import PublicKeys
from placet.storage import migrate
from placet.storage.connections.engines import connected, sqlite_url
from placet.storage.connections.file_lock import WriterLock
from placet.storage.database import PostgresDatabase, SqliteDatabase
from placet.storage.migrate import (
    SchemaState,
    alembic_config,
    db_status,
    db_upgrade,
    prepare,
    revision_state,
)
from placet.storage.sql.schema import HEAD_REVISION, metadata
from tests.storage.making import TickingClock, commitments
from tests.support.quick_schema import migrated

if TYPE_CHECKING:
    from pathlib import Path

    from placet.signing.keys import SigningKey
    from placet.storage.database import Database
    from tests.storage.replicas import Replicas


@pytest.fixture(autouse=True)
def real_migrations(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(migrate, "upgrade", migrated)


@pytest.fixture(params=["sqlite", "postgresql"])
def url(request: pytest.FixtureRequest, database: Path) -> str:
    """An empty database of each engine."""
    made: str = sqlite_url(database) if request.param == "sqlite" else request.getfixturevalue("postgres_url")
    return made


@pytest.fixture
def file_url(database: Path) -> str:
    return sqlite_url(database)


def run(url: str, *statements: str) -> None:
    with connected(url, "the test's own words failed") as connection:
        for statement in statements:
            connection.exec_driver_sql(statement)


def set_revision(url: str, revision: str) -> None:
    run(url, f"UPDATE alembic_version SET version_num = '{revision}'")  # noqa: S608 - the test's own words


def test_asking_writes_nothing(file_url: str, database: Path) -> None:
    assert db_status(file_url).state is SchemaState.EMPTY
    assert not database.exists()


def test_from_nothing(url: str) -> None:
    assert db_status(url).state is SchemaState.EMPTY
    status = db_upgrade(url)
    assert (status.state, status.revision, status.expected) == (SchemaState.CURRENT, HEAD_REVISION, HEAD_REVISION)
    assert db_status(url) == status
    assert db_upgrade(url) == status


def test_the_migrations_make_the_tables_that_the_code_uses(url: str) -> None:
    db_upgrade(url)
    with connected(url, "comparing failed") as connection:
        assert compare_metadata(MigrationContext.configure(connection), metadata) == []
        indexes = {index["name"] for table in metadata.tables for index in inspect(connection).get_indexes(table)}
    assert indexes == {index.name for table in metadata.tables.values() for index in table.indexes}


def test_text_is_in_the_order_of_its_bytes(postgres_url: str) -> None:
    """What the operating system sorts otherwise after an update would leave indexes wrong."""
    db_upgrade(postgres_url)
    columns = "SELECT table_name, column_name, collation_name FROM information_schema.columns WHERE data_type = 'text'"
    with connected(postgres_url, "looking failed") as connection:
        found = connection.execute(text(f"{columns} AND table_schema = 'public'")).fetchall()
    assert len(found) > 40
    assert [(table, column) for table, column, collation in found if collation != "C"] == []


def test_the_newest_migration_is_the_one_that_the_code_names(url: str) -> None:
    with connected(url, "looking failed") as connection:
        assert ScriptDirectory.from_config(alembic_config(connection)).get_heads() == [HEAD_REVISION]


def test_down_and_up_again(url: str) -> None:
    db_upgrade(url)
    with connected(url, "going down failed") as connection:
        command.downgrade(alembic_config(connection), "base")
    with connected(url, "looking failed") as connection:
        assert inspect(connection).get_table_names() == ["alembic_version"]
    assert db_status(url).state is SchemaState.OLDER
    assert db_upgrade(url).state is SchemaState.CURRENT


async def test_what_the_first_schema_kept_verifies_in_the_next(
    url: str, database: Path, signing_key: SigningKey, errors: list[BaseException]
) -> None:
    kept: Database = SqliteDatabase(database) if url.startswith("sqlite") else PostgresDatabase(url)
    ledger = kept.open("w1", signing_key, PublicKeys.of(), TickingClock(), errors.append)
    await ledger.commit(commitments(9))
    await ledger.close()
    with connected(url, "going down failed") as connection:
        command.downgrade(alembic_config(connection), "0001")
    assert db_upgrade(url).state is SchemaState.CURRENT
    report = kept.verify(signing_key.public)
    assert (report.records, report.problems) == (9, ())


@pytest.mark.parametrize(
    ("revision", "state"),
    [("0000", SchemaState.OLDER), (HEAD_REVISION, SchemaState.CURRENT), ("0006", SchemaState.NEWER)],
)
def test_revisions_are_in_order(revision: str, state: SchemaState) -> None:
    assert revision_state(revision) is state


def test_a_newer_schema_is_left_alone(url: str) -> None:
    db_upgrade(url)
    set_revision(url, "0006")
    for use in (db_upgrade, prepare):
        with pytest.raises(ConfigurationError, match="a newer Placet"):
            use(url)
    assert db_status(url).state is SchemaState.NEWER


def test_an_older_schema_waits_for_its_owner(url: str) -> None:
    db_upgrade(url)
    set_revision(url, "0000")
    with pytest.raises(ConfigurationError, match="placet db upgrade"):
        prepare(url)


def test_a_table_that_is_gone(url: str) -> None:
    db_upgrade(url)
    run(url, "DROP TABLE audit_parts")
    assert db_status(url).missing == ("audit_parts",)
    for use in (db_upgrade, prepare):
        with pytest.raises(ConfigurationError, match="is damaged, it has no table audit_parts"):
            use(url)


def test_a_server_is_not_upgraded_under_its_feet(file_url: str, database: Path) -> None:
    lock = WriterLock.take(database)
    with pytest.raises(ConfigurationError, match="in use by process"):
        db_upgrade(file_url)
    lock.release()
    assert db_upgrade(file_url).state is SchemaState.CURRENT


async def test_no_replica_is_upgraded_under_its_feet(replicas: Replicas) -> None:
    ledger = replicas.open()
    with pytest.raises(ConfigurationError, match="is in use by a server; stop all replicas first"):
        db_upgrade(replicas.url)
    await ledger.close()
    assert db_upgrade(replicas.url).state is SchemaState.CURRENT


def test_a_migration_that_fails_leaves_nothing(url: str) -> None:
    run(url, "CREATE TABLE audit_checkpoints (in_the_way INTEGER)")
    with pytest.raises(ConfigurationError, match="cannot be upgraded"):
        db_upgrade(url)
    assert db_status(url).state is SchemaState.EMPTY


def test_a_file_that_is_no_database(file_url: str, database: Path) -> None:
    database.write_bytes(b"something else, long enough" * 100)
    with pytest.raises(ConfigurationError, match="cannot be read"):
        db_status(file_url)


def test_a_database_in_memory() -> None:
    assert db_upgrade("sqlite://").state is SchemaState.CURRENT
