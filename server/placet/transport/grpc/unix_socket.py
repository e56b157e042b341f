"""The unix socket of a listener: its file has the rights of the setting, and only one server listens there.

gRPC removes whatever socket stands at its path, of a running server too, and makes the file with the rights that the
umask leaves. So gRPC listens under another name beside the path, and the file gets its rights before it gets its name.
"""

from __future__ import annotations

import contextlib
import errno
import fcntl
import os
import secrets
import socket
import stat
from typing import TYPE_CHECKING, Final, Self

from placet.kernel.errors import ConfigurationError

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

MODE: Final = 0o600
"""Rights of the file, unless others are set: only the user of the server connects."""
_PRIVATE: Final = 0o077
_ANOTHER: Final = "choose another with --listen"


class UnixSocket:
    """A socket file of this process, from `listen` to `close`. Its end by any signal leaves a file that is taken over.

    A lock on ``<path>.lock`` is held in the meantime: of two servers that start at once, one is refused.
    """

    def __init__(self, path: Path, lock: int, device_and_inode: tuple[int, int]) -> None:
        self._path = path
        self._lock = lock
        self._device_and_inode = device_and_inode

    @classmethod
    def listen(cls, path: Path, mode: int, bind: Callable[[str], object]) -> Self:
        """Call `bind` with a path, and give the file that it makes its rights and its name.

        Raises ConfigurationError when another program listens there, or the file cannot be made.
        """
        require_free_socket(path)
        lock = _lock(path)
        draft = path.with_name(f"{path.name}.{secrets.token_hex(3)}")
        try:
            require_free_socket(path)  # with the lock: no other server takes it from now on
            umask = os.umask(_PRIVATE)
            try:
                bind(str(draft))
            finally:
                os.umask(umask)
            draft.chmod(mode)
            made = draft.stat()
            draft.replace(path)
        except BaseException as error:
            with contextlib.suppress(OSError):
                draft.unlink()
            os.close(lock)
            if isinstance(error, OSError | RuntimeError):  # RuntimeError: gRPC could not listen
                why = getattr(error, "strerror", "") or "no socket can be made there"
                raise ConfigurationError(f"cannot listen on unix:{path}: {why}; {_ANOTHER}") from error
            raise
        return cls(path, lock, (made.st_dev, made.st_ino))

    def close(self) -> None:
        """Remove the file, if it is still the one that was made, and let others listen there."""
        with contextlib.suppress(OSError):
            found = self._path.lstat()
            if (found.st_dev, found.st_ino) == self._device_and_inode:
                self._path.unlink()
        os.close(self._lock)


def require_free_socket(path: Path) -> None:
    """Raise ConfigurationError when nothing can listen at the path. A socket without a listener is no obstacle."""
    where = f"cannot listen on unix:{path}"
    if not path.parent.is_dir():
        remedy = "create it, owned by Placet's user"
        raise ConfigurationError(f"{where}: there is no directory {path.parent}; {remedy}, or {_ANOTHER}")
    if not os.access(path.parent, os.W_OK | os.X_OK):
        remedy = "let Placet's user write it"
        raise ConfigurationError(f"{where}: {path.parent} cannot be written; {remedy}, or {_ANOTHER}")
    try:
        found = path.lstat()
    except FileNotFoundError:
        return
    if not stat.S_ISSOCK(found.st_mode):
        raise ConfigurationError(f"{where}: a file that is no socket is there; remove it, or {_ANOTHER}")
    if _is_listening(path):
        raise ConfigurationError(f"{where}: another program listens there; stop it, or {_ANOTHER}")


def _is_listening(path: Path) -> bool:
    with socket.socket(socket.AF_UNIX, socket.SOCK_STREAM) as probe:
        probe.settimeout(0)
        error = probe.connect_ex(str(path))
    return error not in {errno.ECONNREFUSED, errno.ENOENT}


def _lock(path: Path) -> int:
    """Return the descriptor of the locked file. It stays when the server ends: removing it would let two servers in."""
    file = path.with_name(f"{path.name}.lock")
    try:
        lock = os.open(file, os.O_CREAT | os.O_RDWR | os.O_CLOEXEC | os.O_NOFOLLOW, 0o600)
    except OSError as error:
        remedy = f"let Placet's user own it, or {_ANOTHER}"
        raise ConfigurationError(f"cannot listen on unix:{path}: {file}: {error.strerror}; {remedy}") from error
    try:
        fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except OSError as error:
        os.close(lock)
        what = "another server listens there"
        raise ConfigurationError(f"cannot listen on unix:{path}: {what}; stop it, or {_ANOTHER}") from error
    return lock
