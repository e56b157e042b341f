"""The limits of the shipped tenant initech: the domain's figures, and what each of them counts."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

import pytest

from placet.budgets.charges import charges
from placet.budgets.model import exceeded
from placet.budgets.run_limits import run_charges
from placet.controls.autonomy.model import AutonomyLevel, resolve
from placet.kernel.state import Usage
from placet.policy.files.tenant_files import load_agent_policies
from tests.support.builders import at, proposal

if TYPE_CHECKING:
    from placet.kernel.model import Proposal

INITECH = load_agent_policies(Path("rego"))["initech"]
NOW = at("2026-10-25T04:30:00Z")  # the evening of the 24th in Chicago
CAP = "refunds.per_customer_per_day"


def refund(cents: int, customer_id: str = "cus_9", currency: str = "USD", workflow: str = "refunds") -> Proposal:
    params = {"charge": "ch_1", "customer_id": customer_id, "amount": f"{cents / 100:.2f}", "currency": currency}
    return proposal("stripe.refund", params=params, amount=(cents, currency), tenant="initech", workflow=workflow)


def test_the_hard_cap_is_per_customer_and_day() -> None:
    found, faults = charges(INITECH, refund(9_000), NOW)
    assert faults == ()
    [cap] = [charge for charge in found if charge.budget.id == CAP]
    assert (cap.amount, cap.budget.limit, cap.budget.rule_id) == (9_000, 25_000, f"budgets.{CAP}")
    assert (cap.counter.window_key, cap.counter.scope_key) == ("2026-10-24", "customer:cus_9")
    assert cap.resets_at_us == at("2026-10-25T00:00:00-05:00")
    assert not exceeded(cap, Usage(used=16_000))
    assert exceeded(cap, Usage(used=16_000, reserved=1))


def test_a_refund_counts_against_every_budget_that_covers_it() -> None:
    found, _ = charges(INITECH, refund(9_000), NOW)
    told = {charge.budget.id: charge.amount for charge in found}
    assert told == {
        CAP: 9_000,
        "refunds.per_month": 9_000,
        "spend.per_user_per_day": 50_000,
        "spend.per_workspace_per_month": 50_000,
    }


@pytest.mark.parametrize(
    ("customer_id", "currency", "rule_id"),
    [("", "USD", "budgets.customer_missing"), ("cus_9", "EUR", "budgets.currency")],
)
def test_the_cap_cannot_be_got_around(customer_id: str, currency: str, rule_id: str) -> None:
    _, faults = charges(INITECH, refund(1, customer_id, currency), NOW)
    assert (rule_id, CAP) in {(fault.rule_id, fault.budget_id) for fault in faults}


def test_a_run_makes_20_tool_calls_and_one_of_triage_40() -> None:
    for workflow, limit in (("refunds", 20), ("it-triage", 40)):
        found, _ = run_charges(INITECH.run_limits(workflow), refund(1, workflow=workflow))
        limits = {charge.budget.id: charge.budget.limit for charge in found}
        assert (limits["limits.max_tool_calls"], limits["limits.loop"]) == (limit, 3)


@pytest.mark.parametrize(
    ("tool", "agent", "workflow", "level"),
    [
        ("stripe.refund", "bot", "refunds", AutonomyLevel.EXECUTE),
        ("crm.update_contact", "bot", "refunds", AutonomyLevel.DRAFT_ONLY),
        ("crm.update_contact", "crm-agent", "refunds", AutonomyLevel.EXECUTE_WITH_APPROVAL),
        ("stripe.refund", "bot", "shadow", AutonomyLevel.OBSERVE_ONLY),
        ("crm.update_contact", "bot", "shadow", AutonomyLevel.OBSERVE_ONLY),
    ],
)
def test_how_far_agents_go(tool: str, agent: str, workflow: str, level: AutonomyLevel) -> None:
    asked = proposal(tool, agent=agent, workflow=workflow, tenant="initech")
    assert resolve(INITECH.autonomy_levels, (), asked).level is level


def test_two_people_of_different_roles_agree_to_every_refund() -> None:
    approval = INITECH.approvals["stripe.refund"]
    assert approval is not None
    assert (approval.quorum, approval.distinct_roles) == (2, True)
    assert INITECH.approval_seconds("stripe.refund") == 14_400
