"""`placet serve` as a process of its own: started, watched from outside, killed."""

from __future__ import annotations

import contextlib
import json
import os
import re
import shutil
import socket
import sqlite3
import subprocess
import sys
import threading
import time
import urllib.request
import uuid
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final

import grpc
import psutil
from grpc_health.v1 import health_pb2

from placet.sdk import ControlClient
from placet.signing.keys import PUBLIC_NAME, load_public_key
from placet.storage.sqlite.offline import verify_database
from tests.support.bundle_cache import seed_bundles

if TYPE_CHECKING:
    import signal
    from collections.abc import Callable, Iterator

    from placet.audit.records import VerifyReport
    from placet.sdk.controls import PolicyStatus

REPOSITORY: Final = Path(__file__).parents[2]
REGO_DIR: Final = REPOSITORY / "rego"
START_SECONDS_MAX: Final = 30.0
STOP_SECONDS_MAX: Final = 12.0
"""What the server allows itself, and a busy machine."""
POLL_SECONDS: Final = 0.02
SERVING: Final = health_pb2.HealthCheckResponse.SERVING
NOT_SERVING: Final = health_pb2.HealthCheckResponse.NOT_SERVING


def eventually(condition: Callable[[], object], seconds: float, what: str = "") -> None:
    """Wait until the condition holds; the test fails when that does not happen in time."""
    until = time.monotonic() + seconds
    while not condition():
        assert time.monotonic() < until, f"not within {seconds} s: {what or condition}"
        time.sleep(POLL_SECONDS)


def policy_copy(folder: Path) -> Path:
    """A copy of the shipped policies for the test to change."""
    shutil.copytree(REGO_DIR, folder / "rego", ignore=shutil.ignore_patterns("*_test.rego"))
    return folder / "rego"


def free_address() -> str:
    """An address of this machine at which nobody listens."""
    with socket.create_server(("127.0.0.1", 0)) as taken:
        return f"127.0.0.1:{taken.getsockname()[1]}"


