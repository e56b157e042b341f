"""The same checks of a server that runs its own OPA and of one whose OPA is a container beside it."""

from __future__ import annotations

import time
from typing import TYPE_CHECKING

import pytest

from placet.sdk import Action, ControlClient
from tests.serving import Server, serving, settings
from tests.smoke import AGENT, SMOKE, ask

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator
    from pathlib import Path

    from tests.container.conftest import Sidecar

pytestmark = pytest.mark.xdist_group("container")
PAUSED_TIMEOUT_MS = 1_000
BACK_WITHIN_SECONDS = 20


@pytest.fixture(scope="session")
def sidecar_server(sidecar: Sidecar, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Server]:
    external = {"opa_address": sidecar.address, "opa_expected_revision": sidecar.revision}
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
    external = {"opa_address": sidecar.address, "opa_expected_revision": "0" * 32}
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
