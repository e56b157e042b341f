"""Every scenario, decided by real OPA: in process with the ledger in memory, and over gRPC with SQLite.

After each the trail must hold exactly what was told, and verify.
"""

from __future__ import annotations

import asyncio
import json
import re
import uuid
from dataclasses import asdict, dataclass
from typing import TYPE_CHECKING, Any

import pytest

from placet import sdk
from placet.audit.records import DecisionQuery
from placet.audit.tool_call_event import tool_call_event
from placet.controls.snapshot import ControlState
from placet.decision.attempt import Request
from placet.decision.gathering import NO_MAX_AGE, Gatherer
from placet.decision.pipeline import decision_point
from placet.decision.recorder import Recorder
from placet.kernel.errors import InvalidRequestError
from placet.kernel.limits import RESERVATION_TTL_SECONDS
from placet.kernel.model import Caller, Decision
from placet.sdk import failures
from placet.sdk._wire.encode import request_to_proto
from placet.server.system import RandomIds, SystemClock
from placet.signing.keys import generate_signing_key
from placet.transport.grpc.messages.from_proto import parse_request
from tests.scenarios.scenario import ScenarioStep, at, expected_event, scenarios
from tests.support.memory_ledger import MemoryLedger

if TYPE_CHECKING:
    from collections.abc import Iterator

    from tests.serving import Server

SCENARIOS = scenarios()
STEPS_MIN = 60
CASES = [
    pytest.param(step, request, id=f"{name}: {step.name}")
    for name, scenario in SCENARIOS.items()
    for step, request in scenario.asked()
]
WIRE_CASES = [case for case in CASES if isinstance(case.values[0], ScenarioStep) and case.values[0].now is None]
TIMEOUT_SECONDS = 30.0
DECISION_ID = re.compile(r"dec_[0-9a-f]{32}\Z")


@dataclass
class StepClock:
    """The machine's clock, or the time that a step names."""

    now_us: int

    def wall_us(self) -> int:
        return self.now_us

    def monotonic(self) -> float:
        return SystemClock().monotonic()


def clock_of(step: ScenarioStep) -> StepClock:
    return StepClock(int(step.now.timestamp() * 1_000_000) if step.now else SystemClock().wall_us())


def check_trail(step: ScenarioStep, request: sdk.Request, held: dict[str, Any]) -> None:
    """What the trail holds of a step against what the step says."""
    effect, rule_id = step.expected
    assert held["event"] == expected_event(request, effect, rule_id)
    assert (held["effect"], held["rule_id"], held["tenant"]) == (effect, rule_id, request.identity.tenant)
    assert held["input"]["action"]["tool"] == request.action.tool
    assert held["input"]["identity"]["roles"] == sorted(set(request.identity.roles))
    assert {path: at(held, path) for path in step.audit} == step.audit


class Faults(list[BaseException]):
    """Must stay empty."""

    def __call__(self, fault: BaseException) -> None:
        self.append(fault)


@pytest.mark.parametrize(("step", "request_"), CASES)
def test_in_process(placet_server: Server, step: ScenarioStep, request_: sdk.Request) -> None:
    clock, faults = clock_of(step), Faults()
    ledger = MemoryLedger(writer="test", signing_key=generate_signing_key(), clock=clock)
    controls = ControlState(ledger)
    point = decision_point(
        Gatherer(placet_server.running.policies, ledger, controls, clock, NO_MAX_AGE),
        Recorder(clock, RandomIds(), RESERVATION_TTL_SECONDS),
        faults,
        lambda _rule_id, _why: None,
    )
    message = request_to_proto(request_, request_.idempotency_key or uuid.uuid4().hex)
    if step.refused:
        with pytest.raises(InvalidRequestError) as refused:
            parse_request(message)
        assert refused.value.violations[0].field == step.expected[1]
        return
    asked = Request(parse_request(message), Caller(peer="test"), clock.wall_us())
    [decision] = placet_server.run(point.decide([asked]))
    assert isinstance(decision, Decision)
    assert not faults
    assert (decision.effect.value, decision.rule_id) == step.expected, decision
    assert all(finding.rule_id and finding.reason for finding in decision.findings)
    page = asyncio.run(ledger.query_decisions(DecisionQuery(tenant=request_.identity.tenant)))
    [recorded] = page.decisions
    assert recorded.decision.decision_id == decision.decision_id
    held = {
        "event": tool_call_event(recorded),
        "effect": recorded.decision.effect.value,
        "rule_id": recorded.decision.rule_id,
        "tenant": recorded.tenant,
        "input": json.loads(recorded.input_json),
        "findings": [asdict(finding) for finding in recorded.decision.findings],
        "approval": approval_of(recorded.decision),
        "replayable": recorded.replayable,
    }
    check_trail(step, request_, held)
    assert asyncio.run(ledger.verify()).ok


