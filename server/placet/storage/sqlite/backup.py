"""Copies an SQLite database while a server writes to it, by SQLite's backup API.

The copy is one moment of the database, in one file without a write-ahead log. It is verified before it gets its name.
"""

from __future__ import annotations

import contextlib
import os
import sqlite3
import tempfile
from pathlib import Path
from typing import TYPE_CHECKING

from placet.kernel.errors import ConfigurationError
from placet.storage.connections.sqlite import connect_evidence
from placet.storage.sqlite.offline import verify_database

if TYPE_CHECKING:
    from placet.audit.records import VerifyReport
    from placet.signing.keys import Verifier


def back_up(source: Path, target: Path, keys: Verifier) -> VerifyReport:
    """Copy the database to a new file, readable by its owner only, and return the report of its verification.

    A copy with problems gets no name. Raises ConfigurationError when the target exists, or a file cannot be read or
    written.
    """
    if target.exists() or target.is_symlink():
        raise _exists(target)
    try:
        descriptor, partial_name = tempfile.mkstemp(prefix=f".{target.name}.", suffix=".partial", dir=target.parent)
    except OSError as error:
        raise ConfigurationError(f"{target}: cannot be written ({error.strerror}); name another file") from error
    os.close(descriptor)
    partial = Path(partial_name)
    try:
        _copy(source, partial)
        report = verify_database(partial, keys, state=True)
        if report.ok:
            _give_name(partial, target)
    except OSError as error:
        raise ConfigurationError(f"{target}: cannot be written ({error.strerror}); name another file") from error
    finally:
        partial.unlink(missing_ok=True)
    return report


def _copy(source: Path, partial: Path) -> None:
    try:
        with (
            contextlib.closing(connect_evidence(source)) as live,
            contextlib.closing(sqlite3.connect(partial, isolation_level=None)) as copy,
        ):
            # All pages in one step: the copy is one moment, and a writer does not make it begin again.
            live.backup(copy, pages=-1)
            copy.execute("PRAGMA journal_mode=DELETE").fetchone()
    except sqlite3.Error as error:
        remedy = "see that there is room, and run `placet audit verify`"
        raise ConfigurationError(f"{source}: cannot be copied ({error}); {remedy}") from error
    _sync(partial)


def _give_name(partial: Path, target: Path) -> None:
    """Rename the file, but replace none that was created in the meantime."""
    try:
        os.close(os.open(target, os.O_CREAT | os.O_EXCL | os.O_WRONLY, 0o600))
    except FileExistsError as error:
        raise _exists(target) from error
    partial.replace(target)
    _sync(target.parent)


def _sync(path: Path) -> None:
    descriptor = os.open(path, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)


def _exists(target: Path) -> ConfigurationError:
    return ConfigurationError(f"{target}: exists already, and a backup replaces nothing; name another file")
