"""A private PgBouncer for tests: Debian's package, before the PostgreSQL of the tests, on loopback only."""

from __future__ import annotations

import contextlib
import os
import shutil
import socket
import subprocess
import tempfile
import time
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Final

import pytest

from tests.postgres import USER, unprivileged
from tests.support.ports import free_port

if TYPE_CHECKING:
    from collections.abc import Iterator

    from tests.postgres import Postgres

REMEDY: Final = "Remedy: apt-get install pgbouncer"
SECONDS_MAX: Final = 20


@dataclass(frozen=True)
class PgBouncer:
    """A running pooler."""

    port: int
    log: Path

    def url(self, database: str) -> str:
        return f"postgresql://{USER}@127.0.0.1:{self.port}/{database}"


def program() -> str:
    """Return the path of the program, which Debian installs beside PATH. Fails the test when there is none."""
    found = shutil.which("pgbouncer", path=f"{os.environ['PATH']}:/usr/sbin")
    if found is None:
        pytest.fail(f"no PgBouncer is installed. {REMEDY}")
    return found


@contextlib.contextmanager
def pgbouncer(server: Postgres, pool_mode: str, port: int = 0, **settings: object) -> Iterator[PgBouncer]:
    """Run a pooler for the duration of the block."""
    found, user = program(), unprivileged()
    folder, port = Path(tempfile.mkdtemp(prefix="placet-pb-")), port or free_port()
    (folder / "users.txt").write_text(f'"{USER}" ""\n')
    options = {
        "listen_addr": "127.0.0.1",
        "listen_port": port,
        "unix_socket_dir": "",
        "auth_type": "trust",
        "auth_file": folder / "users.txt",
        "pool_mode": pool_mode,
        "logfile": folder / "log",
        **settings,
    }
    lines = [f"{name} = {value}" for name, value in options.items()]
    databases = f"* = host={server.folder} port={server.port}"
    (folder / "pgbouncer.ini").write_text("\n".join(["[databases]", databases, "[pgbouncer]", *lines, ""]))
    prefix = []
    if user is not None:
        for path in (folder, *folder.iterdir()):
            os.chown(path, user.pw_uid, user.pw_gid)
        prefix = ["setpriv", f"--reuid={user.pw_uid}", f"--regid={user.pw_gid}", "--clear-groups"]
    command = [*prefix, found, "--quiet", str(folder / "pgbouncer.ini")]
    process = subprocess.Popen(command, cwd="/", stdin=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
    try:
        _wait(process, port, folder / "log")
        yield PgBouncer(port, folder / "log")
    finally:
        process.kill()
        process.wait(SECONDS_MAX)
        shutil.rmtree(folder, ignore_errors=True)


def _wait(process: subprocess.Popen[bytes], port: int, log: Path) -> None:
    deadline = time.monotonic() + SECONDS_MAX
    while True:
        with contextlib.suppress(OSError), socket.create_connection(("127.0.0.1", port), 1):
            return
        said = log.read_text() if log.exists() else ""
        assert process.poll() is None, said
        assert time.monotonic() < deadline, said
        time.sleep(0.05)
