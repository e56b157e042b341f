"""One process writes to a database: a lock file beside it, held for as long as the process lives."""

from __future__ import annotations

import fcntl
import os
from typing import TYPE_CHECKING, Self

from placet.core.errors import SetupError

if TYPE_CHECKING:
    from pathlib import Path

PID_BYTES_MAX = 32


class WriterLock:
    """Held from `take` to `release`. The kernel releases it when the process dies; the file stays."""

    def __init__(self, descriptor: int) -> None:
        self._descriptor = descriptor

    @classmethod
    def take(cls, database: Path) -> Self:
        """Lock the database for writing. SetupError when another process holds it, or the file cannot be written."""
        path = database.with_name(database.name + ".lock")
        try:
            descriptor = os.open(path, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
        except OSError as error:
            raise SetupError(
                f"{path}: cannot be written ({error.strerror}); let Placet's user own its folder"
            ) from error
        try:
            fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
            os.ftruncate(descriptor, 0)
            os.write(descriptor, b"%d\n" % os.getpid())
        except BlockingIOError as error:
            holder = os.read(descriptor, PID_BYTES_MAX).decode(errors="replace").strip() or "unknown"
            os.close(descriptor)
            raise SetupError(
                f"{database}: is in use by process {holder}; stop that one, or give this one a data_dir of its own"
            ) from error
        except OSError as error:
            os.close(descriptor)
            raise SetupError(f"{path}: cannot be locked ({error.strerror}); use a local file system") from error
        return cls(descriptor)

    def release(self) -> None:
        """Let another process write."""
        os.close(self._descriptor)
