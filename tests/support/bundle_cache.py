"""A cache of the bundles that this test run has built, for servers that start with an empty data directory.

Building the bundle takes most of the time of a start. With this cache a server finds the bundle of exactly its policy
folder in its data directory, as after a restart.
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
"""Environment variable with the folder of the cache, which all workers of a run share. Unset: nothing is cached."""


@contextlib.contextmanager
def bundle_cache() -> Iterator[None]:
    """Cache bundles for the duration of the block. Does nothing when a parent process caches them already."""
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
    """Copy the cached bundle of a policy folder into a data directory that no server has used.

    Returns a function to call when the server is ready: it caches the bundle if the server had to build it.
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
        with contextlib.suppress(OSError):  # another worker has cached it
            staged.rename(cached)


def digest_of(folder: Path) -> str:
    """Return the digest of the names and contents of all files below a folder."""
    digest = hashlib.sha256()
    for path in sorted(folder.rglob("*")):
        digest.update(f"{path.relative_to(folder)}\0{path.is_file()}\0".encode())
        if path.is_file():
            digest.update(hashlib.sha256(path.read_bytes()).digest())
    return digest.hexdigest()
