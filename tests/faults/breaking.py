"""Ways to break a disk and a database, each until the end of its block."""

from __future__ import annotations

import contextlib
import resource
import shutil
import sqlite3
import subprocess
import threading
from typing import TYPE_CHECKING

import psutil
import pytest

from tests.faults.serving import eventually

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

    from tests.faults.serving import Server


@contextlib.contextmanager
def full(folder: Path) -> Iterator[None]:
    """Not a byte is free on the file system of the folder; what others free is taken at once."""
    filler, ended = folder / "filler", threading.Event()

    def fill() -> None:
        with filler.open("wb", buffering=0) as file:
            while not ended.wait(0.001):
                with contextlib.suppress(OSError):
                    while True:
                        file.write(bytes(4096))

    filling = threading.Thread(target=fill)
    filling.start()
    try:
        eventually(lambda: shutil.disk_usage(folder).free == 0, 10)
        yield
    finally:
        ended.set()
        filling.join()
        filler.unlink()


@contextlib.contextmanager
def limited(server: Server) -> Iterator[None]:
    """No file of the server's may grow, as under a quota; its log neither."""
    process = psutil.Process(server.process.pid)
    process.rlimit(psutil.RLIMIT_FSIZE, (1, resource.RLIM_INFINITY))
    yield
    process.rlimit(psutil.RLIMIT_FSIZE, (resource.RLIM_INFINITY, resource.RLIM_INFINITY))


@contextlib.contextmanager
def locked(database: Path) -> Iterator[None]:
    """Another program is in the middle of writing to the database."""
    with contextlib.closing(sqlite3.connect(database, isolation_level=None)) as other:
        other.execute("BEGIN IMMEDIATE")
        yield
        other.execute("ROLLBACK")


@contextlib.contextmanager
def immutable(*files: Path) -> Iterator[None]:
    """Nobody may write to the files, whoever has them open."""
    done = subprocess.run(["chattr", "+i", *files], capture_output=True, text=True, check=False)
    if done.returncode:
        pytest.fail(f"chattr +i failed: {done.stderr.strip()}. Remedy: run as root, on a file system such as ext4")
    try:
        yield
    finally:
        subprocess.run(["chattr", "-i", *files], check=True)
