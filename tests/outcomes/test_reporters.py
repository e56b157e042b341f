"""Who may report: the caller of a decision, executors, and holders of its permit, as the tenant's file says."""

from __future__ import annotations

from typing import Any

import pytest

from placet.actions.outcome import Outcome, OutcomeReport, OutcomeStatus
from placet.identity.access import ACCESS
from placet.identity.model import Grant, Principal, Role
from placet.identity.permissions import is_executor
from placet.kernel.errors import NotFoundError, PermissionDeniedError
from placet.kernel.model import UNAUTHENTICATED, Caller
from placet.outcomes.reporters import refusal
from placet.outcomes.service import OutcomeReceipt
from tests.support.outcome_env import OutcomeEnv

RUNTIME = Caller("jwt|runtime", method="jwt")
OTHER = Caller("jwt|other", method="jwt")


def result(caller: Caller, own: str = RUNTIME.name, *, executors_only: bool, **said: Any) -> str:
    """What a report of the caller gets for a decision that `own` asked for."""
    report = OutcomeReport("acme", "dec_1", caller, Outcome(OutcomeStatus.SUCCEEDED), **said)
    match refusal(report, own, executors_only=executors_only):
        case None:
            return "accepted"
        case NotFoundError():
            return "not found"
        case PermissionDeniedError(reason=reason):
            return reason
        case other:
            raise AssertionError(other)


@pytest.mark.parametrize(
    ("caller", "said", "by_caller", "by_executor"),
    [
        (RUNTIME, {}, "accepted", "REPORTER_NOT_EXECUTOR"),
        (RUNTIME, {"holds_permit": True}, "accepted", "REPORTER_NOT_EXECUTOR"),
        (RUNTIME, {"by_executor": True}, "accepted", "accepted"),
        (OTHER, {}, "not found", "not found"),
        (OTHER, {"holds_permit": True}, "not found", "accepted"),
        (OTHER, {"by_executor": True}, "accepted", "accepted"),
    ],
)
def test_reporters_of_a_server_with_authentication(
    caller: Caller, said: dict[str, Any], by_caller: str, by_executor: str
) -> None:
    assert result(caller, executors_only=False, **said) == by_caller
    assert result(caller, executors_only=True, **said) == by_executor


@pytest.mark.parametrize(("holds_permit", "expected"), [(False, "REPORTER_NOT_EXECUTOR"), (True, "accepted")])
def test_without_authentication_only_the_permit_counts(holds_permit: bool, expected: str) -> None:  # noqa: FBT001
    own = UNAUTHENTICATED.name
    assert result(Caller(), own, executors_only=True, holds_permit=holds_permit) == expected
    assert result(Caller(), own, executors_only=False, holds_permit=holds_permit) == "accepted"


@pytest.mark.parametrize("with_budget", [True, False])
async def test_the_tenants_file_decides(with_budget: bool) -> None:  # noqa: FBT001 - a parameter
    calls: dict[str, Any] = {"id": "calls", "scope": "tenant", "measure": "calls", "limit": 9, "window": "day"}
    env = OutcomeEnv(outcomes="executor", budgets=[calls] if with_budget else [])
    decision_id = await env.allow()
    report = OutcomeReport("acme", decision_id, Caller(), Outcome(OutcomeStatus.SUCCEEDED))
    [refused] = await env.service.report([report])
    assert isinstance(refused, PermissionDeniedError)
    executor = OutcomeReport("acme", decision_id, OTHER, Outcome(OutcomeStatus.SUCCEEDED), by_executor=True)
    [accepted] = await env.service.report([executor])
    assert isinstance(accepted, OutcomeReceipt)


def test_an_executor_is_one_of_the_tenant() -> None:
    grants = (Grant(Role.TOOL_EXECUTOR, frozenset({"acme"})), Grant(Role.AGENT_RUNTIME, frozenset({"globex"})))
    principal = Principal(RUNTIME, grants)
    assert is_executor(principal, "acme")
    assert not is_executor(principal, "globex")
    assert not is_executor(None, "acme")
    assert Role.TOOL_EXECUTOR in ACCESS["AuthorizationService.ReportOutcome"].roles
