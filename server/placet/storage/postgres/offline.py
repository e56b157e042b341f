"""Verifies the trail in a PostgreSQL database without a server, and exports its checkpoints."""

from __future__ import annotations

import contextlib
from typing import TYPE_CHECKING, Any, Final, TypeVar

import psycopg

from placet.audit.chain import parse_checkpoint
from placet.audit.records import VerifyReport
from placet.audit.trail_break import FoundTrail
from placet.audit.verification.problems import ProblemKind, problem
from placet.audit.verification.verify_trail import require_records, verify_trail
from placet.kernel.errors import ConfigurationError
from placet.signing.checkpoint_files import dump_pinned_checkpoints
from placet.storage.connections.postgres import SQL, connect, masked, require_durable
from placet.storage.migrate import VERSION_TABLE, missing_tables, require_revision, stored_revision
from placet.storage.sql.reader import Reader
from placet.storage.sql.readers.audit_log_reader import read_log
from placet.storage.sql.readers.decision_reader import StoredTrail, newest_checkpoints
from placet.storage.sql.readers.trail_finder import find_trail
from placet.storage.sql.schema import audit_checkpoints, audit_writers

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Sequence

    from placet.audit.trail_break import Place
    from placet.audit.verification.verify_trail import PinnedCheckpoint
    from placet.signing.keys import Verifier
    from placet.storage.connections.postgres import PostgresConnection
    from placet.storage.sql.readers.audit_log_reader import LoggedRecord, LogQuery

Result = TypeVar("Result")
_PATIENT: Final = "SELECT set_config('statement_timeout', '0', false)"
"""Removes the limit on how long a statement may take."""
_TABLES: Final = "SELECT tablename FROM pg_tables WHERE schemaname = current_schema()"
_SNAPSHOT: Final = "BEGIN ISOLATION LEVEL REPEATABLE READ READ ONLY"


def evidence(url: str, name: str = "audit") -> PostgresConnection:
    """Open a session whose queries may take any time. Raises psycopg.Error."""
    connection = connect(url, name)
    try:
        connection.execute(_PATIENT)
    except BaseException:
        connection.close()
        raise
    return connection


def verify_url(
    url: str, keys: Verifier, pinned: Sequence[PinnedCheckpoint] = (), *, state: bool = False
) -> VerifyReport:
    """Verify the trail in a database, also while servers run; with `state`, compare state with the records.

    Raises ConfigurationError when it cannot be read.
    """
    with _reading(url) as connection:
        return require_records(verify_connection(connection, keys, pinned, state=state))


def verify_connection(
    connection: PostgresConnection,
    keys: Verifier,
    pinned: Sequence[PinnedCheckpoint] = (),
    *,
    state: bool = False,
    pace: Callable[[], None] | None = None,
) -> VerifyReport:
    """Verify the trail on a session of `evidence`, in one snapshot.

    Raises ConfigurationError when the schema is not this version's.
    """
    connection.execute(_SNAPSHOT)
    try:
        if not _has_trail(connection):
            return _damaged("there is no trail in it")
        if missing := missing_tables(_tables(connection)):
            return _damaged(*(f"there is no table {name}" for name in missing))
        return verify_trail(StoredTrail(connection, SQL), keys.check, pinned, state=state, pace=pace)
    except (psycopg.errors.UndefinedColumn, psycopg.errors.DataCorrupted, psycopg.errors.IndexCorrupted) as error:
        return _damaged(str(error).splitlines()[0])
    finally:
        with contextlib.suppress(psycopg.Error):
            connection.execute("ROLLBACK")


def export_url_checkpoints(url: str) -> bytes:
    """Return the newest checkpoint of every chain as JSON.

    Raises ConfigurationError when there is none yet, or the database cannot be read.
    """
    with _reading(url) as connection:
        newest = newest_checkpoints(connection, SQL) if _has_trail(connection) else []
    return dump_pinned_checkpoints(newest, masked(url))


def read_url(url: str, work: Callable[[Reader], Result]) -> Result:
    """Run the work in a session that only reads, also while servers run.

    Raises ConfigurationError when the database cannot be read.
    """
    with _reading(url) as connection:
        return work(Reader(connection, SQL))


def log_of_url(url: str, query: LogQuery) -> list[LoggedRecord]:
    """Return records of any kind and of all replicas, newest first.

    Raises ConfigurationError when they cannot be read.
    """
    with _reading(url) as connection:
        return read_log(connection, SQL, query) if _has_trail(connection) else []


def require_fit(url: str) -> None:
    """Raise ConfigurationError unless a server can store its ledger there."""
    with _reading(url) as connection:
        require_durable(connection, masked(url))


def url_key_ids(url: str) -> dict[str, str]:
    """Return writer -> id of the key that signed its newest checkpoint.

    Raises ConfigurationError when that cannot be read.
    """
    with _reading(url) as connection:
        newest = newest_checkpoints(connection, SQL) if audit_checkpoints.name in _tables(connection) else []
    try:
        return {str(row[0]): parse_checkpoint(row[2]).key_id for row in newest}
    except ValueError as error:
        raise ConfigurationError(
            f"{masked(url)}: its checkpoints cannot be read ({error}); run `placet audit verify`"
        ) from error


def find_trail_at_url(url: str, signed: Sequence[Place], noted: Sequence[Place]) -> FoundTrail:
    """Return the heads of all chains, the checkpoints at `signed`, and the record hashes at `noted`.

    Empty when there is no schema. Raises ConfigurationError when the database cannot be read.
    """
    with _reading(url) as connection:
        if not {audit_checkpoints.name, audit_writers.name} <= _tables(connection):
            return FoundTrail({}, {}, {})
        return find_trail(connection, SQL, signed, noted)


@contextlib.contextmanager
def _reading(url: str) -> Iterator[PostgresConnection]:
    connection = None
    try:
        connection = evidence(url)
        yield connection
    except psycopg.Error as error:
        reason = "; ".join(str(error).splitlines())
        remedy = "see that PostgreSQL runs there, and that the URL is right"
        raise ConfigurationError(f"{masked(url)}: cannot be read ({reason}); {remedy}") from error
    finally:
        if connection is not None:
            connection.close()


def _has_trail(connection: PostgresConnection) -> bool:
    if VERSION_TABLE not in _tables(connection):
        return False
    revision = stored_revision(connection)
    if revision:
        require_revision(revision, connection.driver.info.dbname)
    return bool(revision)


def _tables(connection: PostgresConnection) -> set[str]:
    return {str(name) for (name,) in connection.execute(_TABLES)}


def _damaged(*details: str) -> VerifyReport:
    problems: list[Any] = [problem(ProblemKind.DATABASE_DAMAGED, "", 0, detail) for detail in details]
    return VerifyReport(0, 0, 0, tuple(problems))