@pytest.fixture(scope="session")
def client(placet_server: Server) -> Iterator[sdk.Client]:
    with sdk.Client(placet_server.address, timeout=TIMEOUT_SECONDS) as connected:
        yield connected


@pytest.fixture(scope="session")
def audit(placet_server: Server) -> Iterator[sdk.AuditClient]:
    with sdk.AuditClient(placet_server.address, timeout=TIMEOUT_SECONDS) as connected:
        yield connected


def authorize(client: sdk.Client, request: sdk.Request) -> sdk.Decision:
    return client.authorize(
        request.action,
        request.identity,
        run=request.run,
        model=request.model,
        evidence=request.evidence,
        idempotency_key=request.idempotency_key,
        approval_id=request.approval_id,
    )


@pytest.mark.parametrize(("step", "request_"), WIRE_CASES)
def test_over_grpc(
    placet_server: Server, client: sdk.Client, audit: sdk.AuditClient, step: ScenarioStep, request_: sdk.Request
) -> None:
    refused_before = len(placet_server.records("request.refused"))
    decided_before = len(placet_server.records("decision.made"))
    decision = authorize(client, request_)
    if step.refused:
        assert decision.failure is not None
        assert decision.failure.rule_id == failures.INVALID_ARGUMENT
        assert decision.failure.violations[0].field == step.expected[1]
        assert not decision.allowed
        assert len(placet_server.records("request.refused")) == refused_before + 1
        assert len(placet_server.records("decision.made")) == decided_before
        return
    assert decision.failure is None
    assert (decision.effect.value, decision.rule_id) == step.expected, decision
    assert DECISION_ID.match(decision.decision_id)
    recorded = audit.get(request_.identity.tenant, decision.decision_id)
    assert recorded is not None
    held = {
        "event": json.loads(recorded.event_json),
        "effect": recorded.decision.effect.value,
        "rule_id": recorded.decision.rule_id,
        "tenant": recorded.tenant,
        "input": json.loads(recorded.input_json),
        "findings": [asdict(finding) for finding in recorded.decision.findings],
        "approval": approval_of(recorded.decision),
        "replayable": recorded.replayable,
    }
    check_trail(step, request_, held)
    page = audit.query(sdk.Query(request_.identity.tenant, tool=request_.action.tool, page_size=1))
    assert page.decisions[0].decision.decision_id == decision.decision_id
    assert audit.verify().ok


def approval_of(decision: sdk.Decision | Decision) -> dict[str, Any] | None:
    if decision.approval is None:
        return None
    return {"quorum": decision.approval.quorum, "approver_roles": list(decision.approval.approver_roles)}


@pytest.mark.parametrize("name", SCENARIOS)
def test_a_file_as_one_batch_gives_the_same_answers(client: sdk.Client, name: str) -> None:
    asked = [(step, request) for step, request in SCENARIOS[name].asked() if not step.refused and step.now is None]
    for tenant in sorted({request.identity.tenant for _, request in asked}):
        of_tenant = [(step, request) for step, request in asked if request.identity.tenant == tenant]
        decisions = client.authorize_batch([request for _, request in of_tenant])
        told = [(decision.effect.value, decision.rule_id) for decision in decisions]
        assert told == [step.expected for step, _ in of_tenant]


def test_there_are_enough_scenarios_and_each_has_a_name_of_its_own() -> None:
    names = [f"{name}: {step.name}" for name, scenario in SCENARIOS.items() for step in scenario.steps]
    assert len(names) >= STEPS_MIN
    assert len(names) == len(set(names))
    assert len(SCENARIOS) >= 6
