"""Faults of disks and databases, each for the duration of a block."""

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
    """Fill the file system of the folder, and keep it full when others free space."""
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
    """Let no file of the server grow, as under a quota. This includes its log."""
    process = psutil.Process(server.process.pid)
    process.rlimit(psutil.RLIMIT_FSIZE, (1, resource.RLIM_INFINITY))
    yield
    process.rlimit(psutil.RLIMIT_FSIZE, (resource.RLIM_INFINITY, resource.RLIM_INFINITY))


@contextlib.contextmanager
def locked(database: Path) -> Iterator[None]:
    """Hold a write transaction of another program."""
    with contextlib.closing(sqlite3.connect(database, isolation_level=None)) as other:
        other.execute("BEGIN IMMEDIATE")
        yield
        other.execute("ROLLBACK")


@contextlib.contextmanager
def immutable(*files: Path) -> Iterator[None]:
    """Make the files immutable, also for processes that have them open."""
    done = subprocess.run(["chattr", "+i", *files], capture_output=True, text=True, check=False)
    if done.returncode:
        pytest.fail(f"chattr +i failed: {done.stderr.strip()}. Run the tests as root, on a file system such as ext4")
    try:
        yield
    finally:
        subprocess.run(["chattr", "-i", *files], check=True)
