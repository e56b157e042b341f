"""Which denial wins when several hold at once: one ladder, in which everything below also holds.

The order is part of the contract (docs/concepts/decision-flow.md): kill switches first, then what Placet cannot decide
by, then what the tenant's file does not allow, then policy, then limits, autonomy and approvals.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Final, cast

import pytest

from placet.controls.autonomy.model import AutonomyLevel
from placet.kernel import rule_ids
from placet.kernel.limits import COMMIT_TRIES_MAX, POLICY_RELOADS_MAX
from placet.kernel.model import Decision, Effect, Finding, Indeterminate
from tests.support.decision_env import DecisionEnv, budget, usd
from tests.support.fakes import ALLOWED, APPROVAL_REQUIRED, DENIED, new_request, verdict
from tests.support.replacing import replace

if TYPE_CHECKING:
    from collections.abc import Sequence

    from placet.decision.attempt import Attempt
    from placet.decision.context import BatchContext, EvaluationContext
    from placet.decision.gathering import Gatherer

BEFORE_POLICY: Final = (
    "kill_switch.tenant",
    rule_ids.CLOCK_SKEW,
    rule_ids.INTERNAL_ERROR,
    rule_ids.PERMIT_REVOKED,
    rule_ids.CONTENTION,
    rule_ids.POLICY_CHANGING,
    rule_ids.ENGINE_UNAVAILABLE,
    rule_ids.POLICY_STALE,
    rule_ids.UNKNOWN_TENANT,
    rule_ids.AGENT_UNKNOWN,
    rule_ids.DELEGATION_LOOP,
    rule_ids.UNKNOWN_TOOL,
    rule_ids.APPROVAL_UNKNOWN,
    rule_ids.DESTINATION_AMBIGUOUS,
    rule_ids.BINDING_AMOUNT_MISMATCH,
    rule_ids.ENGINE_TIMEOUT,
)
"""Every denial that is made without a verdict of policy, the first wins."""
TWICE: Final = [{"principal": "planner", "scopes": ["*"]}] * 2
"""A delegation in which an agent appears twice."""
AFTER_POLICY: Final = ("pay.never", rule_ids.ANSWER_INVALID, "budgets.b", "autonomy.observe_only", "pay.large")
"""What denies once policy has answered, the first wins; the last asks for people."""
UNBELIEVABLE: Final = Finding(
    Effect.REQUIRE_APPROVAL, "pay.unclear", "Somebody", {"quorum": 0, "approver_roles": ["lead"]}
)


@dataclass(frozen=True)
class Troubled:
    """A gatherer whose facts are in all the trouble that holds."""

    real: Gatherer
    holds: frozenset[str]

    @property
    def policies(self) -> Any:
        return self.real.policies

    @property
    def controls(self) -> Any:
        return self.real.controls

    async def gather(self, attempts: Sequence[Attempt]) -> BatchContext:
        """What the real one gathers, worsened."""
        batch = await self.real.gather(attempts)
        return replace(
            batch,
            contexts=[self._worse(context) for context in batch.contexts],
            clock_skewed=rule_ids.CLOCK_SKEW in self.holds,
            stale=rule_ids.POLICY_STALE in self.holds,
        )

    def _worse(self, context: EvaluationContext) -> EvaluationContext:
        attempt = replace(
            context.attempt,
            tries=COMMIT_TRIES_MAX * (rule_ids.CONTENTION in self.holds),
            reloads=POLICY_RELOADS_MAX * (rule_ids.POLICY_CHANGING in self.holds),
        )
        error = RuntimeError("a defect") if rule_ids.INTERNAL_ERROR in self.holds else None
        return replace(context, attempt=attempt, permit_revoked=rule_ids.PERMIT_REVOKED in self.holds, error=error)


async def decided(holds: frozenset[str]) -> str:
    """The rule_id of the deny of one action for which all that holds is a reason; it is on record."""
    timeout = rule_ids.ENGINE_TIMEOUT in holds
    env = DecisionEnv(
        say=lambda _: Indeterminate(rule_ids.ENGINE_TIMEOUT, "no answer") if timeout else verdict(DENIED),
        agents_mode="strict" if rule_ids.AGENT_UNKNOWN in holds else "open",
        tools={"pay": {"bind": {"amount": "/amount", "currency": "USD", "unit": "minor"}}},
    )
    if "kill_switch.tenant" in holds:
        await env.kill("tenant")
    if rule_ids.UNKNOWN_TENANT in holds:
        env.policy.agent_policies = {}
    if rule_ids.ENGINE_UNAVAILABLE in holds:
        env.source.policy = None
    gatherer = cast("Gatherer", Troubled(env.point.gatherer, holds))
    point = replace(env.point, gatherer=gatherer)
    said = {
        "action__amount": usd(500),
        "action__params_json": '{"amount":1}' if rule_ids.BINDING_AMOUNT_MISMATCH in holds else '{"amount":500}',
        "action__destination": "https://a@b" if rule_ids.DESTINATION_AMBIGUOUS in holds else "",
        "identity__delegation_chain": TWICE * (rule_ids.DELEGATION_LOOP in holds),
        "approval_id": "apr_unknown" if rule_ids.APPROVAL_UNKNOWN in holds else "",
    }
    [decision] = await point.decide([new_request("no.such" if rule_ids.UNKNOWN_TOOL in holds else "pay", **said)])
    assert isinstance(decision, Decision)
    assert decision.effect is Effect.DENY
    assert await env.ledger.get_decision("acme", decision.decision_id)
    return decision.rule_id


@pytest.mark.parametrize("above", range(len(BEFORE_POLICY)), ids=BEFORE_POLICY)
async def test_the_first_reason_denies(above: int) -> None:
    assert await decided(frozenset(BEFORE_POLICY[above:])) == BEFORE_POLICY[above]


@pytest.mark.parametrize("rule_id", BEFORE_POLICY)
async def test_each_reason_denies_alone(rule_id: str) -> None:
    assert await decided(frozenset({rule_id})) == rule_id


async def test_policy_is_asked_when_none_of_them_holds() -> None:
    assert await decided(frozenset()) == "pay.never"


@pytest.mark.parametrize("above", range(len(AFTER_POLICY)), ids=AFTER_POLICY)
async def test_what_narrows_the_answer_of_policy(above: int) -> None:
    holds = AFTER_POLICY[above:]
    found = {"pay.never": DENIED, rule_ids.ANSWER_INVALID: UNBELIEVABLE, "pay.large": APPROVAL_REQUIRED}
    env = DecisionEnv(budget(limit=1))
    if "budgets.b" in holds:
        assert (await env.ask()).effect is Effect.ALLOW
    env.policy.say = lambda _: verdict(ALLOWED, *(finding for rule_id, finding in found.items() if rule_id in holds))
    if "autonomy.observe_only" in holds:
        await env.level(AutonomyLevel.OBSERVE_ONLY)
    decision = await env.ask()
    assert decision.rule_id == holds[0]
    assert (decision.effect is Effect.REQUIRE_APPROVAL) == (holds == AFTER_POLICY[-1:])
