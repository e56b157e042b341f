"""deploy/compose.yaml as `make compose-test` runs it: by Compose 2, or by the older docker-compose."""

from __future__ import annotations

import functools
import json
import os
import shutil
import subprocess
from typing import TYPE_CHECKING, Any, Final

import pytest

from tests.faults.serving import REPOSITORY, eventually

if TYPE_CHECKING:
    from collections.abc import Mapping

FILE: Final = REPOSITORY / "deploy/compose.yaml"
PROJECT: Final = "placet-test"
UP_SECONDS_MAX: Final = 900.0
REMEDY: Final = "Remedy: install Compose; Debian 12: apt-get install docker-compose"


@functools.cache
def program() -> list[str]:
    """Return the command. Fails the test when there is none."""
    plugin = subprocess.run(["docker", "compose", "version"], capture_output=True, check=False)
    if plugin.returncode == 0:
        return ["docker", "compose"]
    if shutil.which("docker-compose") is None:
        pytest.fail(f"no `docker compose` and no docker-compose. {REMEDY}")
    return ["docker-compose"]


class Composed:
    """The project. `variables` name the base images."""

    def __init__(self, variables: Mapping[str, str]) -> None:
        # Without BuildKit, which the engine of Debian 12 lacks.
        self.variables = {**os.environ, "DOCKER_BUILDKIT": "0", "COMPOSE_DOCKER_CLI_BUILD": "0", **variables}
        self.variables["COMPOSE_PROJECT_NAME"] = PROJECT

    def __call__(self, *arguments: str, check: bool = True, seconds: float = UP_SECONDS_MAX) -> str:
        """Run a command of Compose and return what it prints on stdout."""
        command = [*program(), "--file", str(FILE), "--project-name", PROJECT, *arguments]
        done = subprocess.run(command, env=self.variables, capture_output=True, text=True, check=False, timeout=seconds)
        if check and done.returncode:
            pytest.fail(f"{' '.join(arguments)} failed:\n{done.stdout[-3000:]}\n{done.stderr[-3000:]}\n{self.logs()}")
        return done.stdout

    def logs(self) -> str:
        """Return the end of what all containers said."""
        return self("logs", "--tail=30", "--no-color", check=False, seconds=60)[-12_000:]

    def container(self, service: str) -> str:
        """Return the id of the container of a service."""
        options = ("--quiet", "--all") if "docker" in program() else ("-q",)
        return self("ps", *options, service).strip()

    def inspect(self, service: str) -> dict[str, Any]:
        """Return what the engine knows of the container."""
        told = subprocess.run(["docker", "inspect", self.container(service)], capture_output=True, check=True).stdout
        [document] = json.loads(told)
        return dict(document)

    def health(self, service: str) -> str:
        return str(self.inspect(service)["State"].get("Health", {}).get("Status", ""))

    def wait_until_healthy(self, *services: str, seconds: float = UP_SECONDS_MAX) -> None:
        eventually(lambda: all(self.health(each) == "healthy" for each in services), seconds, f"healthy {services}")
