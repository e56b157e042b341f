"""Lets one server write to a database: it holds locks on the folder and on a lock file as long as it lives.

A server of several processes takes the locks once, and its worker processes inherit them: they are held until the last
of these processes has ended. The lock file names the holder. The folder is locked too, because a removed lock file
could be created and locked anew.
"""

from __future__ import annotations

import fcntl
import os
from typing import TYPE_CHECKING, Self

from placet.kernel.disk_errors import remedy_for
from placet.kernel.errors import ConfigurationError

if TYPE_CHECKING:
    from collections.abc import Sequence
    from pathlib import Path

PID_BYTES_MAX = 32


class WriterLock:
    """Held from `take` to `release`. The kernel releases it when the process dies; the lock file stays."""

    def __init__(self, *descriptors: int) -> None:
        self.descriptors = descriptors
        """The open files that hold the locks. A child process that inherits them holds the locks too."""

    @classmethod
    def take(cls, database: Path) -> Self:
        """Lock the database for writing.

        Raises ConfigurationError when another process holds the lock, or the lock file cannot be written.
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

    @classmethod
    def inherited(cls, database: Path, descriptors: Sequence[int]) -> Self:
        """Return the lock of the parent process, from its `descriptors`.

        Raises ConfigurationError when they are not open, or do not belong to this database.
        """
        path = lock_file(database)
        try:
            held = [os.fstat(descriptor) for descriptor in descriptors]
            places = [path.stat(), path.parent.stat()]
        except OSError as error:
            raise ConfigurationError(
                f"{path}: its lock was not inherited ({error.strerror}); start the server again"
            ) from error
        if [(file.st_dev, file.st_ino) for file in held] != [(file.st_dev, file.st_ino) for file in places]:
            raise ConfigurationError(f"{path}: was replaced while the server runs; stop the server and start it again")
        return cls(*descriptors)

    def release(self) -> None:
        """Release the lock, as far as this process holds it."""
        for descriptor in self.descriptors:
            os.close(descriptor)


def lock_file(database: Path) -> Path:
    """Return the lock file of a database."""
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
            f"{database}: is in use by {_holder(path)}; stop that one, or give this one its own data_dir"
        ) from error
    except OSError as error:
        raise ConfigurationError(f"{path}: cannot be locked ({error.strerror}); use a local file system") from error


def _holder(path: Path) -> str:
    """Return who holds the lock, as far as the lock file shows."""
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
