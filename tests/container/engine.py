"""The container engine that these tests need: the one that runs, or one of our own for their time."""

from __future__ import annotations

import os
import shutil
import socket
import subprocess
import time
from contextlib import contextmanager
from typing import TYPE_CHECKING

import docker
import pytest
from docker.errors import DockerException

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

SOCKET = "/var/run/docker.sock"
UP_WITHIN_SECONDS = 60
DOWN_WITHIN_SECONDS = 30
REMEDY = (
    "no container engine answers and none can be started. Remedy: start Docker, or let DOCKER_HOST name one; "
    "on Debian as root `apt-get install docker.io iptables` is enough, the tests start it then"
)


@contextmanager
def engine(folder: Path) -> Iterator[None]:
    """A container engine, started only when none answers; its log goes to `folder`."""
    if answers():
        yield
        return
    if os.geteuid() != 0 or shutil.which("dockerd") is None or "DOCKER_HOST" in os.environ:
        pytest.fail(REMEDY)
    log = folder / "dockerd.log"
    with log.open("wb") as output:
        process = subprocess.Popen(["dockerd"], stdout=output, stderr=output)
    try:
        wait_until_up(process, log)
        yield
    finally:
        process.terminate()
        process.wait(DOWN_WITHIN_SECONDS)


def wait_until_up(process: subprocess.Popen[bytes], log: Path) -> None:
    deadline = time.monotonic() + UP_WITHIN_SECONDS
    while not answers():
        if process.poll() is not None or time.monotonic() > deadline:
            pytest.fail(f"dockerd did not come up:\n{log.read_text(errors='replace')[-2000:]}")
        time.sleep(0.2)


def answers() -> bool:
    if "DOCKER_HOST" not in os.environ and not listens():
        return False  # asked first, because a client that finds nobody leaves its sockets open
    try:
        client = docker.from_env()
    except DockerException:
        return False
    try:
        return bool(client.ping())
    except DockerException:
        return False
    finally:
        client.close()


def listens() -> bool:
    with socket.socket(socket.AF_UNIX) as probe:
        try:
            probe.connect(SOCKET)
        except OSError:
            return False
    return True
