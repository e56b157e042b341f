"""The SDK reads the current names of the wire, and the deprecated ones that an older server fills."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import grpc
import pytest

from placet import sdk
from placet.sdk import AutonomySet, BudgetAdjusted, BudgetCounter, Client, ControlClient, ControlRequest, OutcomeReceipt
from placet.sdk._wire.controls import budget_from_proto, pending_request_from_proto
from placet.sdk._wire.methods import (
    GET_BUDGETS,
    LIST_AUTONOMY,
    LIST_AUTONOMY_RULES,
    LIST_BUDGETS,
    REPORT_OUTCOME,
)
from placet.v1 import authorization_pb2, control_pb2
from tests.sdk.in_loop import connected
from tests.sdk.scripted_server import plain_status

if TYPE_CHECKING:
    from collections.abc import Iterator

    from google.protobuf.message import Message

    from tests.sdk.scripted_server import ScriptedServer

PENDING = control_pb2.ControlRequest(id="req_1", requested_by="ann", reason="r")
COUNTER = BudgetCounter("user:u", "2026-11-21", "calls", 1, 2, 3, None)
REQUEST = ControlRequest("req_1", "ann", "r", None)
RENAMED: list[tuple[str, str, type[Message], type[Message]]] = [
    ("ListBudgets", "GetBudgets", control_pb2.ListBudgetsRequest, control_pb2.GetBudgetsRequest),
    ("ListBudgets", "GetBudgets", control_pb2.ListBudgetsResponse, control_pb2.GetBudgetsResponse),
    ("ListAutonomyRules", "ListAutonomy", control_pb2.ListAutonomyRulesRequest, control_pb2.ListAutonomyRequest),
    ("ListAutonomyRules", "ListAutonomy", control_pb2.ListAutonomyRulesResponse, control_pb2.ListAutonomyResponse),
]


@pytest.fixture(params=["blocking", "asyncio"])
def control(request: pytest.FixtureRequest, server: ScriptedServer) -> Iterator[ControlClient]:
    with connected(ControlClient, server.address, use_asyncio=request.param == "asyncio", timeout=10) as client:
        yield client


@pytest.mark.parametrize(
    "fields",
    [
        {"duplicate": True, "exceeded_budget_ids": ["money"], "repeated": True, "overspent": ["money"]},
        {"duplicate": True, "exceeded_budget_ids": ["money"]},
        {"repeated": True, "overspent": ["money"]},
    ],
)
def test_a_receipt_by_new_and_old_names(client: Client, server: ScriptedServer, fields: dict[str, Any]) -> None:
    server.script(REPORT_OUTCOME, authorization_pb2.ReportOutcomeResponse(**fields))
    receipt = client.report_outcome("dec_1", "succeeded", tenant="acme")
    assert receipt == OutcomeReceipt(duplicate=True, late=False, exceeded_budget_ids=("money",))


@pytest.mark.parametrize(
    "message",
    [
        control_pb2.ClearKillSwitchResponse(waiting=PENDING),
        control_pb2.SetAutonomyResponse(pending_request=PENDING),
        control_pb2.AdjustBudgetResponse(waiting=PENDING, pending_request=PENDING),
    ],
)
def test_a_pending_request_by_new_and_old_names(message: Any) -> None:
    assert pending_request_from_proto(message) == REQUEST


@pytest.mark.parametrize(
    "message",
    [
        control_pb2.Budget(scope="user", window="day", on_exceed="require_approval"),
        control_pb2.Budget(
            budget_scope=control_pb2.BUDGET_SCOPE_USER,
            budget_window=control_pb2.BUDGET_WINDOW_DAY,
            exceed_action=control_pb2.BUDGET_EXCEED_ACTION_REQUIRE_APPROVAL,
        ),
    ],
)
def test_a_budget_by_new_and_old_names(message: control_pb2.Budget) -> None:
    budget = budget_from_proto(message)
    assert (budget.scope, budget.window, budget.on_exceed) == ("user", "day", "require_approval")


def test_a_budget_with_values_that_this_sdk_does_not_know() -> None:
    newer = control_pb2.Budget(id="b", budget_scope=99, budget_window=99, exceed_action=99)  # type: ignore[arg-type]
    budget = budget_from_proto(newer)
    assert (budget.id, budget.scope, budget.window, budget.on_exceed) == ("b", "", "", "")


def test_the_current_calls_come_first(control: ControlClient, server: ScriptedServer) -> None:
    server.script(LIST_BUDGETS, control_pb2.ListBudgetsResponse(budgets=[control_pb2.Budget(id="b")]))
    server.script(LIST_AUTONOMY_RULES, control_pb2.ListAutonomyRulesResponse())
    assert [budget.id for budget in control.budgets("acme")] == ["b"]
    assert control.autonomy("acme") == ()
    assert [method for method, _, _ in server.calls] == [LIST_BUDGETS, LIST_AUTONOMY_RULES]


def test_an_older_server_is_called_by_the_deprecated_names(control: ControlClient, server: ScriptedServer) -> None:
    server.script(GET_BUDGETS, control_pb2.GetBudgetsResponse(budgets=[control_pb2.Budget(id="b")]))
    rule = control_pb2.AutonomyRule(workflow="w")
    server.script(LIST_AUTONOMY, control_pb2.ListAutonomyResponse(rules=[rule]))
    assert [budget.id for budget in control.budgets("acme", "b", top=5)] == ["b"]
    sent = control_pb2.GetBudgetsRequest.FromString(server.requests(GET_BUDGETS)[0])
    assert (sent.tenant, sent.budget_id, sent.top) == ("acme", "b", 5)
    assert [rule.workflow for rule in control.autonomy("acme")] == ["w"]


def test_another_failure_is_no_reason_for_the_deprecated_name(control: ControlClient, server: ScriptedServer) -> None:
    server.script(LIST_BUDGETS, plain_status(grpc.StatusCode.INTERNAL, "UNIMPLEMENTED"))
    with pytest.raises(sdk.CallFailedError):
        control.budgets("acme")
    assert server.requests(GET_BUDGETS) == []


@pytest.mark.parametrize(("current", "deprecated", "new", "old"), RENAMED)
def test_messages_of_both_names_have_the_same_fields(
    current: str, deprecated: str, new: type[Message], old: type[Message]
) -> None:
    assert (new.DESCRIPTOR.name.startswith(current), old.DESCRIPTOR.name.startswith(deprecated)) == (True, True)
    numbers = [{field.number: (field.name, field.type) for field in kind.DESCRIPTOR.fields} for kind in (new, old)]
    assert numbers[0] == numbers[1]


@pytest.mark.parametrize(
    ("value", "deprecated", "current"),
    [
        (OutcomeReceipt(duplicate=True, late=False, exceeded_budget_ids=("b",)), "repeated", "duplicate"),
        (OutcomeReceipt(duplicate=True, late=False, exceeded_budget_ids=("b",)), "overspent", "exceeded_budget_ids"),
        (AutonomySet(None, REQUEST), "waiting", "pending_request"),
        (BudgetAdjusted(COUNTER, REQUEST), "waiting", "pending_request"),
    ],
)
def test_deprecated_attributes_have_the_current_value_and_warn(value: object, deprecated: str, current: str) -> None:
    name = type(value).__name__
    with pytest.warns(
        DeprecationWarning, match=rf"{name}\.{deprecated} is deprecated: use {name}\.{current}$"
    ) as caught:
        assert getattr(value, deprecated) == getattr(value, current)
    assert caught[0].filename == __file__
