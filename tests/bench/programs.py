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

from tests.bench.checkouts import HERE, HERE_ROOT

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

    from tests.bench.checkouts import Checkout

ROOT = HERE_ROOT
START_SECONDS_MAX = 60
OPA_TIMEOUT_MS = 2_000
"""Longer than the default, so that other load on the machine turns no allow into a deny, which would cost less."""


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

    def opa_memory_mib(self) -> float:
        """Return the resident memory of OPA, which the server started."""
        family = psutil.Process(self.pid).children(recursive=True)
        return float(sum(process.memory_info().rss for process in family if process.name() == "opa")) / 2**20

    def cpu_seconds(self) -> float:
        """Return the CPU time of the server and its OPA since their start."""
        return cpu_seconds(self.pid)

    def own_cpu_seconds(self) -> float:
        """Return the CPU time of the server and its workers since their start, without OPA."""
        return cpu_seconds(self.pid, without="opa")


def cpu_seconds(pid: int, *, without: str = "") -> float:
    """Return the CPU time of a process and of its living descendants, except programs named `without`."""
    parent = psutil.Process(pid)
    family = [process for process in (parent, *parent.children(recursive=True)) if process.name() != without]
    times = [process.cpu_times() for process in family]
    return float(sum(spent.user + spent.system for spent in times))


@contextlib.contextmanager
def placet(
    rego_dir: Path | None = None,
    data_dir: Path | None = None,
    database_url: str = "",
    checkout: Checkout = HERE,
    more: Sequence[str] = (),
    start_seconds_max: float = START_SECONDS_MAX,
) -> Iterator[Server]:
    """Run `placet serve` of a checkout, with durable audit, for the duration of the block.

    `rego_dir` is the shipped policy by default; `more` are further arguments. Raises RuntimeError when the server exits
    or is not ready in time.
    """
    with tempfile.TemporaryDirectory(prefix="placet-bench-") as folder:
        data = data_dir or Path(folder)
        (data / "serve.json").unlink(missing_ok=True)
        arguments = ["serve", "--listen", "127.0.0.1:0", "--data-dir", str(data)]
        arguments += ["--rego-dir", str(rego_dir or checkout.rego)]
        arguments += ["--opa-timeout-ms", str(OPA_TIMEOUT_MS)]
        arguments += ["--database-url", database_url] if database_url else []
        command = [sys.executable, "-m", "placet.cli.main", *arguments, "--log-level", "error", *more]
        started = time.perf_counter()
        with subprocess.Popen(command, cwd=folder, env=_environment(checkout)) as child:
            try:
                ready = _wait_for(data / "serve.json", child, start_seconds_max)
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


def _environment(checkout: Checkout = HERE) -> dict[str, str]:
    """Return an environment in which `placet` is that of the checkout."""
    return {**os.environ, "PYTHONPATH": checkout.server_path}


def _wait_for(file: Path, child: subprocess.Popen[bytes], seconds_max: float) -> dict[str, str]:
    until = time.monotonic() + seconds_max
    while time.monotonic() < until:
        if child.poll() is not None:
            raise RuntimeError(f"the server exited with {child.returncode}")
        try:
            ready: dict[str, str] = json.loads(file.read_text())
        except (FileNotFoundError, json.JSONDecodeError):
            time.sleep(0.005)
        else:
            return ready
    raise RuntimeError(f"the server was not ready within {seconds_max:g} s")
