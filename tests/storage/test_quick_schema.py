"""The tests' quick way to an empty database makes the schema that the migrations make."""

from __future__ import annotations

from typing import TYPE_CHECKING

from alembic import command
from sqlalchemy import text

from placet.storage.connections.engines import connected, sqlite_url
from placet.storage.migrate import SchemaState, db_status
from tests.support.quick_schema import migrated, upgrade

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

    import pytest
    from sqlalchemy import Connection

    from tests.postgres import Postgres

SCHEMA_OF_POSTGRES = """
    SELECT table_name, column_name, data_type, collation_name, is_nullable, column_default
        FROM information_schema.columns WHERE table_schema = 'public'
    UNION ALL SELECT tablename, indexname, indexdef, '', '', '' FROM pg_indexes WHERE schemaname = 'public'
    UNION ALL SELECT conrelid::regclass::text, conname, pg_get_constraintdef(oid), '', '', '' FROM pg_constraint
        WHERE connamespace = 'public'::regnamespace
    ORDER BY 1, 2, 3
"""


def made(url: str, how: Callable[[Connection], None], query: str) -> list[tuple[object, ...]]:
    """Return the schema that an empty database gets."""
    with connected(url, "its schema cannot be made") as connection:
        how(connection)
    assert db_status(url).state is SchemaState.CURRENT
    with connected(url, "its schema cannot be read") as connection:
        return [tuple(row) for row in connection.execute(text(query))]


def test_the_schema_is_that_of_the_migrations_on_sqlite(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    query = "SELECT type, name, tbl_name, sql FROM sqlite_master ORDER BY 1, 2"
    before = made(sqlite_url(tmp_path / "migrated.db"), migrated, query)
    made(sqlite_url(tmp_path / "first.db"), upgrade, query)
    monkeypatch.delattr(command, "upgrade")
    assert made(sqlite_url(tmp_path / "quick.db"), upgrade, query) == before


def test_the_schema_is_that_of_the_migrations_on_postgres(
    postgres_server: Postgres, monkeypatch: pytest.MonkeyPatch
) -> None:
    urls = [postgres_server.url(postgres_server.new_database()) for _ in range(3)]
    before = made(urls[0], migrated, SCHEMA_OF_POSTGRES)
    made(urls[1], upgrade, SCHEMA_OF_POSTGRES)
    monkeypatch.delattr(command, "upgrade")
    assert made(urls[2], upgrade, SCHEMA_OF_POSTGRES) == before
