"""Bundles of earlier builds on disk. A file there is never believed: it is compared with what it has to be.

What a revision's bundle holds follows from the policy folder, byte by byte, so a file of the cache proves one thing
only: that this bundle passed every check before.
"""

from __future__ import annotations

import contextlib
import os
import tempfile
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Final

if TYPE_CHECKING:
    from collections.abc import Callable, Collection

BUNDLES_KEPT: Final = 8
"""Revisions that stay on disk, those used last: enough to go back and forth between some without checking again."""
SUFFIX: Final = ".tar.gz"


@dataclass(frozen=True, slots=True)
class BundleCache:
    """The cache in a folder. `on_refused` is told of a file that is not what its name says, which is then not used.

    The folder is made when something is first kept there.
    """

    folder: Path
    on_refused: Callable[[Path], None]
    suffix: str = SUFFIX

    def path(self, revision: str) -> Path:
        """Where a revision's bundle is kept."""
        return self.folder / f"{revision}{self.suffix}"

    def holds(self, revision: str, content: bytes) -> bool:
        """Whether exactly this bundle is kept under its revision, and so was checked before."""
        path = self.path(revision)
        try:
            kept = path.read_bytes()
        except FileNotFoundError:
            return False
        except OSError:
            kept = b""
        if kept != content:
            self.on_refused(path)
            return False
        with contextlib.suppress(OSError):  # a file system that cannot be written: then nothing is thrown away either
            os.utime(path)
        return True

    def keep(self, revision: str, content: bytes) -> None:
        """Keep a bundle that passed every check, whole or not at all. OSError when it cannot be written."""
        self.folder.mkdir(mode=0o700, parents=True, exist_ok=True)
        path = self.path(revision)
        with tempfile.TemporaryDirectory(prefix="placet-bundle-", dir=self.folder) as folder:
            written = Path(folder, path.name)
            written.write_bytes(content)
            _flush(written)
            written.replace(path)
        _flush(self.folder)

    def prune(self, needed: Collection[str]) -> None:
        """Remove what was not used for longest, but for the BUNDLES_KEPT newest and the revisions that are needed."""
        ages: list[tuple[int, Path]] = []
        for path in self.folder.glob(f"*{self.suffix}"):
            with contextlib.suppress(FileNotFoundError):  # another process prunes too
                ages.append((path.stat().st_mtime_ns, path))
        for _, path in sorted(ages, reverse=True)[BUNDLES_KEPT:]:
            if path.name.removesuffix(self.suffix) not in needed:
                path.unlink(missing_ok=True)


def _flush(path: Path) -> None:
    descriptor = os.open(path, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)
