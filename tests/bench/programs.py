"""The programs that are measured, each in a process of its own."""

from __future__ import annotations

import contextlib
import json
import os
import subprocess
import sys
import tempfile
import time
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

import psutil

if TYPE_CHECKING:
    from collections.abc import Iterator

ROOT = Path(__file__).resolve().parents[2]
START_SECONDS_MAX = 60


@dataclass(frozen=True, slots=True)
class Server:
    """A server under measurement."""

    address: str
    pid: int
    data_dir: Path
    seconds_to_ready: float

    def memory_mib(self) -> float:
        """Resident memory of the server alone, without OPA."""
        return float(psutil.Process(self.pid).memory_info().rss) / 2**20

    def cpu_seconds(self) -> float:
        """CPU time of the server and its OPA so far."""
        return cpu_seconds(self.pid)


def cpu_seconds(pid: int) -> float:
    """CPU time of a process and of its children that live, so far."""
    parent = psutil.Process(pid)
    times = [each.cpu_times() for each in (parent, *parent.children())]
    return float(sum(each.user + each.system for each in times))


@contextlib.contextmanager
def placet(rego_dir: Path = ROOT / "rego", data_dir: Path | None = None, database_url: str = "") -> Iterator[Server]:
    """`placet serve` as it is installed, with durable audit."""
    with tempfile.TemporaryDirectory(prefix="placet-bench-") as folder:
        place = data_dir or Path(folder)
        (place / "serve.json").unlink(missing_ok=True)
        arguments = ["serve", "--listen", "127.0.0.1:0", "--data-dir", str(place), "--rego-dir", str(rego_dir)]
        arguments += ["--database-url", database_url] if database_url else []
        command = [sys.executable, "-m", "placet.cli.main", *arguments, "--log-level", "warning"]
        started = time.perf_counter()
        with subprocess.Popen(command, cwd=folder, env=_environment()) as child:
            try:
                ready = _wait_for(place / "serve.json", child)
                yield Server(ready["address"], child.pid, place, time.perf_counter() - started)
            finally:
                child.terminate()
                child.wait(30)


@contextlib.contextmanager
def empty_server() -> Iterator[str]:
    """The floor: the same gRPC stack with a handler that answers a fixed allow; its address."""
    with subprocess.Popen(
        [sys.executable, "-m", "tests.bench.empty"], stdout=subprocess.PIPE, text=True, cwd=ROOT, env=_environment()
    ) as child:
        assert child.stdout is not None
        try:
            yield child.stdout.readline().strip()
        finally:
            child.terminate()
            child.wait(10)


def _environment() -> dict[str, str]:
    server = str(ROOT / "server")
    return {**os.environ, "PYTHONPATH": os.pathsep.join(filter(None, [server, os.environ.get("PYTHONPATH", "")]))}


def _wait_for(file: Path, child: subprocess.Popen[bytes]) -> dict[str, str]:
    until = time.monotonic() + START_SECONDS_MAX
    while time.monotonic() < until:
        if child.poll() is not None:
            raise RuntimeError(f"the server ended with {child.returncode}")
        try:
            ready: dict[str, str] = json.loads(file.read_text())
        except (FileNotFoundError, json.JSONDecodeError):
            time.sleep(0.005)
        else:
            return ready
    raise RuntimeError(f"the server was not ready within {START_SECONDS_MAX} s")
