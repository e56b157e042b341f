"""Enums that the server and the SDK both define have the same names and values: the SDK imports no server code."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from placet import sdk
from placet.actions.outcome import OutcomeStatus
from placet.approvals.model import ApprovalState
from placet.budgets import model as budgets
from placet.budgets.windows import Window
from placet.controls.autonomy.model import AutonomyLevel
from placet.controls.kill_switches.model import KillScope
from placet.kernel.model import Effect
from placet.v1 import approval_pb2, authorization_pb2, control_pb2, decision_pb2
from placet.watch.state import DecisionState

if TYPE_CHECKING:
    from enum import StrEnum

    from google.protobuf.internal.enum_type_wrapper import EnumTypeWrapper

TWINS: list[tuple[type[StrEnum], type[StrEnum], set[str]]] = [
    (Effect, sdk.Effect, set()),
    (AutonomyLevel, sdk.Autonomy, {"UNSPECIFIED"}),
    (OutcomeStatus, sdk.OutcomeStatus, set()),
    (ApprovalState, sdk.ApprovalState, {"UNKNOWN"}),
    (DecisionState, sdk.DecisionState, set()),
    (KillScope, sdk.KillScope, set()),
]
"""An enum of the server, its twin in the SDK, and the members that only the SDK has."""

ON_THE_WIRE: list[tuple[type[StrEnum], EnumTypeWrapper, str]] = [
    (sdk.Effect, decision_pb2.Effect, "EFFECT_"),
    (AutonomyLevel, decision_pb2.Autonomy, "AUTONOMY_"),
    (sdk.OutcomeStatus, authorization_pb2.OutcomeStatus, "OUTCOME_STATUS_"),
    (ApprovalState, approval_pb2.ApprovalState, "APPROVAL_STATE_"),
    (sdk.DecisionState, authorization_pb2.DecisionState, "DECISION_STATE_"),
    (budgets.Scope, control_pb2.BudgetScope, "BUDGET_SCOPE_"),
    (Window, control_pb2.BudgetWindow, "BUDGET_WINDOW_"),
    (budgets.OnExceed, control_pb2.BudgetExceedAction, "BUDGET_EXCEED_ACTION_"),
]
"""An enum, its twin in the API, and the prefix of the names there."""


def members(enum: type[StrEnum]) -> dict[str, str]:
    return {member.name: member.value for member in enum}


@pytest.mark.parametrize(("server", "client", "added"), TWINS)
def test_server_and_sdk_have_the_same_members(server: type[StrEnum], client: type[StrEnum], added: set[str]) -> None:
    assert {name: value for name, value in members(client).items() if name not in added} == members(server)
    assert added <= members(client).keys()


@pytest.mark.parametrize(("enum", "wire", "prefix"), ON_THE_WIRE)
def test_the_api_has_the_same_names(enum: type[StrEnum], wire: EnumTypeWrapper, prefix: str) -> None:
    names = {name.removeprefix(prefix) for name, number in wire.items() if number}
    assert names == members(enum).keys()
    assert all(value == name.lower() for name, value in members(enum).items())
