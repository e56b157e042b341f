"""deploy/compose.yaml, really started: the steps of docs/how-to/deploy-compose.md, and what a company relies on."""

from __future__ import annotations

import json
import os
import re
import subprocess
import sys
import time
from pathlib import Path
from typing import TYPE_CHECKING, Final

import pytest

from placet.sdk import Action, Client, ControlClient, Identity, tls_credentials
from tests.compose.composing import Composed, program
from tests.compose.stand_ins import images
from tests.container.engine import engine
from tests.docs.blocks import blocks
from tests.faults.serving import REPOSITORY, eventually

if TYPE_CHECKING:
    from collections.abc import Iterator

pytestmark = [pytest.mark.compose, pytest.mark.timeout(1_800)]
PAGE: Final = REPOSITORY / "docs/how-to/deploy-compose.md"
REPLICAS: Final = ("placet-a", "placet-b")
SERVING: Final = (*REPLICAS, "opa-a", "opa-b", "bundles", "database")
ADDRESS: Final = "localhost:7443"
READ: Final = Action("jira.search", {"query": "x"})
BACK_SECONDS_MAX: Final = 120.0
DRAIN_SECONDS_MAX: Final = 10.0
MADE_BEFORE: Final = "make sidecar\n"
"""The step that `make compose-test` has done."""
OLDER: Final = 'docker() { if [ "$1" = compose ]; then shift; docker-compose "$@"; else command docker "$@"; fi; }\n'
"""Lets the older docker-compose run the commands of the page."""


def steps() -> list[str]:
    """Return the shell commands of the page, block by block."""
    return [block.text for block in blocks(PAGE) if block.language == "sh"]


class Deployed:
    """The started project, and the folder in which the page's commands ran."""

    def __init__(self, composed: Composed, folder: Path) -> None:
        self.composed = composed
        self.folder = folder

    def type(self, commands: str) -> str:
        """Run commands as a person would, at the top of the repository, but with files in the folder of the test."""
        bash = commands.replace("admin.token", f"{self.folder}/admin.token")
        bash = re.sub(r"(?<=[ =])ca\.crt", f"{self.folder}/ca.crt", bash)
        bash = (OLDER if program() == ["docker-compose"] else "") + "set -euo pipefail\n" + bash
        path = f"{Path(sys.executable).parent}:{os.environ['PATH']}"
        done = subprocess.run(
            ["bash", "-c", bash],
            cwd=REPOSITORY,
            env={**self.composed.variables, "PATH": path},
            capture_output=True,
            text=True,
            check=False,
            timeout=1_200,
        )
        if done.returncode:
            pytest.fail(f"{commands} failed:\n{done.stdout[-3000:]}\n{done.stderr[-3000:]}\n{self.composed.logs()}")
        return done.stdout

    @property
    def token(self) -> str:
        return (self.folder / "admin.token").read_text().strip()

    def control(self) -> ControlClient:
        credentials = tls_credentials(str(self.folder / "ca.crt"))
        return ControlClient(ADDRESS, timeout=20, credentials=credentials, token=self.token)

    def client(self, token: str) -> Client:
        credentials = tls_credentials(str(self.folder / "ca.crt"))
        return Client(ADDRESS, timeout=20, credentials=credentials, token=token, on_failure="raise")


@pytest.fixture(scope="module")
def deployed(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Deployed]:
    with engine(tmp_path_factory.mktemp("engine")):
        it = Deployed(Composed(images()), tmp_path_factory.mktemp("typed"))
        try:
            for block in steps()[:2]:
                it.type(block.replace(MADE_BEFORE, ""))
                it.composed.wait_until_healthy(*(SERVING if "up --detach" in block else ()))
            yield it
        finally:
            it.composed("down", "--volumes", "--timeout=20")


@pytest.fixture(scope="module")
def runtime(deployed: Deployed) -> str:
    """The token of a runtime of acme."""
    create = "placet tokens create support --role agent_runtime --tenant acme --agent 'support-*' --user trusted"
    access = f"PLACET_ADDRESS={ADDRESS} PLACET_TLS_CA_FILE=ca.crt PLACET_TOKEN={deployed.token}"
    return deployed.type(f"{access} {create}").strip()


