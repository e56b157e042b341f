"""Calls of ControlService over gRPC: invalid fields, tenant isolation, and a kill switch set under load."""

from __future__ import annotations

import contextlib
import threading
from typing import TYPE_CHECKING, Any

import grpc
import pytest
from google.protobuf.json_format import ParseDict

from placet.v1 import control_pb2
from tests.serving import serving, settings
from tests.transport.wire import Refusal, Wire, request

if TYPE_CHECKING:
    from collections.abc import Iterator

    from tests.serving import Server

CALL = "/placet.v1.ControlService/"
ANN = {"id": "ann", "roles": ["operator"]}
LONG = "x" * 1_025
SWITCH = {"scope": {"tool": "stripe.*"}, "actor": ANN, "reason": "r"}
LEVEL = {"tenant": "acme", "level": "AUTONOMY_DRAFT_ONLY", "actor": ANN, "reason": "r"}
CORRECTION = {"tenant": "acme", "budget_id": "b", "scope_key": "user:u", "amount": "1", "actor": ANN, "reason": "r"}
VERDICT = {
    "tenant": "acme", "decision_id": "dec_1", "verdict": "EXCESS_VERDICT_DROP", "actor": ANN, "reason": "r",
}  # fmt: skip
CALLERS = 6
AT_ONCE = 25


@pytest.fixture(scope="module")
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Server]:
    with serving(settings(tmp_path_factory.mktemp("control_server"))) as running:
        yield running


def call(wire: Wire, method: str, content: dict[str, Any]) -> Any:
    message = ParseDict(content, getattr(control_pb2, f"{method}Request")())
    answer = wire.raw(CALL + method, message.SerializeToString())
    return getattr(control_pb2, f"{method}Response").FromString(answer)


@pytest.mark.parametrize(
    ("method", "good", "changes", "field"),
    [
        ("SetKillSwitch", SWITCH, {"scope": {}}, "scope"),
        ("SetKillSwitch", SWITCH, {"scope": {"global": False}}, "scope.global"),
        ("SetKillSwitch", SWITCH, {"scope": {"global": True, "tenant": "acme"}}, "scope.tenant"),
        ("SetKillSwitch", SWITCH, {"scope": {"whole_tenant": True}}, "scope.tenant"),
        ("SetKillSwitch", SWITCH, {"scope": {"run_id": "r"}}, "scope.tenant"),
        ("SetKillSwitch", SWITCH, {"scope": {"tool": ""}}, "scope.tool"),
        ("SetKillSwitch", SWITCH, {"scope": {"tool": "a[b]"}}, "scope.tool"),
        ("SetKillSwitch", SWITCH, {"scope": {"tool": "*a" * 9}}, "scope.tool"),
        ("SetKillSwitch", SWITCH, {"scope": {"agent": "a\u0000"}}, "scope.agent"),
        ("SetKillSwitch", SWITCH, {"scope": {"agent": "b\u3164ot"}}, "scope.agent"),
        ("SetKillSwitch", SWITCH, {"scope": {"workflow": "p\u0430y"}}, "scope.workflow"),
        ("SetKillSwitch", SWITCH, {"actor": {"id": "ann\u034f"}}, "actor.id"),
        ("SetKillSwitch", SWITCH, {"actor": {"id": "ann", "roles": ["le\u3164ad"]}}, "actor.roles[0]"),
        ("SetKillSwitch", SWITCH, {"scope": {"workflow": "w", "tenant": "UPPER"}}, "scope.tenant"),
        ("SetKillSwitch", SWITCH, {"actor": {}}, "actor.id"),
        ("SetKillSwitch", SWITCH, {"actor": {"id": "ann", "roles": [""]}}, "actor.roles[0]"),
        ("SetKillSwitch", SWITCH, {"reason": ""}, "reason"),
        ("SetKillSwitch", SWITCH, {"reason": LONG}, "reason"),
        ("SetKillSwitch", SWITCH, {"expires_after_seconds": "-1"}, "expires_after_seconds"),
        ("SetKillSwitch", SWITCH, {"expires_after_seconds": "31536001"}, "expires_after_seconds"),
        ("ClearKillSwitch", {"actor": ANN, "reason": "r"}, {}, "kill_switch_id"),
        ("ClearKillSwitch", {"kill_switch_id": "ks_1", "actor": ANN}, {}, "reason"),
        ("ListKillSwitches", {"tenant": "A"}, {}, "tenant"),
        ("SetAutonomy", LEVEL, {"tenant": ""}, "tenant"),
        ("SetAutonomy", LEVEL, {"level": 99}, "level"),
        ("SetAutonomy", LEVEL, {"tool": "a b"}, "tool"),
        ("SetAutonomy", LEVEL, {"tool": "*a" * 9}, "tool"),
        ("SetAutonomy", LEVEL, {"agent": "b\u043et"}, "agent"),
        ("SetAutonomy", LEVEL, {"workflow": " "}, "workflow"),
        ("SetAutonomy", LEVEL, {"workflow": "w" * 129}, "workflow"),
        ("SetAutonomy", LEVEL, {"agent": "a" * 257}, "agent"),
        ("ListAutonomy", {}, {}, "tenant"),
        ("ListAutonomyRules", {}, {}, "tenant"),
        ("ListBudgets", {"tenant": "acme"}, {"top": 101}, "top"),
        ("ListBudgets", {}, {}, "tenant"),
        ("ListAgents", {}, {}, "tenant"),
        ("GetBudgets", {"tenant": "acme"}, {"top": 101}, "top"),
        ("GetBudgets", {"tenant": "acme"}, {"top": -1}, "top"),
        ("GetBudgets", {}, {}, "tenant"),
        ("AdjustBudget", CORRECTION, {"amount": "0"}, "amount"),
        ("AdjustBudget", CORRECTION, {"amount": str(-(2**53))}, "amount"),
        ("AdjustBudget", CORRECTION, {"budget_id": ""}, "budget_id"),
        ("AdjustBudget", CORRECTION, {"scope_key": ""}, "scope_key"),
        ("ListOutcomeExcesses", {"tenant": "acme"}, {"tenant": ""}, "tenant"),
        ("ListOutcomeExcesses", {"tenant": "acme"}, {"page_size": 501}, "page_size"),
        ("ListOutcomeExcesses", {"tenant": "acme"}, {"page_token": "x"}, "page_token"),
        ("DecideOutcomeExcess", VERDICT, {"decision_id": ""}, "decision_id"),
        ("DecideOutcomeExcess", VERDICT, {"verdict": 0}, "verdict"),
        ("DecideOutcomeExcess", VERDICT, {"verdict": 7}, "verdict"),
        ("DecideOutcomeExcess", VERDICT, {"reason": ""}, "reason"),
        ("DecideOutcomeExcess", VERDICT, {"actor": {}}, "actor.id"),
    ],
)
def test_invalid_input_names_the_field(
    wire: Wire, method: str, good: dict[str, Any], changes: dict[str, Any], field: str
) -> None:
    with pytest.raises(Refusal) as refused:
        call(wire, method, {**good, **changes})
    assert (refused.value.code, refused.value.reason) == (grpc.StatusCode.INVALID_ARGUMENT, "INVALID_REQUEST")
    assert list(refused.value.violations) == [field]


