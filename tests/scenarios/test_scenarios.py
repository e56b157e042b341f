"""Every scenario, decided by real OPA: in process with the ledger in memory, and over gRPC with SQLite.

Afterwards the trail must hold exactly what was answered, and verify.
"""

from __future__ import annotations

import re
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, Final

import pytest

from placet import sdk
from placet.cli.scenarios.grpc_api import GrpcApi
from placet.cli.scenarios.player import Row, play
from placet.cli.scenarios.steps import Outcome
from placet.server.system import SystemClock
from placet.signing.keys import generate_signing_key
from tests.scenarios.files import load_all
from tests.support.in_process_api import InProcessApi, SettableClock
from tests.support.memory_ledger import MemoryLedger

if TYPE_CHECKING:
    from collections.abc import Sequence

    from placet.cli.scenarios.api import Answer, Api
    from placet.cli.scenarios.script import Script
    from tests.serving import Server

SCRIPTS: Final = load_all()
CALLS_MIN: Final = 60
DECISION_ID: Final = re.compile(r"dec_[0-9a-f]{32}\Z")


OVER_GRPC: Final = {name: script for name, script in SCRIPTS.items() if not script.clock_step()}


@dataclass
class Answered:
    """An API that keeps each request with its answer."""

    api: Api
    pairs: list[tuple[sdk.Request, Answer]] = field(default_factory=list)

    async def authorize(self, requests: Sequence[sdk.Request]) -> Sequence[Answer]:
        answers = await self.api.authorize(requests)
        self.pairs += zip(requests, answers, strict=True)
        return answers

    def __getattr__(self, name: str) -> Any:
        return getattr(self.api, name)


async def check_played(script: Script, api: Api) -> list[Row]:
    """Play the script; check each row against its step, and the record of each decision against its request."""
    answered = Answered(api)
    rows = await play(script, answered)
    for row in rows:
        assert row.as_expected, (row.step.name, row.step.expect, row.effect, row.why, row.reason, *row.differences)
    reported = any(isinstance(step, Outcome) for step in script.steps)
    for request, answer in answered.pairs:
        assert DECISION_ID.match(answer.decision_id)
        recorded = await api.recorded(answer)
        result = recorded["event"]["result"]
        assert result is None or reported
        assert {**recorded["event"], "result": None} == expected_event(request, answer)
        assert (recorded["effect"], recorded["rule_id"]) == (answer.effect, answer.rule_id)
        assert recorded["tenant"] == request.identity.tenant
        assert recorded["input"]["action"]["tool"] == request.action.tool
        assert recorded["input"]["identity"]["roles"] == sorted(set(request.identity.roles))
        assert all(finding["rule_id"] and finding["reason"] for finding in recorded["findings"])
    return rows


def expected_event(request: sdk.Request, answer: Answer) -> dict[str, Any]:
    """The tool-call event, made from the request and the answer alone."""
    action, identity, run, model = request.action, request.identity, request.run, request.model
    assert run is not None
    assert model is not None
    return {
        "trace_id": run.trace_id,
        "run_id": run.run_id,
        "user": {"id": identity.user, "tenant": identity.tenant},
        "model": {
            "name": model.name,
            "prompt_version": model.prompt_version,
            "input_tokens": model.input_tokens,
            "output_tokens": model.output_tokens,
        },
        "tool": {"name": action.tool, "scope": action.scope, "dry_run": action.dry_run},
        "policy": {"decision": answer.effect, "rule_id": answer.rule_id},
        "result": None,
    }


@pytest.mark.parametrize("script", SCRIPTS.values(), ids=SCRIPTS)
def test_in_process(scenario_server: Server, script: Script) -> None:
    clock = SettableClock(SystemClock().wall_us())
    ledger = MemoryLedger(writer="test", signing_key=generate_signing_key(), clock=clock)
    api = InProcessApi(scenario_server.running.policies, ledger, clock)
    scenario_server.run(check_played(script, api))
    assert not api.errors
    assert scenario_server.run(ledger.verify()).ok


@pytest.mark.parametrize("script", OVER_GRPC.values(), ids=OVER_GRPC)
async def test_over_grpc(scenario_server: Server, script: Script) -> None:
    refused_before = len(scenario_server.records("request.refused"))
    async with GrpcApi(scenario_server.address) as api:
        rows = await check_played(script, api)
    refused = [row for row in rows if row.effect == "refused" and row.why.islower()]  # a field; reasons are upper case
    assert len(scenario_server.records("request.refused")) == refused_before + len(refused)


def test_the_trail_of_all_scenarios_verifies(scenario_server: Server) -> None:
    with sdk.AuditClient(scenario_server.address) as audit:
        assert audit.verify().ok


INDEPENDENT: Final = [name for name in SCRIPTS if name.startswith("policy/")]


@pytest.mark.parametrize("name", INDEPENDENT)
def test_a_file_as_one_batch_gives_the_same_answers(scenario_server: Server, name: str) -> None:
    asked = [(step, request) for step, request in SCRIPTS[name].requests() if step.expected[0] != "refused"]
    asked = [(step, request) for step, request in asked if step.now is None]
    with sdk.Client(scenario_server.address, timeout=30) as client:
        for tenant in sorted({request.identity.tenant for _, request in asked}):
            of_tenant = [(step, request) for step, request in asked if request.identity.tenant == tenant]
            decisions = client.authorize_batch([request for _, request in of_tenant])
            answers = [(decision.effect.value, decision.rule_id) for decision in decisions]
            assert answers == [step.expected for step, _ in of_tenant]


def test_there_are_enough_scenarios_and_each_has_a_name_of_its_own() -> None:
    names = [f"{name}: {step.name}" for name in INDEPENDENT for step in SCRIPTS[name].steps]
    assert len(names) >= CALLS_MIN
    assert len(names) == len(set(names))


def test_no_two_scenarios_share_a_tenant() -> None:
    tenants = [script.identity.tenant for script in SCRIPTS.values() if script.agent_policy is not None]
    assert len(tenants) == len(set(tenants))
