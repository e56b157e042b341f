from __future__ import annotations

import time
from typing import TYPE_CHECKING

import pytest
import requests

if TYPE_CHECKING:
    from tests.container.conftest import Sidecar

pytestmark = pytest.mark.xdist_group("container")
HEALTHY_WITHIN_SECONDS = 40
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
