"""One process writes to a database: its folder and a lock file are locked for as long as the process lives.

The file tells who holds it, but somebody may remove it: then another process could lock a new one of that name.
"""

from __future__ import annotations

import fcntl
import os
from typing import TYPE_CHECKING, Self

from placet.kernel.disk_faults import remedy_for
from placet.kernel.errors import ConfigurationError

if TYPE_CHECKING:
    from pathlib import Path

PID_BYTES_MAX = 32


class WriterLock:
    """Held from `take` to `release`. The kernel releases it when the process dies; the file stays."""

    def __init__(self, *descriptors: int) -> None:
        self._descriptors = descriptors

    @classmethod
    def take(cls, database: Path) -> Self:
        """Lock the database for writing.

        ConfigurationError when another process holds it, or the file cannot be written.
        """
        path = lock_file(database)
        try:
            folder = os.open(path.parent, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
        except OSError as error:
            raise _unwritable(path, error) from error
        try:
            _lock(folder, path, database)
            return cls(_locked_file(path, database), folder)
        except BaseException:
            os.close(folder)
            raise

    def release(self) -> None:
        """Let another process write."""
        for descriptor in self._descriptors:
            os.close(descriptor)


def lock_file(database: Path) -> Path:
    """The lock file of a database."""
    return database.with_name(database.name + ".lock")


def _locked_file(path: Path, database: Path) -> int:
    try:
        descriptor = os.open(path, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
    except OSError as error:
        raise _unwritable(path, error) from error
    try:
        _lock(descriptor, path, database)
        os.ftruncate(descriptor, 0)
        os.write(descriptor, b"%d\n" % os.getpid())
    except OSError as error:
        os.close(descriptor)
        remedy = remedy_for(error, "see that it can be written")
        raise ConfigurationError(f"{path}: cannot be written ({error.strerror}); {remedy}") from error
    except BaseException:
        os.close(descriptor)
        raise
    return descriptor


def _lock(descriptor: int, path: Path, database: Path) -> None:
    try:
        fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError as error:
        raise ConfigurationError(
            f"{database}: is in use by {_holder(path)}; stop that one, or give this one a data_dir of its own"
        ) from error
    except OSError as error:
        raise ConfigurationError(f"{path}: cannot be locked ({error.strerror}); use a local file system") from error


def _holder(path: Path) -> str:
    """Who holds the lock, as far as the file tells."""
    try:
        with path.open("rb") as file:
            process = file.read(PID_BYTES_MAX).decode(errors="replace").strip()
    except FileNotFoundError:
        return f"another process, whose lock file {path.name} was removed"
    except OSError:
        process = ""
    return f"process {process or 'unknown'}"


def _unwritable(path: Path, error: OSError) -> ConfigurationError:
    remedy = remedy_for(error, "let Placet's user own its folder")
    return ConfigurationError(f"{path}: cannot be written ({error.strerror}); {remedy}")
