"""Read the files of a policy folder, and detect changes of it.

Only ``.rego``, ``.json``, ``.yaml`` and ``.yml`` files count. Names that begin with a dot are skipped, so the
``..data`` of a Kubernetes volume is not read twice. Symbolic links are followed.
"""

from __future__ import annotations

import hashlib
import os
from pathlib import Path
from typing import TYPE_CHECKING, Final

from placet.kernel.errors import Diagnostic, PolicyUnreadableError

if TYPE_CHECKING:
    from collections.abc import Iterator

FILE_BYTES_MAX: Final = 4 * 1024 * 1024
"""Largest file. Larger data belongs into a service that fills `input`."""
_SUFFIXES: Final = frozenset({".rego", ".json", ".yaml", ".yml"})


def read_files(rego_dir: Path) -> tuple[dict[str, bytes], list[Diagnostic]]:
    """Return the files by their path below the folder, and the problems of entries that are no usable files.

    Raises PolicyUnreadableError when there is no such folder, or a file or folder in it cannot be read.
    """
    _require_folder(rego_dir)
    problems: list[Diagnostic] = []
    unreadable: list[Diagnostic] = []
    files: dict[str, bytes] = {}
    for relative, path in _walk(rego_dir):
        try:
            files[relative] = _read(path)
        except OSError as error:
            unreadable.append(_unread(path, str(error.strerror)))
        except ValueError as error:
            problems.append(_unread(path, str(error)))
    if unreadable:
        raise PolicyUnreadableError([*unreadable, *problems])
    return files, problems


def source_digest(rego_dir: Path) -> str:
    """Return a digest of names, sizes, times and inodes, which changes when a file may have changed.

    Reads no file, so it is cheap. Raises PolicyUnreadableError when there is no such folder, or one cannot be listed.
    """
    _require_folder(rego_dir)
    digest = hashlib.sha256()
    for relative, path in sorted(_walk(rego_dir)):
        try:
            stat = path.stat()
        except OSError as error:
            digest.update(f"{relative}\0error {error.errno}\0".encode())
        else:
            fields = (stat.st_size, stat.st_mtime_ns, stat.st_ctime_ns, stat.st_ino)
            digest.update(f"{relative}\0{fields}\0".encode(errors="surrogateescape"))
    return digest.hexdigest()


def newest_change(rego_dir: Path) -> float:
    """Return when a file or folder was last changed, in seconds since the epoch by the file system's clock.

    Raises PolicyUnreadableError when there is no such folder, or one cannot be listed.
    """
    _require_folder(rego_dir)
    paths = {rego_dir, *(path for _, file in _walk(rego_dir) for path in (file, file.parent))}
    return max((_changed_at(path) for path in paths), default=0.0)


def _changed_at(path: Path) -> float:
    try:
        return path.stat().st_ctime
    except OSError:  # removed in the meantime, or a dangling link
        return 0.0


def _unread(path: Path, reason: str) -> Diagnostic:
    return Diagnostic(str(path), f"cannot be read: {reason}", "fix or remove the file")


def _require_folder(rego_dir: Path) -> None:
    if not rego_dir.is_dir():
        raise PolicyUnreadableError(
            [Diagnostic(str(rego_dir), "no such folder", "name the policy folder with --rego-dir")]
        )


def _walk(root: Path) -> Iterator[tuple[str, Path]]:
    """Yield each file that counts as (relative name, path). A folder that several links lead to is entered once.

    Raises PolicyUnreadableError for a folder that cannot be listed: a deny may be in it.
    """
    entered: set[tuple[int, int]] = set()

    def refuse(error: OSError) -> None:
        problem = Diagnostic(str(error.filename), f"cannot be listed: {error.strerror}", "fix or remove the folder")
        raise PolicyUnreadableError([problem]) from error

    for folder, folders, names in os.walk(root, followlinks=True, onerror=refuse):
        stat = Path(folder).stat()
        if (stat.st_dev, stat.st_ino) in entered:
            folders.clear()
            continue
        entered.add((stat.st_dev, stat.st_ino))
        folders[:] = sorted(name for name in folders if not name.startswith("."))
        for name in sorted(names):
            path = Path(folder, name)
            if not name.startswith(".") and path.suffix in _SUFFIXES:
                yield path.relative_to(root).as_posix(), path


def _read(path: Path) -> bytes:
    """Return the content. Raises ValueError for anything but a regular file of at most FILE_BYTES_MAX."""
    if not path.is_file():
        raise ValueError("not a regular file, or a dangling link")
    with path.open("rb") as file:
        content = file.read(FILE_BYTES_MAX + 1)
    if len(content) > FILE_BYTES_MAX:
        raise ValueError(f"larger than {FILE_BYTES_MAX} bytes")
    return content
