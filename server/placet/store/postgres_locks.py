"""Advisory locks in PostgreSQL: they say early what the compare-and-set on the chain's head would say late.

Each is held by a session, so that it ends with the process, however that ends.
"""

from __future__ import annotations

import hashlib
from typing import TYPE_CHECKING, Final

from psycopg import errors

from placet.core.errors import SetupError

if TYPE_CHECKING:
    from placet.store.driver import Connection

SCHEMA_LOCK_MS_MAX: Final = 60_000
"""How long one replica waits for another one that makes the schema."""
_SERVING: Final = "placet.serving"
_MIGRATING: Final = "placet.migrating"


def hold_writer(connection: Connection, writer: str, where: str) -> None:
    """Be the only process that writes the chain, for as long as the session lasts; be seen by `forbid_serving`.

    SetupError when another process still is after a moment; it may be one that just died.
    """
    try:
        connection.execute("SELECT pg_advisory_lock(%s)", (_number(f"placet.writer {writer}"),))
    except errors.LockNotAvailable as error:
        raise SetupError(
            f"{where}: another process writes as replica {writer!a}; stop that one, or give this one a name of its "
            "own with --replica"
        ) from error
    connection.execute("SELECT pg_advisory_lock_shared(%s)", (_number(_SERVING),))


def hold_schema(connection: Connection) -> None:
    """Be the only one that makes or changes the schema, until the end of the transaction."""
    connection.execute("SELECT set_config('lock_timeout', %s, true)", (str(SCHEMA_LOCK_MS_MAX),))
    connection.execute("SELECT pg_advisory_xact_lock(%s)", (_number(_MIGRATING),))


def forbid_serving(connection: Connection, where: str) -> None:
    """Keep servers from starting until the end of the transaction. SetupError when one runs."""
    (free,) = connection.execute("SELECT pg_try_advisory_xact_lock(%s)", (_number(_SERVING),)).fetchone()
    if not free:
        raise SetupError(f"{where}: is in use by a server; stop all replicas first")


def _number(name: str) -> int:
    return int.from_bytes(hashlib.sha256(name.encode()).digest()[:8], signed=True)
