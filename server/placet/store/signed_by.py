"""Which keys a database was signed with, told without writing to it."""

from __future__ import annotations

import sqlite3
from contextlib import closing
from typing import TYPE_CHECKING

from placet.core.chain import parse_checkpoint
from placet.core.errors import SetupError
from placet.store.schema import audit_checkpoints
from placet.store.sqlite_files import SQL, connect_untouched

if TYPE_CHECKING:
    from pathlib import Path

_TABLES = "SELECT 1 FROM sqlite_master WHERE type = 'table' AND name = ?"
_WRITERS = "SELECT DISTINCT writer FROM audit_checkpoints"


def newest_key_ids(database: Path) -> dict[str, str]:
    """Writer -> id of the key that signed its newest checkpoint; empty where nothing was signed yet.

    SetupError when that cannot be read.
    """
    if not database.is_file():
        return {}
    try:
        with closing(connect_untouched(database)) as connection:
            if connection.execute(_TABLES, (audit_checkpoints.name,)).fetchone() is None:
                return {}
            writers = [writer for (writer,) in connection.execute(_WRITERS)]
            newest = [connection.execute(SQL.newest_checkpoint, (writer,)).fetchone() for writer in writers]
        return {str(writer): parse_checkpoint(row[2]).key_id for writer, row in zip(writers, newest, strict=True)}
    except (sqlite3.Error, ValueError) as error:
        raise SetupError(f"{database}: its checkpoints cannot be read ({error}); run `placet audit verify`") from error
