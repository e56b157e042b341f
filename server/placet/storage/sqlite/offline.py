"""Verifies a database file without a server, with public keys only, and exports its checkpoints."""

from __future__ import annotations

import contextlib
import sqlite3
from dataclasses import replace
from typing import TYPE_CHECKING, Final, TypeVar

from placet.audit.records import VerifyReport
from placet.audit.verification.problems import ProblemKind, problem
from placet.audit.verification.verify_trail import require_records, verify_trail
from placet.kernel.errors import ConfigurationError
from placet.signing.checkpoint_files import dump_pinned_checkpoints
from placet.storage.connections.sqlite import DAMAGE_CODES, PRIMARY_CODE, SQL, connect_evidence
from placet.storage.migrate import VERSION_TABLE, missing_tables, require_revision, stored_revision
from placet.storage.sql.reader import Reader
from placet.storage.sql.readers.audit_log_reader import read_log
from placet.storage.sql.readers.decision_reader import StoredTrail, newest_checkpoints

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Sequence
    from pathlib import Path

    from placet.audit.records import AuditProblem
    from placet.audit.verification.verify_trail import PinnedCheckpoint
    from placet.signing.keys import Verifier
    from placet.storage.connections.sqlite import SqliteConnection
    from placet.storage.sql.readers.audit_log_reader import LoggedRecord, LogQuery

Result = TypeVar("Result")
UNREADABLE_CODES: Final = DAMAGE_CODES | {sqlite3.SQLITE_ERROR}
"""Error codes of a file whose content cannot be read. SQLITE_ERROR is that of a missing column."""


def verify_database(
    path: Path, keys: Verifier, pinned: Sequence[PinnedCheckpoint] = (), *, state: bool = False
) -> VerifyReport:
    """Verify the trail in a database file, also while a server runs; with `state`, compare state with the records.

    Needs no write access. `pinned` are checkpoints from `load_pinned_checkpoints`. Raises ConfigurationError when the
    file cannot be opened, or has another schema.
    """
    connection = _evidence(path)
    try:
        report = verify_connection(connection, keys, pinned, state=state)
    except sqlite3.Error as error:
        raise ConfigurationError(f"{path}: cannot be read ({error}); try again, or verify a copy of it") from error
    finally:
        connection.close()
    return require_records(report)


def verify_connection(
    connection: SqliteConnection,
    keys: Verifier,
    pinned: Sequence[PinnedCheckpoint] = (),
    *,
    state: bool = False,
    pace: Callable[[], None] | None = None,
) -> VerifyReport:
    """Verify the trail on a connection of `connect_evidence`, in one snapshot: first the file, then the chains."""
    problems: list[AuditProblem] = []
    report = VerifyReport(0, 0, 0, ())
    try:
        connection.execute("BEGIN")
        problems += [
            _damaged(finding) for (finding,) in connection.execute("PRAGMA integrity_check(10)") if finding != "ok"
        ]
        if not _has_trail(connection):
            problems.append(_damaged("there is no trail in it"))
        elif missing := missing_tables(_tables(connection)):
            problems += [_damaged(f"there is no table {name}") for name in missing]
        else:
            report = verify_trail(StoredTrail(connection, SQL), keys.check, pinned, state=state, pace=pace)
    except sqlite3.DatabaseError as error:
        if error.sqlite_errorcode & PRIMARY_CODE not in UNREADABLE_CODES:
            raise
        problems.append(_damaged(str(error)))
    return replace(report, problems=(*problems, *report.problems))


def export_checkpoints(path: Path) -> bytes:
    """Return the newest checkpoint of every chain as JSON, to be stored where the database's writer cannot write.

    Raises ConfigurationError when there is none yet.
    """
    with _reading(path) as connection:
        newest = newest_checkpoints(connection, SQL) if _has_trail(connection) else []
    return dump_pinned_checkpoints(newest, str(path))


def log_of(path: Path, query: LogQuery) -> list[LoggedRecord]:
    """Return records of any kind, newest first, also while a server runs.

    Raises ConfigurationError when the file cannot be read.
    """
    with _reading(path) as connection:
        return read_log(connection, SQL, query) if _has_trail(connection) else []


def read_file(path: Path, work: Callable[[Reader], Result]) -> Result:
    """Run the work on a connection that only reads, also while a server runs.

    Raises ConfigurationError when the file cannot be read or has no trail.
    """
    with _reading(path) as connection:
        if not _has_trail(connection):
            raise ConfigurationError(f"{path}: has no trail; the first `placet serve` makes it")
        return work(Reader(connection, SQL))


@contextlib.contextmanager
def _reading(path: Path) -> Iterator[SqliteConnection]:
    connection = _evidence(path)
    try:
        yield connection
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


def _has_trail(connection: SqliteConnection) -> bool:
    """Return whether there is a schema. Raises ConfigurationError when it is not this version's."""
    if VERSION_TABLE not in _tables(connection):
        return False
    revision = stored_revision(connection)
    if revision:
        (file,) = (name for _, schema, name in connection.execute("PRAGMA database_list") if schema == "main")
        require_revision(revision, file)
    return bool(revision)


def _tables(connection: sqlite3.Connection) -> set[str]:
    return {str(name) for (name,) in connection.execute("SELECT name FROM sqlite_master WHERE type = 'table'")}


def _damaged(detail: str) -> AuditProblem:
    return problem(ProblemKind.DATABASE_DAMAGED, "", 0, detail)
