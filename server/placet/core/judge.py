"""From what policy says to what Placet answers.

Policy decides first. Then Placet holds what does not depend on any policy: limits of the run, budgets, breakers,
autonomy. That only ever narrows. One thing widens: people who approved exactly this action turn the require_approval
that they were asked about into an allow; a deny stays a deny.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Final

from placet.core import rule_ids
from placet.core.approval import knew
from placet.core.autonomy import restrict
from placet.core.budgets import exceeded, finding, waived
from placet.core.changes import UNUSED
from placet.core.combine import (
    NoApprovalError,
    Outcome,
    approval_for,
    by_precedence,
    denied_by_pdp,
    unbelievable_approval,
)
from placet.core.model import Effect, Finding
from placet.core.run_limits import duration_finding, over_duration, started_at_us
from placet.core.standing_votes import approvers, covers

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping, Sequence

    from placet.core.agent_policy import AgentPolicy
    from placet.core.approval import Approval
    from placet.core.autonomy import AutonomyRule
    from placet.core.budgets import Charge, ChargeFault
    from placet.core.changes import CounterKey, Usage
    from placet.core.model import ApprovalRequirement, Proposal

_SECOND_US: Final = 1_000_000


@dataclass(frozen=True, slots=True)
class Standing:
    """How things stand for an action whose tenant has an agent_policy, at `now_us`.

    `breaker` is what an open circuit breaker says of it. `approval` is the one that it presents, sound and unused.
    `repeats`: it was allowed before under the same idempotency key, with what it takes of budgets and that approval.
    """

    proposal: Proposal
    agent_policy: AgentPolicy
    autonomy: AutonomyRule
    charges: tuple[Charge, ...]
    faults: tuple[ChargeFault, ...]
    usages: Mapping[CounterKey, Usage]
    breaker: Finding | None
    approval: Approval | None
    now_us: int
    repeats: bool = False


@dataclass(frozen=True, slots=True)
class Judgement:
    """The outcome, and what it would have been without autonomy."""

    outcome: Outcome
    shadow_effect: Effect | None = None


def judge(said: Outcome, standing: Standing) -> Judgement:
    """The judgement on an action of which policy said this."""
    if said.effect is Effect.DENY:
        return Judgement(said)
    held = _merged(said, *_limits(standing))
    action, agent_policy = standing.proposal.action, standing.agent_policy
    restriction = restrict(
        standing.autonomy,
        agent_policy.autonomy_levels,
        held.effect,
        agent_policy.tool_class(action.tool),
        dry_run=action.dry_run,
        approved=False,
    )
    shadow_effect = None
    if restriction is not None:
        held, shadow_effect = _merged(held, restriction.finding), restriction.shadow_effect
    if held.effect is not Effect.REQUIRE_APPROVAL:
        return Judgement(held, shadow_effect)
    try:
        wanted = approval_for([each for each in held.findings if each.effect is Effect.REQUIRE_APPROVAL])
    except NoApprovalError as error:
        return Judgement(unbelievable_approval(held.findings, error))
    approval = standing.approval
    groups = agent_policy.approver_groups
    if approval is not None and covers(approval, wanted, groups) and knew(approval, held.findings):
        return Judgement(_granted(held, approval.approval_id, approvers(approval, groups)), shadow_effect)
    if standing.repeats:
        return Judgement(denied_by_pdp(rule_ids.REPEAT_NEEDS_APPROVAL, held.findings), shadow_effect)
    return Judgement(replace(held, approval=_in_time(wanted, standing)), shadow_effect)


def _limits(standing: Standing) -> Iterator[Finding]:
    """What the run's limits, breakers and budgets say, in this order."""
    yield from (fault.finding() for fault in standing.faults)
    limits = standing.agent_policy.run_limits(standing.proposal.run.workflow)
    started = started_at_us(standing.charges, standing.usages)
    if over_duration(limits, started, standing.now_us):
        yield duration_finding(limits, started)
    if standing.breaker is not None:
        yield standing.breaker
    if standing.repeats:  # it takes nothing more
        return
    for charge in standing.charges:
        usage = standing.usages.get(charge.counter, UNUSED)
        if exceeded(charge, usage) and not waived(charge, dry_run=standing.proposal.action.dry_run, approved=False):
            yield finding(charge, usage)


def _merged(said: Outcome, *found: Finding) -> Outcome:
    """The outcome with more findings: the precedence applied again over all of them."""
    if not found:
        return said
    findings = by_precedence((*said.findings, *found))
    winner = findings[0]
    return Outcome(winner.effect, winner.rule_id, winner.reason, findings)


def _granted(held: Outcome, approval_id: str, agreed: Sequence[str]) -> Outcome:
    rule_id = rule_ids.APPROVAL_GRANTED
    details = {"approval_id": approval_id, "approvers": agreed}
    granted = Finding(Effect.ALLOW, rule_id, rule_ids.CORE_REASONS[rule_id], details)
    return Outcome(Effect.ALLOW, rule_id, granted.reason, (*held.findings, granted))


def _in_time(wanted: ApprovalRequirement, standing: Standing) -> ApprovalRequirement:
    """With the tenant's time for it, unless a rule named a shorter one."""
    seconds = standing.agent_policy.approval_seconds(standing.proposal.action.tool)
    seconds = min(seconds, wanted.expires_after_seconds or seconds)
    return replace(wanted, expires_at_us=standing.now_us + seconds * _SECOND_US)