def test_calls_are_decided_by_the_published_policy(deployed: Deployed, runtime: str) -> None:
    with deployed.client(runtime) as client:
        decision = client.authorize(READ, Identity(agent="support-1", tenant="acme", user="u_1"))
    assert (decision.effect.value, decision.rule_id) == ("allow", "tools.listed_read")
    with deployed.control() as control:
        assert control.policy_status().policy_revision == decision.policy_revision


def test_containers_are_restricted(deployed: Deployed) -> None:
    for service in (*SERVING, "envoy"):
        document = deployed.composed.inspect(service)
        host = document["HostConfig"]
        assert document["Config"]["User"] == "65532:65532", service
        assert host["ReadonlyRootfs"], service
        assert host["CapDrop"] == ["ALL"], service
    for replica in REPLICAS:
        assert deployed.composed("exec", "-T", replica, "id", "-u").strip() == "65532"
        written = "touch /etc/placet/x 2>/dev/null || touch /usr/x 2>/dev/null && echo written || echo refused"
        assert deployed.composed("exec", "-T", replica, "sh", "-c", written).strip() == "refused"


def test_a_killed_replica_is_missed_by_nobody(deployed: Deployed, runtime: str) -> None:
    killed = deployed.composed.container("placet-a")
    before = deployed.composed.inspect("placet-a")["RestartCount"]
    pid = str(deployed.composed.inspect("placet-a")["State"]["Pid"])
    identity = Identity(agent="support-1", tenant="acme", user="u_1")
    with deployed.client(runtime) as client:
        subprocess.run(["kill", "-9", pid], check=True)
        deadline = time.monotonic() + BACK_SECONDS_MAX
        while (
            deployed.composed.inspect("placet-a")["RestartCount"] == before
            or deployed.composed.health("placet-a") != "healthy"
        ):
            assert client.authorize(READ, identity).allowed
            assert time.monotonic() < deadline, deployed.composed.logs()
    assert deployed.composed.container("placet-a") == killed, "the engine restarts the container"


def test_a_stop_drains(deployed: Deployed, runtime: str) -> None:
    identity = Identity(agent="support-1", tenant="acme", user="u_1")
    began = time.monotonic()
    deployed.composed("stop", "--timeout=30", "placet-b")
    assert time.monotonic() - began < DRAIN_SECONDS_MAX + 20
    assert deployed.composed.inspect("placet-b")["State"]["ExitCode"] == 0, "it ended by itself, and signed the trail"
    with deployed.client(runtime) as client:
        assert client.authorize(READ, identity).allowed
    deployed.composed("start", "placet-b")
    deployed.composed.wait_until_healthy("placet-b")


def test_a_published_policy_is_decided_by(deployed: Deployed, runtime: str) -> None:
    pack = REPOSITORY / "rego/policy/refunds/refunds.rego"
    kept = pack.read_bytes()
    with deployed.control() as control:
        before = control.policy_status().policy_revision
    try:
        pack.write_bytes(kept + b"\n# published by a test\n")
        deployed.type(steps()[2])
    finally:
        pack.write_bytes(kept)
    identity = Identity(agent="support-1", tenant="acme", user="u_1")
    with deployed.client(runtime) as client:
        eventually(
            lambda: client.authorize(READ, identity).policy_revision != before, BACK_SECONDS_MAX, "the new policy"
        )
        assert client.authorize(READ, identity).allowed


def test_the_trail_verifies(deployed: Deployed) -> None:
    options = []
    for replica in REPLICAS:
        key, file = deployed.composed("exec", "-T", replica, "placet", "audit", "public-key"), f"/tmp/{replica}.pem"  # noqa: S108 - in a container
        deployed.composed("exec", "-T", "placet-a", "sh", "-c", 'printf %s "$1" >"$2"', "sh", key, file)
        options += ["--public-key", file]
    verified = deployed.composed("exec", "-T", "placet-a", "placet", "audit", "verify", *options, "--output", "json")
    report = json.loads(verified)
    assert report["problems"] == []
    assert report["records"] > 0
    with deployed.control() as control:
        assert control.policy_status().serving
