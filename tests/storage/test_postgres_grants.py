# ruff: noqa: S608 - statements of names in this file
"""Least privilege on PostgreSQL: servers decide as the writer, and the writer can change neither trail nor schema."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

import psycopg
import pytest

from placet import sdk
from placet.cli.main import main
from placet.kernel.errors import ConfigurationError
from placet.storage.causes import known_cause
from placet.storage.migrate import VERSION_TABLE, db_upgrade
from placet.storage.postgres.grants import APPENDED, WRITER, apply_grants, excess_rights, grants_sql
from placet.storage.sql.schema import metadata
from tests.serving import serving, settings

if TYPE_CHECKING:
    from pathlib import Path

    from tests.postgres import Postgres

OWNER, SERVER, AUDITOR = "placet_owner", "placet_writer", "placet_auditor"
TRAIL = (*APPENDED, "audit_writers")
FORBIDDEN = [
    *(f"DELETE FROM {table}" for table in TRAIL),
    *(f"TRUNCATE {table}" for table in TRAIL),
    *(f"UPDATE {table} SET writer = writer" for table in APPENDED),
    *(f"SELECT writer FROM {table} FOR UPDATE" for table in APPENDED),
    *(f"ALTER TABLE {table} DISABLE TRIGGER ALL" for table in TRAIL),
    *(f"DROP TABLE {table}" for table in TRAIL),
    "DROP TRIGGER placet_refuse_change ON audit_records",
    "CREATE TRIGGER mine AFTER INSERT ON audit_records EXECUTE FUNCTION suppress_redundant_updates_trigger()",
    "CREATE OR REPLACE FUNCTION placet_refuse_change() RETURNS trigger LANGUAGE plpgsql AS 'BEGIN RETURN NULL; END'",
    "CREATE RULE mine AS ON INSERT TO audit_records DO INSTEAD NOTHING",
    "ALTER TABLE audit_records ADD COLUMN note text",
    "CREATE TABLE mine (id int)",
    "CREATE TEMPORARY TABLE mine (id int)",
    "CREATE INDEX mine ON audit_records (kind)",
    "TRUNCATE approvals",
    "DROP TABLE kill_switches",
    f"UPDATE {VERSION_TABLE} SET version_num = '0001'",
    "SET session_replication_role = replica",
    "SET ROLE placet_owner",
]


@dataclass(frozen=True)
class Separated:
    """A database whose owner is not the role of servers."""

    server: Postgres
    name: str

    def url(self, role: str) -> str:
        return self.server.url(self.name).replace("//placet@", f"//{role}@")

    def run(self, role: str, sql: str) -> None:
        with psycopg.connect(self.url(role), autocommit=True) as connection:
            connection.execute(sql.encode())


@pytest.fixture
def separated(postgres_server: Postgres) -> Separated:
    name = postgres_server.new_database()
    for role in (OWNER, SERVER, AUDITOR):
        if not postgres_server.run(f"SELECT 1 FROM pg_roles WHERE rolname = '{role}'"):
            postgres_server.run(f"CREATE ROLE {role} LOGIN")
    postgres_server.run(f"ALTER DATABASE {name} OWNER TO {OWNER}")
    database = Separated(postgres_server, name)
    db_upgrade(database.url(OWNER))
    apply_grants(database.url(OWNER), SERVER, AUDITOR)
    return database


def test_every_table_has_rights() -> None:
    assert set(WRITER) == {*metadata.tables, VERSION_TABLE}


def test_a_server_decides_as_the_writer_and_nothing_else_is_possible(separated: Separated, tmp_path: Path) -> None:
    with (
        serving(settings(tmp_path, database_url=separated.url(SERVER))) as server,
        sdk.Client(server.address, timeout=30) as client,
    ):
        decision = client.authorize(sdk.Action("jira.search"), identity("u_1"))
        assert decision.effect is sdk.Effect.ALLOW
        allowed = [statement for statement in FORBIDDEN if not is_refused(separated, SERVER, statement)]
        assert allowed == []
        separated.run(SERVER, "GRANT UPDATE ON audit_records TO PUBLIC")  # a warning of PostgreSQL, without effect
        apply_grants(separated.url(OWNER), SERVER, AUDITOR)  # again, beside the server
        assert client.authorize(sdk.Action("jira.search"), identity("u_2")).effect == decision.effect
    assert excess_rights(separated.url(SERVER)) == []
    assert is_refused(separated, AUDITOR, "DELETE FROM approvals")
    separated.run(AUDITOR, "SELECT * FROM audit_records")


def identity(user: str) -> sdk.Identity:
    return sdk.Identity("support-agent", "acme", user=user)


def is_refused(database: Separated, role: str, statement: str) -> bool:
    try:
        database.run(role, statement)
    except psycopg.errors.InsufficientPrivilege:
        return True
    return False


def test_a_missing_right_is_told(separated: Separated) -> None:
    with pytest.raises(psycopg.errors.InsufficientPrivilege) as refused:
        separated.run(SERVER, "DELETE FROM audit_records")
    assert "placet db grants" in known_cause(refused.value)


@pytest.mark.parametrize("table", TRAIL)
def test_triggers_refuse_what_was_granted_by_mistake(separated: Separated, table: str) -> None:
    separated.run(OWNER, f"GRANT ALL ON {table} TO {SERVER}")
    forbidden = [f"DELETE FROM {table}", f"TRUNCATE {table}"]
    if table in APPENDED:
        forbidden.append(f"UPDATE {table} SET writer = writer")
        assert excess_rights(separated.url(SERVER)) == [f"{SERVER} may change {table}"]
    for statement in forbidden:
        for role in (SERVER, OWNER, "placet"):
            with pytest.raises(psycopg.errors.InsufficientPrivilege, match="the audit trail is never changed"):
                separated.run(role, statement)


def test_the_rights_of_an_owner_and_of_a_superuser_are_told(separated: Separated) -> None:
    assert excess_rights(separated.url(OWNER)) == [f"{OWNER} owns the tables", f"{OWNER} may create tables"]
    separated.run(OWNER, "DROP TRIGGER placet_refuse_change ON audit_parts")
    assert excess_rights(separated.url("placet")) == [
        "placet is a superuser",
        "no trigger refuses changes of audit_parts",
    ]


def test_the_writer_cannot_make_the_schema_and_is_told_who_can(
    postgres_server: Postgres, separated: Separated, capsys: pytest.CaptureFixture[str]
) -> None:
    empty = Separated(postgres_server, postgres_server.new_database())
    with pytest.raises(ConfigurationError, match=r"permission denied.*run `placet db upgrade`"):
        db_upgrade(empty.url(SERVER))
    assert main(["db", "upgrade", "--database-url", separated.url(SERVER)]) == 0, "nothing to do"
    assert capsys.readouterr().err == ""
    with pytest.raises(ConfigurationError, match="run `placet db upgrade` first"):
        apply_grants(empty.url("placet"), SERVER)


def test_the_command_prints_and_applies(separated: Separated, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["db", "grants", "--auditor", AUDITOR]) == 0
    printed = capsys.readouterr().out
    assert printed == grants_sql(SERVER, AUDITOR)
    separated.run(OWNER, f"GRANT ALL ON audit_records TO {SERVER}")
    assert main(["db", "grants", "--apply", "--database-url", separated.url(OWNER)]) == 0
    assert excess_rights(separated.url(SERVER)) == []
    separated.run(OWNER, f"GRANT ALL ON audit_records TO {SERVER}")
    separated.run(OWNER, printed)
    assert excess_rights(separated.url(SERVER)) == []


@pytest.mark.parametrize(
    ("arguments", "told"),
    [
        (["--writer", "no_such_role"], "create it first: CREATE ROLE no_such_role LOGIN"),
        (["--writer", OWNER], "servers need another role"),
        (["--writer", 'a"; DROP TABLE x'], "is not the name of a role"),
    ],
)
def test_wrong_roles_are_refused(
    separated: Separated, capsys: pytest.CaptureFixture[str], arguments: list[str], told: str
) -> None:
    assert main(["db", "grants", "--apply", "--database-url", separated.url(OWNER), *arguments]) == 2
    assert told in capsys.readouterr().err


def test_sqlite_has_no_roles(
    capsys: pytest.CaptureFixture[str], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    assert main(["db", "grants", "--apply"]) == 2
    assert "SQLite has no roles" in capsys.readouterr().err
