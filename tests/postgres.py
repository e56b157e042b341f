"""A PostgreSQL server of the tests' own, from Debian's package: in a temporary folder, for nobody else to reach."""

from __future__ import annotations

import contextlib
import itertools
import os
import pwd
import shutil
import signal
import socket
import subprocess
import tempfile
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Final

import psutil
import psycopg
import pytest

if TYPE_CHECKING:
    from collections.abc import Iterator

REMEDY: Final = "Remedy: apt-get install postgresql"
USER: Final = "placet"
UNPRIVILEGED: Final = ("postgres", "nobody")
SECONDS_MAX: Final = 60
SETTINGS: Final = {
    "synchronous_commit": "on",
    "max_connections": "200",
    "shared_buffers": "32MB",
    "log_min_messages": "warning",
}
CARELESS: Final = {"fsync": "off", "full_page_writes": "off"}
"""The machine does not lose its power while a test runs."""


@dataclass
class Postgres:
    """A server that can be stopped, killed and started again."""

    folder: Path
    port: int
    programs: Path
    settings: dict[str, str] = field(default_factory=lambda: {**SETTINGS, **CARELESS})
    _names: Iterator[int] = field(default_factory=lambda: itertools.count(1))

    @property
    def data(self) -> Path:
        return self.folder / "data"

    def url(self, database: str = "postgres", *, tcp: bool = False, port: int = 0) -> str:
        """By its socket; by loopback when asked, perhaps through a proxy at another port."""
        if tcp:
            return f"postgresql://{USER}@127.0.0.1:{port or self.port}/{database}"
        return f"postgresql://{USER}@/{database}?host={self.folder}&port={self.port}"

    def new_database(self) -> str:
        """The name of an empty database."""
        name = f"test_{next(self._names)}"
        self.run(f"CREATE DATABASE {name}")
        return name

    def run(self, sql: str, database: str = "postgres") -> list[tuple[object, ...]]:
        """Run a statement as the superuser."""
        with psycopg.connect(self.url(database), autocommit=True) as connection:
            cursor = connection.execute(sql.encode())
            return cursor.fetchall() if cursor.description else []

    def cpu_seconds(self) -> float:
        """CPU time of its processes that live, so far."""
        parent = psutil.Process(int((self.data / "postmaster.pid").read_text().split()[0]))
        times = [each.cpu_times() for each in (parent, *parent.children())]
        return float(sum(each.user + each.system for each in times))

    def start(self) -> None:
        options = {
            "listen_addresses": "127.0.0.1",
            "port": str(self.port),
            "unix_socket_directories": str(self.folder),
            **self.settings,
        }
        said = " ".join(f"-c {name}={value}" for name, value in options.items())
        self._control("start", "-w", "-t", str(SECONDS_MAX), "-o", said, "-l", str(self.folder / "log"))

    def stop(self, mode: str = "fast") -> None:
        self._control("stop", "-w", "-t", str(SECONDS_MAX), "-m", mode)

    def kill(self) -> None:
        """As if the machine had died, but for the files. Waits until all its processes are gone."""
        pid = int((self.data / "postmaster.pid").read_text().split()[0])
        os.kill(pid, signal.SIGKILL)
        self._control("stop", "-w", "-t", str(SECONDS_MAX), "-m", "immediate", check=False)

    def _control(self, *arguments: str, check: bool = True) -> None:
        run_unprivileged([str(self.programs / "pg_ctl"), "-D", str(self.data), *arguments], check=check)


def programs() -> Path:
    """Where Debian's newest PostgreSQL has its programs. Fails the test when there is none."""
    found = sorted(Path("/usr/lib/postgresql").glob("*/bin/initdb"), key=lambda path: int(path.parts[-3]))
    on_path = shutil.which("initdb")
    if not found and not on_path:
        pytest.fail(f"no PostgreSQL is installed. {REMEDY}")
    return found[-1].parent if found else Path(str(on_path)).parent


def run_unprivileged(command: list[str], *, check: bool = True) -> None:
    """PostgreSQL refuses to run as root: then it runs as somebody who may do little."""
    who = unprivileged()
    as_somebody = ["setpriv", f"--reuid={who.pw_uid}", f"--regid={who.pw_gid}", "--clear-groups"] if who else []
    done = subprocess.run(
        [*as_somebody, *command],
        stdin=subprocess.DEVNULL,
        stdout=subprocess.DEVNULL,  # the server itself keeps it open
        stderr=subprocess.PIPE if "start" not in command else subprocess.DEVNULL,
        cwd="/",
        check=False,
        timeout=SECONDS_MAX + 10,
    )
    if check and done.returncode:
        pytest.fail(f"{' '.join(command)} failed: {(done.stderr or b'').decode()}")


def unprivileged() -> pwd.struct_passwd | None:
    """Who runs the server: None when that is the user of the tests."""
    if os.geteuid() != 0:
        return None
    for name in UNPRIVILEGED:
        with contextlib.suppress(KeyError):
            return pwd.getpwnam(name)
    pytest.fail(f"there is no user {' or '.join(UNPRIVILEGED)} to run PostgreSQL as. {REMEDY}")


def free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port: int = probe.getsockname()[1]
        return port


@contextlib.contextmanager
def postgres(*, durable: bool = False) -> Iterator[Postgres]:
    """A server, until the end of the block. Its folder has a short name: a socket's path may have 107 bytes.

    `durable`: as it is installed, for measuring.
    """
    folder = Path(tempfile.mkdtemp(prefix="placet-pg-"))
    who = unprivileged()
    if who is not None:
        os.chown(folder, who.pw_uid, who.pw_gid)
    server = Postgres(folder, free_port(), programs())
    if durable:
        server.settings = {"max_connections": "200"}
    try:
        run_unprivileged(
            [
                str(server.programs / "initdb"),
                *("--pgdata", str(server.data), "--username", USER, "--auth=trust"),
                *("--encoding=UTF8", "--locale=C.UTF-8", "--no-sync"),
            ]
        )
        server.start()
        yield server
    finally:
        if (server.data / "postmaster.pid").exists():
            server.stop("immediate")
        shutil.rmtree(folder, ignore_errors=True)
