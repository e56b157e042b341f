"""Reads which keys signed an SQLite database and how far its chains go, without writing to it."""

from __future__ import annotations

import sqlite3
from contextlib import closing
from typing import TYPE_CHECKING

from placet.audit.chain import parse_checkpoint
from placet.audit.trail_break import FoundTrail
from placet.kernel.errors import ConfigurationError
from placet.storage.connections.sqlite import SQL, connect_untouched
from placet.storage.sql.readers.trail_finder import find_trail
from placet.storage.sql.schema import audit_checkpoints, audit_writers

if TYPE_CHECKING:
    from collections.abc import Sequence
    from pathlib import Path

    from placet.audit.trail_break import Place

_TABLES = "SELECT 1 FROM sqlite_master WHERE type = 'table' AND name = ?"
_WRITERS = "SELECT DISTINCT writer FROM audit_checkpoints"


def latest_signing_key_ids(database: Path) -> dict[str, str]:
    """Return writer -> id of the key that signed its newest checkpoint; empty when nothing was signed yet.

    Raises ConfigurationError when that cannot be read.
    """
    if not database.is_file():
        return {}
    try:
        with closing(connect_untouched(database)) as connection:
            if not _has(connection, audit_checkpoints.name):
                return {}
            writers = [writer for (writer,) in connection.execute(_WRITERS)]
            newest = [connection.execute(SQL.checkpoints.newest, (writer,)).fetchone() for writer in writers]
        return {str(writer): parse_checkpoint(row[2]).key_id for writer, row in zip(writers, newest, strict=True)}
    except (sqlite3.Error, ValueError) as error:
        raise ConfigurationError(
            f"{database}: its checkpoints cannot be read ({error}); run `placet audit verify`"
        ) from error


def find_trail_in_file(database: Path, signed: Sequence[Place], noted: Sequence[Place]) -> FoundTrail:
    """Return the heads of all chains, the checkpoints at `signed`, and the record hashes at `noted`.

    Empty when there is no file or schema. Raises ConfigurationError when the file cannot be read.
    """
    if not database.is_file():
        return FoundTrail({}, {}, {})
    try:
        with closing(connect_untouched(database)) as connection:
            if not (_has(connection, audit_writers.name) and _has(connection, audit_checkpoints.name)):
                return FoundTrail({}, {}, {})
            return find_trail(connection, SQL, signed, noted)
    except sqlite3.Error as error:
        raise ConfigurationError(
            f"{database}: cannot be read ({error}); run `placet audit verify`, and restore a backup if it is damaged"
        ) from error


def _has(connection: sqlite3.Connection, table: str) -> bool:
    return connection.execute(_TABLES, (table,)).fetchone() is not None
