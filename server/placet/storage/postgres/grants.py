"""Least privilege on PostgreSQL: what the role of the server may do with each table, as SQL.

The owner of the tables creates and upgrades them. The writer, as whom servers connect, appends to the audit trail and
changes state. It can neither change the trail nor the schema. An auditor only reads.

Triggers refuse changes of the trail to every role, the owner included, so that a grant by mistake changes nothing.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

import psycopg

from placet.kernel.errors import ConfigurationError
from placet.storage.connections.postgres import masked, open_session
from placet.storage.migrate import VERSION_TABLE
from placet.storage.sql.schema import (
    audit_checkpoints,
    audit_parts,
    audit_records,
    audit_writers,
    counters,
    idempotency_keys,
    rows,
)

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping

APPENDED: Final = (audit_records.name, audit_parts.name, audit_checkpoints.name)
"""Tables that only grow."""
HEADS: Final = audit_writers.name
"""The table of the heads of chains, which every commit moves."""
_STATE: Final = (idempotency_keys.name, counters.name, *(table.name for table in rows.values()))
WRITER: Final[Mapping[str, str]] = {
    **dict.fromkeys(APPENDED, "SELECT, INSERT"),
    HEADS: "SELECT, INSERT, UPDATE",
    **dict.fromkeys(_STATE, "SELECT, INSERT, UPDATE, DELETE"),
    VERSION_TABLE: "SELECT",
}
"""Table -> what the writer may do with it. Every table of the schema is listed."""
REFUSAL: Final = "placet_refuse_change"
"""The name of the function and the triggers that refuse changes of the trail."""
_ROLE_CHARS_MAX: Final = 63
_FUNCTION: Final = f"""\
CREATE OR REPLACE FUNCTION {REFUSAL}() RETURNS trigger LANGUAGE plpgsql SET search_path = pg_catalog AS $$
BEGIN
  RAISE EXCEPTION '% of % is refused: the audit trail is never changed', TG_OP, TG_TABLE_NAME
    USING ERRCODE = 'insufficient_privilege';
END $$"""
_ROLE: Final = "SELECT rolname = current_user FROM pg_roles WHERE rolname = %s"
_UNGUARDED: Final = """
SELECT name FROM unnest(%s::text[]) AS name WHERE NOT EXISTS (
  SELECT 1 FROM pg_trigger
  WHERE tgrelid = to_regclass(quote_ident(name)) AND tgname = %s AND tgenabled IN ('O', 'A'))"""
_MAY_CHANGE: Final = """
SELECT name FROM unnest(%s::text[]) AS name
WHERE has_table_privilege(quote_ident(name), 'UPDATE, DELETE, TRUNCATE, TRIGGER')"""
_MAY_CREATE: Final = """
SELECT current_user, rolsuper, has_schema_privilege(current_schema(), 'CREATE'),
  pg_has_role((SELECT relowner FROM pg_class WHERE oid = to_regclass(quote_ident(%s))), 'MEMBER')
