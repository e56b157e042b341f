"""A private PostgreSQL server for tests: Debian's package, data in a temporary folder, loopback and a socket only."""

from __future__ import annotations

import contextlib
import itertools
import os
import pwd
import shutil
import signal
import subprocess
import tempfile
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Final

import psutil
import psycopg
import pytest

from tests.support.ports import free_port

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
"""Settings without durability against a power failure, which tests do not need."""


@dataclass
class Postgres:
    """A PostgreSQL server that can be stopped, killed and started again."""

    folder: Path
    port: int
    programs: Path
    settings: dict[str, str] = field(default_factory=lambda: {**SETTINGS, **CARELESS})
    _names: Iterator[int] = field(default_factory=lambda: itertools.count(1))

    @property
    def data(self) -> Path:
        return self.folder / "data"

    def url(self, database: str = "postgres", *, tcp: bool = False, port: int = 0) -> str:
        """Return the URL of a database: by the socket, or with `tcp` by loopback. `port` may be that of a proxy."""
        if tcp:
            return f"postgresql://{USER}@127.0.0.1:{port or self.port}/{database}"
        return f"postgresql://{USER}@/{database}?host={self.folder}&port={self.port}"

    def new_database(self) -> str:
        """Create an empty database and return its name."""
        name = f"test_{next(self._names)}"
        self.run(f"CREATE DATABASE {name}")
        return name

    def run(self, sql: str, database: str = "postgres") -> list[tuple[object, ...]]:
        """Run a statement as the superuser and return its rows."""
        with psycopg.connect(self.url(database), autocommit=True) as connection:
            cursor = connection.execute(sql.encode())
            return cursor.fetchall() if cursor.description else []

    def cpu_seconds(self) -> float:
        """Return the CPU time of the server's living processes since their start."""
        parent = psutil.Process(int((self.data / "postmaster.pid").read_text().split()[0]))
        times = [process.cpu_times() for process in (parent, *parent.children())]
        return float(sum(spent.user + spent.system for spent in times))

    def start(self) -> None:
        options = {
            "listen_addresses": "127.0.0.1",
            "port": str(self.port),
            "unix_socket_directories": str(self.folder),
            **self.settings,
        }
        flags = " ".join(f"-c {name}={value}" for name, value in options.items())
        self._control("start", "-w", "-t", str(SECONDS_MAX), "-o", flags, "-l", str(self.folder / "log"))

    def stop(self, mode: str = "fast") -> None:
        self._control("stop", "-w", "-t", str(SECONDS_MAX), "-m", mode)

    def kill(self) -> None:
        """Kill the server as a crash would; written files survive. Waits until all its processes have ended."""
        pid = int((self.data / "postmaster.pid").read_text().split()[0])
        os.kill(pid, signal.SIGKILL)
        self._control("stop", "-w", "-t", str(SECONDS_MAX), "-m", "immediate", check=False)

    def _control(self, *arguments: str, check: bool = True) -> None:
        run_unprivileged([str(self.programs / "pg_ctl"), "-D", str(self.data), *arguments], check=check)


def programs() -> Path:
    """Return the folder with the programs of the newest installed PostgreSQL. Fails the test when there is none."""
    installed = sorted(Path("/usr/lib/postgresql").glob("*/bin/initdb"), key=lambda path: int(path.parts[-3]))
    on_path = shutil.which("initdb")
    if not installed and not on_path:
        pytest.fail(f"no PostgreSQL is installed. {REMEDY}")
    return installed[-1].parent if installed else Path(str(on_path)).parent


def run_unprivileged(command: list[str], *, check: bool = True) -> None:
    """Run a program of PostgreSQL, which refuses to run as root: then as an unprivileged user."""
    user = unprivileged()
    prefix = ["setpriv", f"--reuid={user.pw_uid}", f"--regid={user.pw_gid}", "--clear-groups"] if user else []
    done = subprocess.run(
        [*prefix, *command],
        stdin=subprocess.DEVNULL,
        stdout=subprocess.DEVNULL,  # the started server keeps it open
        stderr=subprocess.PIPE if "start" not in command else subprocess.DEVNULL,
        cwd="/",
        check=False,
        timeout=SECONDS_MAX + 10,
    )
    if check and done.returncode:
        pytest.fail(f"{' '.join(command)} failed: {(done.stderr or b'').decode()}")


def unprivileged() -> pwd.struct_passwd | None:
    """Return the user that runs the server; None for the user that runs the tests."""
    if os.geteuid() != 0:
        return None
    for name in UNPRIVILEGED:
        with contextlib.suppress(KeyError):
            return pwd.getpwnam(name)
    pytest.fail(f"there is no user {' or '.join(UNPRIVILEGED)} to run PostgreSQL as. {REMEDY}")


@contextlib.contextmanager
def postgres(*, durable: bool = False) -> Iterator[Postgres]:
    """Run a server for the duration of the block. With `durable` it has the default settings, for measurements.

    Its folder has a short name, because the path of a socket may have at most 107 bytes.
    """
    folder = Path(tempfile.mkdtemp(prefix="placet-pg-"))
    user = unprivileged()
    if user is not None:
        os.chown(folder, user.pw_uid, user.pw_gid)
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
