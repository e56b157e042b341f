"""`placet serve` in a separate process, which tests start, observe and kill."""

from __future__ import annotations

import contextlib
import json
import os
import re
import shutil
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
from tests.support.ports import free_port

if TYPE_CHECKING:
    import signal
    from collections.abc import Callable, Iterator

    from placet.audit.records import VerifyReport
    from placet.sdk.controls import PolicyStatus

REPOSITORY: Final = Path(__file__).parents[2]
REGO_DIR: Final = REPOSITORY / "rego"
START_SECONDS_MAX: Final = 120.0
"""How long a test waits, also on a busy machine. A server starts in about a second."""
STOP_SECONDS_MAX: Final = 12.0
"""The server's own limit, plus time for a busy machine."""
POLL_SECONDS: Final = 0.02
CHILDREN_POLL_SECONDS: Final = 0.1
"""The search for children reads every process of the machine."""
SERVING: Final = health_pb2.HealthCheckResponse.SERVING
NOT_SERVING: Final = health_pb2.HealthCheckResponse.NOT_SERVING


def eventually(condition: Callable[[], object], seconds: float, what: str = "") -> None:
    """Wait until the condition is true. Fails the test after `seconds`; `what` describes the condition."""
    deadline = time.monotonic() + seconds
    while not condition():
        assert time.monotonic() < deadline, f"not within {seconds} s: {what or condition}"
        time.sleep(POLL_SECONDS)


def policy_copy(folder: Path) -> Path:
    """Return a copy of the shipped policies that the test may change."""
    shutil.copytree(REGO_DIR, folder / "rego", ignore=shutil.ignore_patterns("*_test.rego"))
    return folder / "rego"


def free_address() -> str:
    """Return a loopback address on which no server listens."""
    return f"127.0.0.1:{free_port()}"


class Server:
    """One run of `placet serve` on a data directory. `flags` are settings by name."""

    def __init__(self, folder: Path, rego_dir: Path, *, data_dir: Path | None = None, **flags: object) -> None:
        folder.mkdir(exist_ok=True)
        self.data_dir = data_dir or folder / "data"
        self.rego_dir = rego_dir
        self._log = folder / f"serve.{uuid.uuid4().hex}.log"
        self._metrics = flags.get("metrics_listen")
        self._processes = int(str(flags.get("workers", 1)))
        values = {"listen": "127.0.0.1:0", "data_dir": self.data_dir, "rego_dir": rego_dir, **flags}
        settings = [
            f"--{name.replace('_', '-')}" + ("" if value is True else f"={value}") for name, value in values.items()
        ]
        command = [sys.executable, "-m", "placet", "serve", *settings]
        with self._log.open("ab") as log:
            self.process = subprocess.Popen(
                command, stdin=subprocess.DEVNULL, stdout=log, stderr=log, env=environment(), cwd=folder
            )

    def wait_until_ready(self) -> Server:
        """Wait until the server listens. Fails the test when it exits instead."""
        seconds = START_SECONDS_MAX * self._processes
        eventually(lambda: self.address or self.process.poll() is not None, seconds, "ready")
        assert self.process.poll() is None, self.said
        return self

    @property
    def address(self) -> str:
        """Return the address of the server; "" while it does not listen."""
        with contextlib.suppress(FileNotFoundError, NotADirectoryError):
            running = json.loads((self.data_dir / "serve.json").read_bytes())
            if running["pid"] == self.process.pid:
                return str(running["address"])
        return ""

    @property
    def said(self) -> str:
        """Return the output on stdout and stderr."""
        return self._log.read_text()

    def events(self, name: str) -> list[dict[str, Any]]:
        """Return the log lines of an event."""
        lines = (json.loads(line) for line in self.said.splitlines() if line.startswith("{"))
        return [line for line in lines if line["event"] == name]

    @property
    def opa(self) -> psutil.Process:
        """Return the OPA of the server, the newest one during a change of policy."""
        children = psutil.Process(self.process.pid).children()
        serving = [child for child in children if "--server" in command_line(child)]
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
        """Return the value of a metric; 0.0 when it was never counted. Requires `metrics_listen`."""
        with urllib.request.urlopen(f"http://{self._metrics}/metrics", timeout=10) as answer:
            match = re.search(rf"^{re.escape(name)} (\S+)$", answer.read().decode(), re.MULTILINE)
        return float(match[1]) if match else 0.0

    @contextlib.contextmanager
    def watched_health(self) -> Iterator[list[int]]:
        """Yield a list to which each state of health is appended, in order."""
        seen: list[int] = []

        def watch(answers: grpc.CallIterator[bytes]) -> None:
            with contextlib.suppress(grpc.RpcError):  # the stream ends with an error
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
        """Wait for the end and return the exit code."""
        return self.process.wait(seconds)

    def kill(self) -> None:
        """Kill the server without letting it clean up."""
        self.process.kill()
        self.process.wait(STOP_SECONDS_MAX)

    def stop(self) -> int:
        """Stop the server with SIGTERM and return the exit code."""
        self.process.terminate()
        return self.wait()

    def decided(self) -> dict[str, tuple[str, str, str]]:
        """Return the decisions of the trail: decision_id -> effect, rule_id, policy_revision."""
        bodies = (json.loads(body) for body in self._query("kind = 'decision.made'"))
        return {body["decision_id"]: (body["effect"], body["rule_id"], body["policy_revision"]) for body in bodies}

    def records(self, kind: str) -> list[dict[str, Any]]:
        """Return the bodies of the records of a kind, oldest first."""
        return [json.loads(body) for body in self._query(f"kind = '{kind}'")]

    def verify(self) -> VerifyReport:
        """Verify the trail as an auditor does: from the file, with the public key."""
        key = load_public_key(self.data_dir / "keys" / PUBLIC_NAME)
        return verify_database(self.data_dir / "placet.db", key)

    def _query(self, where: str) -> list[str]:
        path = self.data_dir / "placet.db"
        with contextlib.closing(sqlite3.connect(f"file:{path}?mode=ro", uri=True, timeout=10)) as database:
            rows = database.execute(f"SELECT body FROM audit_records WHERE {where} ORDER BY writer, sequence")  # noqa: S608 - our own text
            return [body for (body,) in rows]


@contextlib.contextmanager
def serving(folder: Path, rego_dir: Path, **flags: Any) -> Iterator[Server]:
    """Run a server for the duration of the block. Kills it at the end if it still runs."""
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
    """Start a server that must refuse to start. Returns its exit code and output.

    Checks that no child process, traceback or address file is left.
    """
    server = Server(folder, rego_dir, **flags)
    children = []
    deadline = time.monotonic() + START_SECONDS_MAX
    while server.process.poll() is None:
        assert time.monotonic() < deadline, server.said
        with contextlib.suppress(psutil.NoSuchProcess):
            children += psutil.Process(server.process.pid).children(recursive=True)
        time.sleep(CHILDREN_POLL_SECONDS)
    assert not [child for child in children if child.is_running()], "a child outlived the server"
    assert "Traceback" not in [line for line in server.said.splitlines() if not line.startswith("{")]
    assert not server.address
    return server.process.returncode, [line for line in server.said.splitlines() if not line.startswith("{")]


def environment() -> dict[str, str]:
    """Return the environment of a `placet` command, without settings."""
    inherited = {name: value for name, value in os.environ.items() if not name.startswith("PLACET_")}
    return {**inherited, "PYTHONPATH": str(REPOSITORY / "server")}


def command_line(process: psutil.Process) -> list[str]:
    """Return the command line of a process; empty when it has ended."""
    try:
        return process.cmdline()
    except psutil.NoSuchProcess:
        return []
