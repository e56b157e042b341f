"""The programs that are measured, each in a separate process."""

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
    """A server that is measured."""

    address: str
    pid: int
    data_dir: Path
    seconds_to_ready: float

    def memory_mib(self) -> float:
        """Return the resident memory of the server, without OPA."""
        return float(psutil.Process(self.pid).memory_info().rss) / 2**20

    def cpu_seconds(self) -> float:
        """Return the CPU time of the server and its OPA since their start."""
        return cpu_seconds(self.pid)


def cpu_seconds(pid: int) -> float:
    """Return the CPU time of a process and of its living children since their start."""
    parent = psutil.Process(pid)
    times = [process.cpu_times() for process in (parent, *parent.children())]
    return float(sum(spent.user + spent.system for spent in times))


@contextlib.contextmanager
def placet(rego_dir: Path = ROOT / "rego", data_dir: Path | None = None, database_url: str = "") -> Iterator[Server]:
    """Run `placet serve` as it is installed, with durable audit, for the duration of the block."""
    with tempfile.TemporaryDirectory(prefix="placet-bench-") as folder:
        data = data_dir or Path(folder)
        (data / "serve.json").unlink(missing_ok=True)
        arguments = ["serve", "--listen", "127.0.0.1:0", "--data-dir", str(data), "--rego-dir", str(rego_dir)]
        arguments += ["--database-url", database_url] if database_url else []
        command = [sys.executable, "-m", "placet.cli.main", *arguments, "--log-level", "warning"]
        started = time.perf_counter()
        with subprocess.Popen(command, cwd=folder, env=_environment()) as child:
            try:
                ready = _wait_for(data / "serve.json", child)
                yield Server(ready["address"], child.pid, data, time.perf_counter() - started)
            finally:
                child.terminate()
                child.wait(30)


@contextlib.contextmanager
def empty_server() -> Iterator[str]:
    """Run the floor, the same gRPC stack with an empty handler, for the duration of the block. Yields its address."""
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
            raise RuntimeError(f"the server exited with {child.returncode}")
        try:
            ready: dict[str, str] = json.loads(file.read_text())
        except (FileNotFoundError, json.JSONDecodeError):
            time.sleep(0.005)
        else:
            return ready
    raise RuntimeError(f"the server was not ready within {START_SECONDS_MAX} s")
