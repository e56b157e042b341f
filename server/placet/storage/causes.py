"""The causes of storage failures that callers may see: fixed sentences without paths or statements."""

from __future__ import annotations

import errno
import sqlite3
from typing import Final

from placet.storage.connections.file_guard import DatabaseAwayError, FilesLostError

RECORD_DAMAGED: Final = "a stored record is damaged; run `placet audit verify`"
DISK_FULL: Final = "the disk of the server's database is full; make room there"
LOCKED: Final = "another program holds the server's database; end it, e.g. a backup that hangs"
FILES_LOST: Final = (
    "a file of the server's database was removed or changed by others; `placet doctor` names it; restart the server"
)
AWAY: Final = "the server's database was moved away; put it back"
READ_ONLY: Final = "the server's database is read-only; let Placet's user write it"
RIGHTS: Final = (
    "the server's role lacks a right on the database; run `placet db grants --apply` as the owner of the tables"
)
_BY_SQLITE_CODE: Final = {
    sqlite3.SQLITE_FULL: DISK_FULL,
    sqlite3.SQLITE_BUSY: LOCKED,
    sqlite3.SQLITE_LOCKED: LOCKED,
    sqlite3.SQLITE_READONLY: READ_ONLY,
}
_PRIMARY_CODE_BITS: Final = 0xFF
"""An extended result code of SQLite holds the primary code in its lowest byte."""
_BY_ERRNO: Final = {errno.ENOSPC: DISK_FULL, errno.EDQUOT: DISK_FULL, errno.EFBIG: DISK_FULL, errno.EROFS: READ_ONLY}
_BY_SQLSTATE: Final = {"53100": DISK_FULL, "25006": READ_ONLY, "42501": RIGHTS}
"""PostgreSQL's disk_full, read_only_sql_transaction and insufficient_privilege."""


def known_cause(error: BaseException) -> str:
    """Return the sentence for an error; empty when only the server's log may explain it."""
    match error:
        case FilesLostError():
            return FILES_LOST
        case DatabaseAwayError():
            return AWAY
        case OSError():
            return _BY_ERRNO.get(error.errno or 0, "")
        case sqlite3.Error():
            code: int = getattr(error, "sqlite_errorcode", 0)
            return _BY_SQLITE_CODE.get(code & _PRIMARY_CODE_BITS, "")
        case _:
            return _BY_SQLSTATE.get(str(getattr(error, "sqlstate", "")), "")
