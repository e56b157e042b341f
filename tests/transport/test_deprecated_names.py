"""Deprecated names on the wire have a successor, and the server fills both with the same value."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import pytest
from google.protobuf.json_format import ParseDict

from placet.v1 import authorization_pb2, control_pb2, decision_pb2
from tests.serving import serving, settings
from tests.transport.wire import Wire, request

if TYPE_CHECKING:
    from collections.abc import Iterator

SUCCESSORS = {
    "ReportOutcomeResponse.repeated": "duplicate",
    "ReportOutcomeResponse.overspent": "exceeded_budget_ids",
    "ClearKillSwitchResponse.waiting": "pending_request",
    "SetAutonomyResponse.waiting": "pending_request",
    "AdjustBudgetResponse.waiting": "pending_request",
    "Budget.scope": "budget_scope",
    "Budget.window": "budget_window",
    "Budget.on_exceed": "exceed_action",
    "ControlService.ListAutonomy": "ListAutonomyRules",
    "ControlService.GetBudgets": "ListBudgets",
}
ENUMS = {
    "budget_scope": ("BUDGET_SCOPE_", control_pb2.BudgetScope),
    "budget_window": ("BUDGET_WINDOW_", control_pb2.BudgetWindow),
    "exceed_action": ("BUDGET_EXCEED_ACTION_", control_pb2.BudgetExceedAction),
}
ANN = {"id": "ann", "roles": ["operator"]}
INITECH: dict[str, Any] = {"identity.tenant": "initech", "action.params_json": "{}"}


@pytest.fixture(scope="module")
def wire(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Wire]:
    with serving(settings(tmp_path_factory.mktemp("deprecated"))) as server:
        connected = Wire(server.address)
        yield connected
        connected.close()


def control(wire: Wire, method: str, content: dict[str, Any]) -> Any:
    message = ParseDict(content, getattr(control_pb2, f"{method}Request")())
    reply = wire.raw(f"/placet.v1.ControlService/{method}", message.SerializeToString())
    return getattr(control_pb2, f"{method}Response").FromString(reply)


def report(wire: Wire, decision_id: str) -> authorization_pb2.ReportOutcomeResponse:
    message = authorization_pb2.ReportOutcomeRequest(
        tenant="initech",
        decision_id=decision_id,
        status=authorization_pb2.OUTCOME_STATUS_SUCCEEDED,
        cost_micros=2_500_000,
    )
    reply = wire.raw("/placet.v1.AuthorizationService/ReportOutcome", message.SerializeToString())
    return authorization_pb2.ReportOutcomeResponse.FromString(reply)


def allowed(wire: Wire, user: str) -> str:
    spender = {**INITECH, "identity.user": user, "run": {"run_id": f"run_{user}"}}
    decision = wire.authorize(request({**spender, "model.estimated_cost_micros": 1_500_000}))
    assert decision.effect == decision_pb2.EFFECT_ALLOW, decision
    return str(decision.decision_id)


def test_every_deprecated_name_has_a_successor() -> None:
    deprecated = set()
    for module in (authorization_pb2, control_pb2):
        for name, message in module.DESCRIPTOR.message_types_by_name.items():
            deprecated |= {f"{name}.{field.name}" for field in message.fields if field.GetOptions().deprecated}
            assert all(
                SUCCESSORS.get(f"{name}.{field}", field) in message.fields_by_name for field in message.fields_by_name
            )
        for name, service in module.DESCRIPTOR.services_by_name.items():
            deprecated |= {f"{name}.{method.name}" for method in service.methods if method.GetOptions().deprecated}
    assert deprecated == SUCCESSORS.keys()


def test_a_report_has_both_names(wire: Wire) -> None:
    decision_id = allowed(wire, "u_names")
    first, again = report(wire, decision_id), report(wire, decision_id)
    assert (first.duplicate, first.repeated, again.duplicate, again.repeated) == (False, False, True, True)
    assert list(first.exceeded_budget_ids) == list(first.overspent) == ["spend.per_user_per_day"]


@pytest.mark.parametrize(
    ("method", "content"),
    [
        ("SetAutonomy", {"tenant": "initech", "level": "AUTONOMY_EXECUTE", "workflow": "shadow"}),
        ("AdjustBudget", {"tenant": "initech", "budget_id": "spend.per_user_per_day", "amount": "-2500000"}),
        ("ClearKillSwitch", {}),
    ],
)
def test_a_change_that_needs_a_second_person_has_both_names(wire: Wire, method: str, content: dict[str, Any]) -> None:
    actor = {"actor": ANN, "reason": "r"}
    if method == "ClearKillSwitch":
        switch = control(wire, "SetKillSwitch", {**actor, "scope": {"global": True}}).kill_switch
        content = {"kill_switch_id": switch.id}
    elif method == "AdjustBudget":
        report(wire, allowed(wire, "u_pending"))
        content = {**content, "scope_key": "user:u_pending"}
    reply = control(wire, method, {**content, **actor})
    assert reply.pending_request.requested_by == "ann"
    assert reply.pending_request == reply.waiting
    if method == "ClearKillSwitch":
        control(wire, method, {**content, **actor, "actor": {"id": "bob", "roles": ["operator"]}})


def test_a_change_that_is_made_has_neither(wire: Wire) -> None:
    lower = {"tenant": "acme", "level": "AUTONOMY_OBSERVE_ONLY", "workflow": "w_made", "actor": ANN, "reason": "r"}
    reply = control(wire, "SetAutonomy", lower)
    assert reply.applied
    assert not reply.HasField("pending_request")
    assert not reply.HasField("waiting")


def test_budgets_are_listed_under_both_names(wire: Wire) -> None:
    report(wire, allowed(wire, "u_listed"))
    listed = control(wire, "ListBudgets", {"tenant": "initech"})
    assert listed.budgets
    assert list(listed.budgets) == list(control(wire, "GetBudgets", {"tenant": "initech"}).budgets)
    [only] = control(wire, "ListBudgets", {"tenant": "initech", "budget_id": "spend.per_user_per_day"}).budgets
    assert only.id == "spend.per_user_per_day"


def test_a_budget_has_enums_beside_its_texts(wire: Wire) -> None:
    budgets = list(control(wire, "ListBudgets", {"tenant": "initech"}).budgets)
    time_limit = {"tenant": "initech", "budget_id": "limits.max_duration"}  # has a counter and is no budget
    budgets += control(wire, "ListBudgets", time_limit).budgets
    assert {budget.current for budget in budgets} == {True, False}
    for text, number in (("scope", "budget_scope"), ("window", "budget_window"), ("on_exceed", "exceed_action")):
        prefix, enum = ENUMS[number]
        for budget in budgets:
            name = enum.Name(getattr(budget, number))
            assert name == prefix + (getattr(budget, text).upper() if budget.current else "UNSPECIFIED")


def test_autonomy_rules_are_listed_under_both_names(wire: Wire) -> None:
    lower = {"tenant": "acme", "level": "AUTONOMY_DRAFT_ONLY", "workflow": "w_rules", "actor": ANN, "reason": "r"}
    control(wire, "SetAutonomy", lower)
    rules = list(control(wire, "ListAutonomyRules", {"tenant": "acme"}).rules)
    assert "w_rules" in {rule.workflow for rule in rules}
    assert rules == list(control(wire, "ListAutonomy", {"tenant": "acme"}).rules)
