"""Verify a database file without a server, with public keys alone; and give checkpoints to keep elsewhere."""

from __future__ import annotations

import sqlite3
from dataclasses import replace
from typing import TYPE_CHECKING, Final

from placet.audit.problems import ProblemKind, problem
from placet.audit.records import VerifyReport
from placet.audit.verify_trail import require_records, verify_trail
from placet.kernel.errors import ConfigurationError
from placet.signing.checkpoint_files import dump_pinned_checkpoints
from placet.storage.connections.sqlite import DAMAGE_CODES, PRIMARY_CODE, SQL, connect_evidence
from placet.storage.migrate import VERSION_TABLE, SchemaStatus, missing_tables, require_current, revision_state
from placet.storage.sql.audit_log_reader import read_log
from placet.storage.sql.decision_reader import StoredTrail, newest_checkpoints
from placet.storage.sql.schema import HEAD_REVISION

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence
    from pathlib import Path

    from placet.audit.records import AuditProblem
    from placet.audit.verify_trail import PinnedCheckpoint
    from placet.signing.keys import Verifier
    from placet.storage.connections.sqlite import SqliteConnection
    from placet.storage.sql.audit_log_reader import LoggedRecord, LogQuery

UNREADABLE_CODES: Final = DAMAGE_CODES | {sqlite3.SQLITE_ERROR}
"""Codes of what cannot be read because of what stands in the file; the last one is that of a column that is gone."""


def verify_database(
    path: Path, keys: Verifier, kept: Sequence[PinnedCheckpoint] = (), *, state: bool = False
) -> VerifyReport:
    """Check the trail in a database file, served at this moment or not; and `state`. Needs no write access.

    `kept` are checkpoints from `load_pinned_checkpoints`. ConfigurationError when the file cannot be opened at all, or
    is of another schema.
    """
    connection = _evidence(path)
    try:
        report = verify_connection(connection, keys, kept, state=state)
    except sqlite3.Error as error:
        raise ConfigurationError(f"{path}: cannot be read ({error}); try again, or verify a copy of it") from error
    finally:
        connection.close()
    return require_records(report)


def verify_connection(
    connection: SqliteConnection,
    keys: Verifier,
    kept: Sequence[PinnedCheckpoint] = (),
    *,
    state: bool = False,
    pace: Callable[[], None] | None = None,
) -> VerifyReport:
    """Check the trail on a connection of `connect_evidence`, in one snapshot: first the file, then the chains."""
    problems: list[AuditProblem] = []
    report = VerifyReport(0, 0, 0, ())
    try:
        connection.execute("BEGIN")
        problems += [_damaged(said) for (said,) in connection.execute("PRAGMA integrity_check(10)") if said != "ok"]
        if not _has_trail(connection):
            problems.append(_damaged("there is no trail in it"))
        elif missing := missing_tables(_tables(connection)):
            problems += [_damaged(f"there is no table {name}") for name in missing]
        else:
            report = verify_trail(StoredTrail(connection, SQL), keys.check, kept, state=state, pace=pace)
    except sqlite3.DatabaseError as error:
        if error.sqlite_errorcode & PRIMARY_CODE not in UNREADABLE_CODES:
            raise
        problems.append(_damaged(str(error)))
    return replace(report, problems=(*problems, *report.problems))


def export_checkpoints(path: Path) -> bytes:
    """The newest checkpoint of every chain as JSON, to be kept where the writer of the database cannot write.

    ConfigurationError when there is none yet.
    """
    connection = _evidence(path)
    try:
        newest = newest_checkpoints(connection, SQL) if _has_trail(connection) else []
    except sqlite3.Error as error:
        raise ConfigurationError(f"{path}: cannot be read ({error}); run `placet audit verify`") from error
    finally:
        connection.close()
    return dump_pinned_checkpoints(newest, str(path))


def log_of(path: Path, query: LogQuery) -> list[LoggedRecord]:
    """Records of any kind, newest first, served at this moment or not. ConfigurationError when it cannot be read."""
    connection = _evidence(path)
    try:
        return read_log(connection, SQL, query) if _has_trail(connection) else []
    except sqlite3.Error as error:
        raise ConfigurationError(f"{path}: cannot be read ({error}); run `placet audit verify`") from error
    finally:
        connection.close()


def _evidence(path: Path) -> SqliteConnection:
    if not path.is_file():
        raise ConfigurationError(f"{path}: there is no such database; its name is placet.db in the data_dir")
    try:
        return connect_evidence(path)
    except sqlite3.Error as error:
        raise ConfigurationError(
            f"{path}: cannot be opened ({error}); copy it with its -wal file to where you may write"
        ) from error


def _has_trail(connection: sqlite3.Connection) -> bool:
    """Whether there is a schema. ConfigurationError when it is another than this version's."""
    if VERSION_TABLE not in _tables(connection):
        return False
    revision = ", ".join(str(row[0]) for row in connection.execute("SELECT version_num FROM alembic_version"))
    if revision:
        (file,) = (name for _, schema, name in connection.execute("PRAGMA database_list") if schema == "main")
        require_current(SchemaStatus(revision_state(revision), revision, HEAD_REVISION), file)
    return bool(revision)


def _tables(connection: sqlite3.Connection) -> set[str]:
    return {str(name) for (name,) in connection.execute("SELECT name FROM sqlite_master WHERE type = 'table'")}


def _damaged(detail: str) -> AuditProblem:
    return problem(ProblemKind.DATABASE_DAMAGED, "", 0, detail)