def test_another_tenant_sees_and_changes_nothing(wire: Wire) -> None:
    scope = {"whole_tenant": True, "tenant": "globex"}
    name = call(wire, "SetKillSwitch", {**SWITCH, "scope": scope}).kill_switch.id
    call(wire, "SetAutonomy", {**LEVEL, "tenant": "globex", "level": "AUTONOMY_OBSERVE_ONLY"})
    assert not call(wire, "ListKillSwitches", {"tenant": "acme"}).kill_switches
    assert not call(wire, "ListAutonomy", {"tenant": "acme"}).rules
    assert wire.authorize(request()).rule_id != "kill_switch.tenant"
    for method, content in (
        ("ClearKillSwitch", {"kill_switch_id": name, "tenant": "acme"}),
        ("SetAutonomy", {"tenant": "acme", "level": "AUTONOMY_UNSPECIFIED"}),
        ("AdjustBudget", {**CORRECTION, "tenant": "acme"}),
        ("DecideOutcomeExcess", VERDICT),
    ):
        with pytest.raises(Refusal) as refused:
            call(wire, method, {"actor": ANN, "reason": "guessed", **content})
        assert refused.value.reason == "NOT_FOUND"
    call(wire, "ClearKillSwitch", {"kill_switch_id": name, "tenant": "globex", "actor": ANN, "reason": "r"})


def test_a_kill_switch_set_under_load_allows_nothing_in_its_scope(server: Server, wire: Wire) -> None:
    over = threading.Event()
    begun = threading.Barrier(CALLERS + 1)

    def ask() -> None:
        with contextlib.closing(Wire(server.address)) as own:
            for number in range(100_000):
                if over.is_set():
                    return
                own.authorize_batch([request({"action.tool": "jira.search"}) for _ in range(AT_ONCE)])
                if number == 0:
                    begun.wait(30)

    callers = [threading.Thread(target=ask) for _ in range(CALLERS)]
    for each in callers:
        each.start()
    begun.wait(30)
    names = []
    for _ in range(5):
        set_now = call(wire, "SetKillSwitch", {**SWITCH, "scope": {"tool": "jira.*", "tenant": "acme"}})
        names.append(set_now.kill_switch.id)
        assert wire.authorize(request({"action.tool": "jira.search"})).rule_id == "kill_switch.tool"
        call(wire, "ClearKillSwitch", {"kill_switch_id": names[-1], "tenant": "acme", "actor": ANN, "reason": "r"})
    over.set()
    for each in callers:
        each.join(60)
    assert len(set(names)) == 1
    stopped, revoked = False, 0
    for kind, effect, tool in history(server):
        if kind in {"kill_switch.set", "kill_switch.cleared"}:
            stopped = kind == "kill_switch.set"
        revoked += kind == "permit.revoked"
        assert not (stopped and effect == "allow" and tool == "jira.search")
    assert revoked


def history(server: Server) -> list[tuple[str, str, str]]:
    """Return kind, effect and tool of each record of acme, in chain order."""
    kinds = ("kill_switch.set", "kill_switch.cleared", "permit.revoked", "decision.made")
    found = [(kind, record["body"]) for kind in kinds for record in server.records(kind) if record["tenant"] == "acme"]
    found.sort(key=lambda each: each[1]["sequence"])
    return [(kind, body.get("effect", ""), body.get("tool", "")) for kind, body in found]
