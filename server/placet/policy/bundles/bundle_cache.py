"""The cache of built bundles on disk.

A cached file is never trusted: it is compared with the expected bytes, which follow from the policy folder. An equal
file proves only that this bundle passed every check before, so the checks can be skipped.
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
"""Most recently used revisions that `prune` keeps: enough to switch between some without checking again."""
SUFFIX: Final = ".tar.gz"


@dataclass(frozen=True, slots=True)
class BundleCache:
    """A cache in one folder, which is created by the first `store`."""

    folder: Path
    on_mismatch: Callable[[Path], None]  # receives a file whose content does not match its name; it is not used
    suffix: str = SUFFIX

    def path(self, revision: str) -> Path:
        """Return the path of a revision's bundle."""
        return self.folder / f"{revision}{self.suffix}"

    def contains(self, revision: str, content: bytes) -> bool:
        """Return whether exactly this bundle is stored under its revision, and mark it as used now."""
        path = self.path(revision)
        try:
            stored = path.read_bytes()
        except FileNotFoundError:
            return False
        except OSError:
            stored = b""
        if stored != content:
            self.on_mismatch(path)
            return False
        with contextlib.suppress(OSError):  # a read-only file system, on which `prune` removes nothing either
            os.utime(path)
        return True

    def store(self, revision: str, content: bytes) -> None:
        """Write a bundle that passed every check, atomically. Raises OSError when it cannot be written."""
        self.folder.mkdir(mode=0o700, parents=True, exist_ok=True)
        path = self.path(revision)
        with tempfile.TemporaryDirectory(prefix="placet-bundle-", dir=self.folder) as folder:
            draft = Path(folder, path.name)
            draft.write_bytes(content)
            _flush(draft)
            draft.replace(path)
        _flush(self.folder)

    def prune(self, needed: Collection[str]) -> None:
        """Remove all but the BUNDLES_KEPT most recently used bundles and those of the `needed` revisions."""
        by_use: list[tuple[int, Path]] = []
        for path in self.folder.glob(f"*{self.suffix}"):
            with contextlib.suppress(FileNotFoundError):  # another process prunes too
                by_use.append((path.stat().st_mtime_ns, path))
        for _, path in sorted(by_use, reverse=True)[BUNDLES_KEPT:]:
            if path.name.removesuffix(self.suffix) not in needed:
                path.unlink(missing_ok=True)


def _flush(path: Path) -> None:
    descriptor = os.open(path, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)
