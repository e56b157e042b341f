"""OPA as a sidecar container, its image built from deploy/."""

from __future__ import annotations

import subprocess
import sys
import time
import uuid
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest
import requests
from testcontainers.core.config import testcontainers_config
from testcontainers.core.container import DockerContainer
from testcontainers.core.image import DockerImage

from tests.container.engine import engine

if TYPE_CHECKING:
    from collections.abc import Iterator

ROOT = Path(__file__).resolve().parents[2]
PORT = 8181
UP_WITHIN_SECONDS = 30


@dataclass(frozen=True)
class Sidecar:
    """A running OPA container: where it answers, the policy revision baked into it, and the container."""

    address: str
    revision: str
    container: DockerContainer


@pytest.fixture(scope="session")
def _engine(tmp_path_factory: pytest.TempPathFactory) -> Iterator[None]:
    # the reaper is an image to be pulled; what these tests start, their fixtures stop
    testcontainers_config.ryuk_disabled = True
    with engine(tmp_path_factory.mktemp("engine")):
        yield


@pytest.fixture(scope="session")
def sidecar(_engine: None, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Sidecar]:
    context = tmp_path_factory.mktemp("sidecar")
    fill = [sys.executable, str(ROOT / "deploy/tools/sidecar.py"), str(context)]
    filled = subprocess.run(fill, capture_output=True, text=True, check=False)
    assert filled.returncode == 0, filled.stderr
    dockerfile = ROOT / "deploy/opa.Dockerfile"
    with DockerImage(context, tag=f"placet-opa:test-{uuid.uuid4().hex}", dockerfile_path=str(dockerfile)) as image:
        container = DockerContainer(str(image))
        ports: dict[str, Any] = container.ports
        ports[f"{PORT}/tcp"] = ("127.0.0.1",)  # on loopback alone, at a port that the engine picks
        with container:
            address = f"http://127.0.0.1:{container.get_exposed_port(PORT)}"
            wait_until_healthy(address, container)
            yield Sidecar(address, filled.stdout.split()[-1], container)


def wait_until_healthy(address: str, container: DockerContainer) -> None:
    deadline = time.monotonic() + UP_WITHIN_SECONDS
    while not healthy(address):
        if time.monotonic() > deadline:
            pytest.fail(f"OPA did not come up: {container.get_logs()}")
        time.sleep(0.1)


def healthy(address: str) -> bool:
    try:
        return requests.get(f"{address}/health?bundles", timeout=2).ok
    except requests.ConnectionError:
        return False
