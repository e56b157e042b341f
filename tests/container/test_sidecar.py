"""OPA in a container beside Placet: what it answers, and the same smoke checks as with an OPA that Placet runs itself.

One file, so that one worker runs it all: the container engine that it may have to start is one.
"""

from __future__ import annotations

import time
from typing import TYPE_CHECKING

import pytest
import requests

from placet.sdk import Action, ControlClient
from tests.serving import Server, serving, settings
from tests.smoke import AGENT, SMOKE, ask

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator
    from pathlib import Path

    from tests.container.conftest import Sidecar

HEALTHY_WITHIN_SECONDS = 40
PAUSED_TIMEOUT_MS = 1_000
BACK_WITHIN_SECONDS = 20
QUERY = "/v1/data/placet/main/decisions?provenance=true&strict-builtin-errors=true"


def test_the_image_serves_the_revision_that_was_built(sidecar: Sidecar) -> None:
    answer = requests.post(sidecar.address + QUERY, json={"input": {"batch": []}}, timeout=5).json()
    assert [bundle["revision"] for bundle in answer["provenance"]["bundles"].values()] == [sidecar.revision]
    assert answer["result"] == {}


@pytest.mark.parametrize(
    ("method", "path"),
    [
        ("GET", "/v1/policies"),
        ("GET", "/v1/data"),
        ("GET", "/v1/data/tenants"),
        ("GET", "/v1/data/placet/main/decisions"),
        ("POST", "/v1/data/placet/main/decision"),
        ("POST", "/v1/query"),
        ("POST", "/v1/compile"),
        ("PUT", "/v1/policies/mine"),
        ("PUT", "/v1/data/tenants/mine"),
        ("PATCH", "/v1/data/tenants"),
        ("DELETE", "/v1/policies/placet/main/main.rego"),
        ("POST", "/"),
        ("GET", "/metrics"),
        ("GET", "/v1/config"),
    ],
)
def test_nothing_but_decisions_is_answered(sidecar: Sidecar, method: str, path: str) -> None:
    assert (
        requests.request(method, sidecar.address + path, json={}, timeout=5).status_code == requests.codes.unauthorized
    )


def test_the_engine_learns_that_the_container_is_healthy(sidecar: Sidecar) -> None:
    container = sidecar.container.get_wrapped_container()
    deadline = time.monotonic() + HEALTHY_WITHIN_SECONDS
    while (status := container.attrs["State"]["Health"]["Status"]) != "healthy":
        assert time.monotonic() < deadline, container.attrs["State"]["Health"]
        assert status == "starting"
        time.sleep(0.2)
        container.reload()


def test_the_container_runs_without_root_and_without_a_shell(sidecar: Sidecar) -> None:
    container = sidecar.container.get_wrapped_container()
    assert container.attrs["Config"]["User"] == "65532:65532"
    assert container.exec_run(["/bin/sh", "-c", "true"]).exit_code != 0


@pytest.fixture(scope="session")
def sidecar_server(sidecar: Sidecar, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Server]:
    external = {"opa_address": sidecar.address, "opa_required_revision": sidecar.revision}
    with serving(settings(tmp_path_factory.mktemp("external"), **external)) as server:
        yield server


@pytest.mark.parametrize("check", SMOKE, ids=lambda check: check.__name__)
def test_managed(placet_server: Server, check: Callable[[str], None]) -> None:
    check(placet_server.address)


@pytest.mark.parametrize("check", SMOKE, ids=lambda check: check.__name__)
def test_sidecar(sidecar_server: Server, check: Callable[[str], None]) -> None:
    check(sidecar_server.address)


def test_the_sidecar_decides_by_the_revision_that_it_was_built_with(sidecar_server: Server, sidecar: Sidecar) -> None:
    assert ask(sidecar_server.address, Action("jira.search"), AGENT).policy_revision == sidecar.revision
    with ControlClient(sidecar_server.address) as control:
        status = control.policy_status()
    assert (status.engine_mode, status.ready, status.policy_revision) == ("external", True, sidecar.revision)


def test_managed_and_sidecar_serve_the_same_policy(placet_server: Server, sidecar: Sidecar) -> None:
    with ControlClient(placet_server.address) as control:
        assert control.policy_status().policy_revision == sidecar.revision


def test_an_answer_of_another_revision_than_expected_is_denied(sidecar: Sidecar, tmp_path: Path) -> None:
    external = {"opa_address": sidecar.address, "opa_required_revision": "0" * 32}
    with serving(settings(tmp_path, **external)) as server:
        decision = ask(server.address, Action("jira.search"))
    assert (decision.effect.value, decision.rule_id) == ("deny", "pdp.answer_invalid")


def test_a_stopped_sidecar_is_a_deny_until_it_runs_again(sidecar: Sidecar, tmp_path: Path) -> None:
    container = sidecar.container.get_wrapped_container()
    external = {"opa_address": sidecar.address, "opa_timeout_ms": PAUSED_TIMEOUT_MS}
    with serving(settings(tmp_path, **external)) as server:
        container.pause()
        try:
            decision = ask(server.address, Action("jira.search"))
        finally:
            container.unpause()
        assert (decision.effect.value, decision.rule_id) == ("deny", "pdp.engine_timeout")
        deadline = time.monotonic() + BACK_WITHIN_SECONDS
        while not ask(server.address, Action("jira.search")).allowed:
            assert time.monotonic() < deadline
