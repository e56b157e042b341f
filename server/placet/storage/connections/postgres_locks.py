"""Advisory locks in PostgreSQL. They detect conflicts early, before the compare-and-set on the chain's head does.

Sessions hold the locks, so they end with the process, however it ends. They also mark the sessions of writers, so that
a hung one can be terminated.
"""

from __future__ import annotations

import hashlib
from typing import TYPE_CHECKING, Final

from psycopg import errors

from placet.kernel.errors import ConfigurationError
from placet.kernel.limits import STORE_IDLE_MS_MAX

if TYPE_CHECKING:
    from placet.storage.sql.driver import Connection

SCHEMA_LOCK_MS_MAX: Final = 60_000
"""How long a replica waits for another one that creates the schema."""
_SERVING: Final = "placet.serving"
_MIGRATING: Final = "placet.migrating"
_END_HUNG: Final = (
    "SELECT count(pg_terminate_backend(pid)) FROM pg_locks JOIN pg_stat_activity USING (pid)"
    " WHERE locktype = 'advisory' AND datname = current_database() AND database = datid"
    " AND (classid::bigint << 32 | objid::bigint) = %s AND granted AND pid <> pg_backend_pid()"
    " AND state IN ('active', 'idle in transaction') AND wait_event = 'ClientRead' AND backend_xid IS NOT NULL"
    " AND state_change < clock_timestamp() - %s * interval '1 millisecond'"
)
"""Terminates the sessions with a lock that have waited in a transaction for their client longer than a limit."""


def hold_writer(connection: Connection, writer: str, where: str) -> None:
    """Lock the chain for this session, and mark the session for `forbid_serving`.

    Raises ConfigurationError when another process still holds the lock after a moment. It may have just died.
    """
    try:
        connection.execute("SELECT pg_advisory_lock(%s)", (_number(f"placet.writer {writer}"),))
    except errors.LockNotAvailable as error:
        raise ConfigurationError(
            f"{where}: another process writes as replica {writer!a}; stop that one, or give this one its own "
            "name with --replica-id"
        ) from error
    connection.execute("SELECT pg_advisory_lock_shared(%s)", (_number(_SERVING),))


def hold_schema(connection: Connection) -> None:
    """Lock the schema against other replicas until the end of the transaction."""
    connection.execute("SELECT set_config('lock_timeout', %s, true)", (str(SCHEMA_LOCK_MS_MAX),))
    connection.execute("SELECT pg_advisory_xact_lock(%s)", (_number(_MIGRATING),))


def forbid_serving(connection: Connection, where: str) -> None:
    """Prevent servers from starting until the end of the transaction. Raises ConfigurationError when one runs."""
    (free,) = connection.execute("SELECT pg_try_advisory_xact_lock(%s)", (_number(_SERVING),)).fetchone()
    if not free:
        raise ConfigurationError(f"{where}: is in use by a server; stop all replicas first")


def end_hung(connection: Connection) -> bool:
    """Terminate the sessions of writers that hang in a transaction. Return whether there was one.

    PostgreSQL does this itself while it waits for a statement, but not while it waits for the rest of a pipeline: its
    timer stops then. A writer that was only slow repeats its commit.
    """
    (ended,) = connection.execute(_END_HUNG, (_number(_SERVING), STORE_IDLE_MS_MAX)).fetchone()
    return bool(ended)


def _number(name: str) -> int:
    return int.from_bytes(hashlib.sha256(name.encode()).digest()[:8], signed=True)
