"""Bundles that this run of the tests built before, for servers that start on an empty data directory.

Building a bundle takes more time than everything else in a start. With this a server finds the bundle of exactly its
policy folder in its own cache, as after a restart.
"""

from __future__ import annotations

import contextlib
import hashlib
import os
import shutil
import tempfile
from pathlib import Path
from typing import TYPE_CHECKING, Final

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

VARIABLE: Final = "BUNDLE_CACHE_OF_TESTS"
"""Environment variable with the folder of the cache, which all workers of a run share. Without it nothing is cached."""


@contextlib.contextmanager
def bundle_cache() -> Iterator[None]:
    """Cache bundles until the end of the block. Does nothing where the caller's parent process caches them already."""
    if VARIABLE in os.environ:
        yield
        return
    with tempfile.TemporaryDirectory(prefix="placet-bundles-") as folder:
        os.environ[VARIABLE] = folder
        try:
            yield
        finally:
            del os.environ[VARIABLE]


def seed_bundles(rego_dir: Path, data_dir: Path) -> Callable[[], None]:
    """Fill the bundle folder of a data directory that no server has used.

    Call the result when the server is ready: it keeps what the server had to build.
    """
    folder, bundles = os.environ.get(VARIABLE), data_dir / "bundles"
    used = bundles.exists() or (data_dir / "keys").exists()
    if not folder or used or not rego_dir.is_dir():
        return lambda: None
    cached = Path(folder) / digest_of(rego_dir)
    if not cached.is_dir():
        return lambda: _keep(bundles, cached)
    data_dir.mkdir(mode=0o700, parents=True, exist_ok=True)
    shutil.copytree(cached, bundles)
    return lambda: None


def _keep(bundles: Path, cached: Path) -> None:
    if bundles.is_dir():
        staged = Path(tempfile.mkdtemp(dir=cached.parent))
        shutil.copytree(bundles, staged, dirs_exist_ok=True)
        with contextlib.suppress(OSError):  # another worker was first
            staged.rename(cached)


def digest_of(folder: Path) -> str:
    """Digest of all files below the folder: names and content."""
    digest = hashlib.sha256()
    for path in sorted(folder.rglob("*")):
        digest.update(f"{path.relative_to(folder)}\0{path.is_file()}\0".encode())
        if path.is_file():
            digest.update(hashlib.sha256(path.read_bytes()).digest())
    return digest.hexdigest()