FROM pg_roles WHERE rolname = current_user"""


def grants_sql(writer: str, auditor: str = "") -> str:
    """Return the SQL that the owner of the tables runs in the database, in one transaction. It can be run again.

    Raises ConfigurationError when a name is none of a role.
    """
    return "".join(f"{statement};\n" for statement in ("BEGIN", *_statements(writer, auditor), "COMMIT"))


def apply_grants(url: str, writer: str, auditor: str = "") -> None:
    """Run the SQL of `grants_sql` as the role of the URL, which owns the tables.

    Raises ConfigurationError when a role does not exist, or when the database refuses.
    """
    statements = list(_statements(writer, auditor))
    try:
        with open_session(url, "grants", autocommit=False) as connection:
            for role in filter(None, (writer, auditor)):
                _require_other_role(connection.execute(_ROLE, (role,)).fetchone(), role, masked(url))
            for statement in statements:
                connection.execute(statement.encode())
    except psycopg.Error as error:
        reason = "; ".join(str(error).splitlines())
        remedy = "run `placet db upgrade` first, and connect as the role that owns the tables"
        raise ConfigurationError(f"{masked(url)}: the rights cannot be granted ({reason}); {remedy}") from error


def excess_rights(url: str) -> list[str]:
    """Return what the role of the URL may do beyond what a server needs; empty for a writer of least privilege.

    Raises ConfigurationError when the database cannot be read.
    """
    trail = [*APPENDED, HEADS]
    try:
        with open_session(url, "rights") as connection:
            found = connection.execute(_MAY_CREATE, (APPENDED[0],)).fetchone()
            user, superuser, creates, owns = found or ("", False, False, False)
            changeable = [str(name) for (name,) in connection.execute(_MAY_CHANGE, (list(APPENDED),))]
            unguarded = [str(name) for (name,) in connection.execute(_UNGUARDED, (trail, REFUSAL))]
    except psycopg.Error as error:
        reason = "; ".join(str(error).splitlines())
        raise ConfigurationError(f"{masked(url)}: its rights cannot be read ({reason})") from error
    rights = {
        f"{user} is a superuser": superuser,
        f"{user} owns the tables": owns and not superuser,
        f"{user} may create tables": creates and not superuser,
        f"{user} may change {', '.join(changeable)}": changeable and not owns,
        f"no trigger refuses changes of {', '.join(unguarded)}": unguarded,
    }
    return [text for text, holds in rights.items() if holds]


def _require_other_role(found: tuple[object, ...] | None, role: str, where: str) -> None:
    if found is None:
        raise ConfigurationError(f"{where}: there is no role {role}; create it first: CREATE ROLE {role} LOGIN")
    if found[0]:
        raise ConfigurationError(f"{where}: {role} is the role that owns the tables; servers need another role")


def _statements(writer: str, auditor: str) -> Iterator[str]:
    yield _FUNCTION
    yield f"REVOKE ALL ON FUNCTION {REFUSAL}() FROM PUBLIC"
    for name in APPENDED:
        yield _trigger(name, "UPDATE OR DELETE OR TRUNCATE")
    yield _trigger(HEADS, "DELETE OR TRUNCATE")
    yield (
        "DO $$ BEGIN EXECUTE format('REVOKE CREATE ON SCHEMA %I FROM PUBLIC', current_schema()); "
        "EXECUTE format('REVOKE TEMPORARY ON DATABASE %I FROM PUBLIC', current_database()); END $$"
    )
    yield from _granted(writer, WRITER)
    if auditor:
        yield from _granted(auditor, dict.fromkeys(WRITER, "SELECT"))


def _granted(role: str, rights: Mapping[str, str]) -> Iterator[str]:
    """Take everything from the role, then grant the rights."""
    name = _quoted(role)
    yield (
        "DO $$ BEGIN EXECUTE format("
        f"'REVOKE CREATE ON SCHEMA %I FROM {name}; GRANT USAGE ON SCHEMA %1$I TO {name}', current_schema()); END $$"
    )
    yield f"REVOKE ALL ON TABLE {', '.join(sorted(rights))} FROM {name}"
    for right in sorted(set(rights.values())):
        yield f"GRANT {right} ON TABLE {', '.join(sorted(each for each in rights if rights[each] == right))} TO {name}"


def _trigger(table: str, events: str) -> str:
    # For each statement, because a statement that changes no row is also not one of Placet.
    return (
        f"CREATE OR REPLACE TRIGGER {REFUSAL} BEFORE {events} ON {table} FOR EACH STATEMENT "
        f"EXECUTE FUNCTION {REFUSAL}()"
    )


def _quoted(role: str) -> str:
    """Return the role as an identifier. Raises ConfigurationError when it cannot be one that is safe in a text."""
    plain = role.replace("_", "").replace("-", "")
    if not (plain.isascii() and plain.isalnum() and len(role) <= _ROLE_CHARS_MAX):
        raise ConfigurationError(f"{role!a}: is not the name of a role; use letters, digits, _ and -")
    return f'"{role}"'