class Server:
    """One run of `placet serve` on a data directory. `flags` are settings by name."""

    def __init__(self, folder: Path, rego_dir: Path, *, data_dir: Path | None = None, **flags: object) -> None:
        folder.mkdir(exist_ok=True)
        self.data_dir = data_dir or folder / "data"
        self.rego_dir = rego_dir
        self._log = folder / f"serve.{uuid.uuid4().hex}.log"
        self._metrics = flags.get("metrics_listen")
        given = {"listen": "127.0.0.1:0", "data_dir": self.data_dir, "rego_dir": rego_dir, **flags}
        settings = [
            f"--{name.replace('_', '-')}" + ("" if value is True else f"={value}") for name, value in given.items()
        ]
        command = [sys.executable, "-m", "placet", "serve", *settings]
        with self._log.open("ab") as log:
            self.process = subprocess.Popen(
                command, stdin=subprocess.DEVNULL, stdout=log, stderr=log, env=_environment(), cwd=folder
            )

    def wait_until_ready(self) -> Server:
        """Until it listens."""
        eventually(lambda: self.address or self.process.poll() is not None, START_SECONDS_MAX, "ready")
        assert self.process.poll() is None, self.said
        return self

    @property
    def address(self) -> str:
        """Where it listens; "" while it does not."""
        with contextlib.suppress(FileNotFoundError, NotADirectoryError):
            said = json.loads((self.data_dir / "serve.json").read_bytes())
            if said["pid"] == self.process.pid:
                return str(said["address"])
        return ""

    @property
    def said(self) -> str:
        """What it wrote to stdout and stderr."""
        return self._log.read_text()

    def events(self, name: str) -> list[dict[str, Any]]:
        """The log's lines about an event."""
        lines = (json.loads(line) for line in self.said.splitlines() if line.startswith("{"))
        return [line for line in lines if line["event"] == name]

    @property
    def opa(self) -> psutil.Process:
        """Its OPA, the newest when one is taking over from another."""
        children = psutil.Process(self.process.pid).children()
        serving = [child for child in children if "--server" in _command_line(child)]
        assert serving, children
        return max(serving, key=psutil.Process.create_time)

    def opa_or_none(self) -> psutil.Process | None:
        try:
            return self.opa
        except (AssertionError, psutil.NoSuchProcess):
            return None

    def status(self) -> PolicyStatus:
        with ControlClient(self.address, timeout=10) as client:
            return client.policy_status()

    def health(self, service: str = "") -> int:
        with grpc.insecure_channel(self.address) as channel:
            check = channel.unary_unary("/grpc.health.v1.Health/Check", None, None)
            answer = check(health_pb2.HealthCheckRequest(service=service).SerializeToString(), timeout=10)
            return int(health_pb2.HealthCheckResponse.FromString(answer).status)

    def metric(self, name: str) -> float:
        """The value of a metric; 0.0 when it was never counted. Needs `metrics_listen`."""
        with urllib.request.urlopen(f"http://{self._metrics}/metrics", timeout=10) as answer:
            found = re.search(rf"^{re.escape(name)} (\S+)$", answer.read().decode(), re.MULTILINE)
        return float(found[1]) if found else 0.0

    @contextlib.contextmanager
    def watched_health(self) -> Iterator[list[int]]:
        """Each state of health that it goes through, in order."""
        seen: list[int] = []

        def watch(answers: grpc.CallIterator[bytes]) -> None:
            with contextlib.suppress(grpc.RpcError):  # how it ends
                seen.extend(int(health_pb2.HealthCheckResponse.FromString(answer).status) for answer in answers)

        with grpc.insecure_channel(self.address) as channel:
            answers = channel.unary_stream("/grpc.health.v1.Health/Watch", None, None)(b"")
            thread = threading.Thread(target=watch, args=(answers,))
            thread.start()
            try:
                yield seen
            finally:
                channel.close()
                thread.join(STOP_SECONDS_MAX)

    def signal(self, number: signal.Signals) -> None:
        self.process.send_signal(number)

    def wait(self, seconds: float = STOP_SECONDS_MAX) -> int:
        """The exit code."""
        return self.process.wait(seconds)

    def kill(self) -> None:
        """Kill it at once, with no chance to clean up."""
        self.process.kill()
        self.process.wait(STOP_SECONDS_MAX)

    def stop(self) -> int:
        """Stop it in order; the exit code."""
        self.process.terminate()
        return self.wait()

    def decided(self) -> dict[str, tuple[str, str, str]]:
        """What stands in the trail: decision_id -> effect, rule_id, policy_revision."""
        bodies = (json.loads(body) for body in self._query("kind = 'decision.made'"))
        return {b["decision_id"]: (b["effect"], b["rule_id"], b["policy_revision"]) for b in bodies}

    def records(self, kind: str) -> list[dict[str, Any]]:
        """The bodies of the records of a kind, oldest first."""
        return [json.loads(body) for body in self._query(f"kind = '{kind}'")]

    def verify(self) -> VerifyReport:
        """Check the trail as an auditor would: from the file, with the public key."""
        key = load_public_key(self.data_dir / "keys" / PUBLIC_NAME)
        return verify_database(self.data_dir / "placet.db", key)

    def _query(self, where: str) -> list[str]:
        path = self.data_dir / "placet.db"
        with contextlib.closing(sqlite3.connect(f"file:{path}?mode=ro", uri=True, timeout=10)) as database:
            rows = database.execute(f"SELECT body FROM audit_records WHERE {where} ORDER BY writer, sequence")  # noqa: S608 - our own text
            return [body for (body,) in rows]


@contextlib.contextmanager
def serving(folder: Path, rego_dir: Path, **flags: Any) -> Iterator[Server]:
    """A server that is ready; killed at the end if it is still there."""
    keep_bundles = seed_bundles(rego_dir, flags.get("data_dir") or folder / "data")
    server = Server(folder, rego_dir, **flags)
    try:
        server.wait_until_ready()
        keep_bundles()
        yield server
    finally:
        if server.process.poll() is None:
            server.kill()


def refused(folder: Path, rego_dir: Path, **flags: Any) -> tuple[int, list[str]]:
    """The exit code and the lines of a server that must not start. Nothing of it is left over."""
    server = Server(folder, rego_dir, **flags)
    children = []
    until = time.monotonic() + START_SECONDS_MAX
    while server.process.poll() is None:
        assert time.monotonic() < until, server.said
        with contextlib.suppress(psutil.NoSuchProcess):
            children += psutil.Process(server.process.pid).children(recursive=True)
        time.sleep(POLL_SECONDS)
    assert not [child for child in children if child.is_running()], "a child outlived the server"
    assert "Traceback" not in [line for line in server.said.splitlines() if not line.startswith("{")]
    assert not server.address
    return server.process.returncode, [line for line in server.said.splitlines() if not line.startswith("{")]


def _environment() -> dict[str, str]:
    kept = {name: value for name, value in os.environ.items() if not name.startswith("PLACET_")}
    return {**kept, "PYTHONPATH": str(REPOSITORY / "server")}


def _command_line(process: psutil.Process) -> list[str]:
    try:
        return process.cmdline()
    except psutil.NoSuchProcess:
        return []
