"""Advisory locks in PostgreSQL: they say early what the compare-and-set on the chain's head would say late.

Each is held by a session, so that it ends with the process, however that ends. They also tell which sessions are those
of writers, so that one that hangs can be ended.
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
"""How long one replica waits for another one that makes the schema."""
_SERVING: Final = "placet.serving"
_MIGRATING: Final = "placet.migrating"
_END_HUNG: Final = (
    "SELECT count(pg_terminate_backend(pid)) FROM pg_locks JOIN pg_stat_activity USING (pid)"
    " WHERE locktype = 'advisory' AND datname = current_database() AND database = datid"
    " AND (classid::bigint << 32 | objid::bigint) = %s AND granted AND pid <> pg_backend_pid()"
    " AND state IN ('active', 'idle in transaction') AND wait_event = 'ClientRead' AND backend_xid IS NOT NULL"
    " AND state_change < clock_timestamp() - %s * interval '1 millisecond'"
)


def hold_writer(connection: Connection, writer: str, where: str) -> None:
    """Be the only process that writes the chain, for as long as the session lasts; be seen by `forbid_serving`.

    ConfigurationError when another process still is after a moment; it may be one that just died.
    """
    try:
        connection.execute("SELECT pg_advisory_lock(%s)", (_number(f"placet.writer {writer}"),))
    except errors.LockNotAvailable as error:
        raise ConfigurationError(
            f"{where}: another process writes as replica {writer!a}; stop that one, or give this one a name of its "
            "own with --replica-id"
        ) from error
    connection.execute("SELECT pg_advisory_lock_shared(%s)", (_number(_SERVING),))


def hold_schema(connection: Connection) -> None:
    """Be the only one that makes or changes the schema, until the end of the transaction."""
    connection.execute("SELECT set_config('lock_timeout', %s, true)", (str(SCHEMA_LOCK_MS_MAX),))
    connection.execute("SELECT pg_advisory_xact_lock(%s)", (_number(_MIGRATING),))


def forbid_serving(connection: Connection, where: str) -> None:
    """Keep servers from starting until the end of the transaction. ConfigurationError when one runs."""
    (free,) = connection.execute("SELECT pg_try_advisory_xact_lock(%s)", (_number(_SERVING),)).fetchone()
    if not free:
        raise ConfigurationError(f"{where}: is in use by a server; stop all replicas first")


def end_hung(connection: Connection) -> bool:
    """End the sessions of writers that hang in the middle of a transaction; whether there was one.

    PostgreSQL does so itself when it waits for a statement, but not when it waits for the rest of several that are sent
    together: its clock stands still then. A writer that was only slow does its commit again.
    """
    (ended,) = connection.execute(_END_HUNG, (_number(_SERVING), STORE_IDLE_MS_MAX)).fetchone()
    return bool(ended)


def _number(name: str) -> int:
    return int.from_bytes(hashlib.sha256(name.encode()).digest()[:8], signed=True)
