"""ControlClient: what it sends, what it returns, and what it never sends twice."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import grpc
import pytest

from placet.sdk import Autonomy, CallFailedError, ControlClient, InvalidRequestError, KillScope, failures
from placet.sdk._wire.methods import (
    ADJUST_BUDGET,
    CLEAR_KILL_SWITCH,
    DECIDE_OUTCOME_EXCESS,
    SET_AUTONOMY,
    SET_KILL_SWITCH,
)
from placet.v1 import control_pb2, decision_pb2
from tests.sdk.in_loop import connected
from tests.sdk.scripted_server import ScriptedServer, status

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

WHO: dict[str, Any] = {"actor": "ann", "reason": "it runs wild"}
BUSY = status(grpc.StatusCode.UNAVAILABLE, retry_after=0.01)


@pytest.fixture(params=["blocking", "asyncio"])
def control(request: pytest.FixtureRequest, server: ScriptedServer) -> Iterator[ControlClient]:
    with connected(ControlClient, server.address, use_asyncio=request.param == "asyncio") as client:
        yield client


@pytest.mark.parametrize(
    ("scope", "value", "field"),
    [
        (KillScope.GLOBAL, "", "global"),
        (KillScope.TENANT, "", "whole_tenant"),
        (KillScope.TOOL, "stripe.*", "tool"),
        (KillScope.AGENT, "a", "agent"),
        (KillScope.WORKFLOW, "w", "workflow"),
        (KillScope.RUN, "r", "run_id"),
    ],
)
def test_every_scope_is_sent_and_read(
    server: ScriptedServer, control: ControlClient, scope: KillScope, value: str, field: str
) -> None:
    def echo(raw: bytes, _context: grpc.ServicerContext) -> bytes:
        request = control_pb2.SetKillSwitchRequest.FromString(raw)
        assert request.scope.WhichOneof("scope") == field
        switch = control_pb2.KillSwitch(id="ks_1", scope=request.scope, actor=request.actor.id, reason=request.reason)
        revoked = control_pb2.RevokedPermit(tenant="acme", decision_id="dec_1", tool="t", agent="a", run_id="r")
        return control_pb2.SetKillSwitchResponse(kill_switch=switch, revoked=[revoked]).SerializeToString()

    server.script(SET_KILL_SWITCH, echo)
    done = control.set_kill_switch(scope, value, tenant="acme", **WHO)
    switch = done.kill_switch
    assert (switch.scope, switch.value, switch.tenant) == (scope, value, "acme")
    assert (switch.actor, switch.reason, switch.expires_at, switch.clearing) == ("ann", "it runs wild", None, None)
    assert [each.decision_id for each in done.revoked] == ["dec_1"]


def test_setting_a_kill_switch_is_retried(server: ScriptedServer, control: ControlClient) -> None:
    scope = control_pb2.KillScope(tool="t")
    answer = control_pb2.SetKillSwitchResponse(kill_switch=control_pb2.KillSwitch(id="ks_1", scope=scope))
    server.script(SET_KILL_SWITCH, BUSY, BUSY, answer)
    assert control.set_kill_switch(KillScope.TOOL, "t", **WHO).kill_switch.id == "ks_1"
    assert len(server.requests(SET_KILL_SWITCH)) == 3


@pytest.mark.parametrize(
    ("method", "ask"),
    [
        (CLEAR_KILL_SWITCH, lambda control: control.clear_kill_switch("ks_1", **WHO)),
        (SET_AUTONOMY, lambda control: control.set_autonomy("acme", Autonomy.EXECUTE, **WHO)),
        (ADJUST_BUDGET, lambda control: control.adjust_budget("acme", "b", "user:u", -1, **WHO)),
        (DECIDE_OUTCOME_EXCESS, lambda control: control.decide_outcome_excess("acme", "dec_1", accept=True, **WHO)),
    ],
)
def test_a_change_that_must_not_happen_twice_is_sent_once(
    server: ScriptedServer, control: ControlClient, method: str, ask: Callable[[ControlClient], object]
) -> None:
    server.script(method, BUSY)
    with pytest.raises(CallFailedError) as failed:
        ask(control)
    assert failed.value.failure.rule_id == failures.UNAVAILABLE
    assert len(server.requests(method)) == 1


def test_a_change_that_needs_a_second_person_is_pending(server: ScriptedServer, control: ControlClient) -> None:
    waiting = control_pb2.ControlRequest(id="req_1", requested_by="ann", reason="r")
    server.script(CLEAR_KILL_SWITCH, control_pb2.ClearKillSwitchResponse(pending_request=waiting))
    server.script(SET_AUTONOMY, control_pb2.SetAutonomyResponse(pending_request=waiting))
    server.script(ADJUST_BUDGET, control_pb2.AdjustBudgetResponse(pending_request=waiting))
    pending = [
        control.clear_kill_switch("ks_1", **WHO),
        control.set_autonomy("acme", Autonomy.EXECUTE, **WHO).pending_request,
        control.adjust_budget("acme", "b", "user:u", 1, **WHO).pending_request,
    ]
    assert [each and (each.id, each.requested_by) for each in pending] == [("req_1", "ann")] * 3
    server.script(CLEAR_KILL_SWITCH, control_pb2.ClearKillSwitchResponse(cleared=True))
    assert control.clear_kill_switch("ks_1", **WHO) is None


def test_every_level_is_sent_and_read(server: ScriptedServer, control: ControlClient) -> None:
    for level in Autonomy:
        number = decision_pb2.Autonomy.Value(f"AUTONOMY_{level.name}")
        rule = control_pb2.AutonomyRule(workflow="w", level=f"AUTONOMY_{level.name}")
        server.script(SET_AUTONOMY, control_pb2.SetAutonomyResponse(applied=True, rule=rule))
        done = control.set_autonomy("acme", level, workflow="w", **WHO)
        assert done.rule is not None
        assert done.rule.level is level
        assert control_pb2.SetAutonomyRequest.FromString(server.requests(SET_AUTONOMY)[-1]).level == number


@pytest.mark.parametrize(
    ("ask", "field"),
    [
        (lambda control: control.set_kill_switch("everything", **WHO), "scope"),
        (lambda control: control.set_kill_switch(KillScope.GLOBAL, "x", **WHO), "value"),
        (lambda control: control.set_kill_switch(KillScope.TOOL, 5, **WHO), "scope.tool"),
        (lambda control: control.set_kill_switch(KillScope.TOOL, "t", actor=None, reason=5), "reason"),
        (lambda control: control.set_kill_switch(KillScope.TOOL, "t", actor=5, reason="r"), "actor.id"),
        (lambda control: control.set_autonomy("acme", "much", **WHO), "level"),
        (lambda control: control.adjust_budget("acme", "b", "user:u", 1.5, **WHO), "amount"),
        (lambda control: control.budgets("acme", top="many"), "top"),
    ],
)
def test_an_invalid_argument_is_named(
    control: ControlClient, ask: Callable[[ControlClient], object], field: str
) -> None:
    with pytest.raises(InvalidRequestError) as refused:
        ask(control)
    assert [each.field for each in refused.value.failure.violations] == [field]
