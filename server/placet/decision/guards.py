"""The ordered list of denials: what Placet enforces itself, before and after policy.

Before policy the first guard of `BEFORE_POLICY` that denies wins, and policy is not asked. After policy, `LIMITS` add
findings to those of policy, and deny > require_approval > allow is applied again over all of them; then autonomy
narrows what is left. So these guards only narrow. One thing widens: people who approved exactly this action turn the
require_approval that they were asked about into an allow. A deny stays a deny.

The order is part of the contract: docs/concepts/decision-flow.md lists it and tests/decision/test_order_of_denials.py
checks it.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Final

from placet.actions.bindings import binding_findings
from placet.actions.destinations import destination_fault
from placet.approvals.model import knew
from placet.approvals.standing_votes import approvers, covers
from placet.budgets.model import exceeded, finding, waived
from placet.budgets.run_limits import duration_finding, over_duration, started_at_us
from placet.controls.autonomy.model import restrict
from placet.controls.kill_switches.model import covering, kill_finding
from placet.decision.combining import (
    NoApprovalError,
    Resolution,
    approval_for,
    by_precedence,
    denied_by,
    denied_by_pdp,
    merged,
    unbelievable_approval,
)
from placet.kernel import rule_ids
from placet.kernel.model import Effect, Finding, ToolClass
from placet.kernel.state import ZERO_USAGE

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Sequence

    from placet.approvals.model import Approval
    from placet.decision.context import BatchContext, EvaluationContext
    from placet.kernel.model import ApprovalRequirement
    from placet.tenants.agent_policy import AgentPolicy

_SECOND_US: Final = 1_000_000

# --- before policy: each returns the deny, or None


def kill_switches(context: EvaluationContext, _batch: BatchContext) -> Resolution | None:
    """`kill_switch.*`: a kill switch covers the action. First, whatever else is broken."""
    switch = covering(context.controls.switches, context.proposal, context.now_us)
    return denied_by(kill_finding(switch)) if switch is not None else None


def clock_skew(_context: EvaluationContext, batch: BatchContext) -> Resolution | None:
    """`pdp.clock_skew`: the clock is behind the newest record, or off the database server's."""
    return denied_by_pdp(rule_ids.CLOCK_SKEW) if batch.clock_skewed else None


def internal_error(context: EvaluationContext, _batch: BatchContext) -> Resolution | None:
    """`pdp.internal_error`: the context could not be gathered."""
    return denied_by_pdp(rule_ids.INTERNAL_ERROR) if context.error is not None else None


def permit_revoked(context: EvaluationContext, _batch: BatchContext) -> Resolution | None:
    """`pdp.permit_revoked`: the permit of the stored allow was revoked."""
    return denied_by_pdp(rule_ids.PERMIT_REVOKED) if context.permit_revoked else None


def contention(context: EvaluationContext, _batch: BatchContext) -> Resolution | None:
    """`pdp.contention`: the inputs changed before the commit, on every try."""
    return denied_by_pdp(rule_ids.CONTENTION) if context.attempt.out_of_tries else None


def policy_changing(context: EvaluationContext, _batch: BatchContext) -> Resolution | None:
    """`pdp.policy_changing`: the policy was replaced on every try."""
    return denied_by_pdp(rule_ids.POLICY_CHANGING) if context.attempt.out_of_reloads else None


def engine_unavailable(_context: EvaluationContext, batch: BatchContext) -> Resolution | None:
    """`pdp.engine_unavailable`: no policy is loaded."""
    return denied_by_pdp(rule_ids.ENGINE_UNAVAILABLE) if batch.policy is None else None


def policy_stale(_context: EvaluationContext, batch: BatchContext) -> Resolution | None:
    """`pdp.policy_stale`: the policy was not confirmed as current within `max_policy_age_seconds`."""
    return denied_by_pdp(rule_ids.POLICY_STALE) if batch.stale else None


def unknown_tenant(context: EvaluationContext, _batch: BatchContext) -> Resolution | None:
    """`pdp.unknown_tenant`: the tenant has no file."""
    return denied_by_pdp(rule_ids.UNKNOWN_TENANT) if context.agent_policy is None else None


def unknown_tool(context: EvaluationContext, _batch: BatchContext) -> Resolution | None:
    """`pdp.unknown_tool`: the tenant's file lists the tool nowhere."""
    known = _file(context).tool_class(context.proposal.action.tool) is not ToolClass.UNKNOWN
    return None if known else denied_by_pdp(rule_ids.UNKNOWN_TOOL)


def unusable_approval(context: EvaluationContext, _batch: BatchContext) -> Resolution | None:
    """`approvals.*`: the approval that the request presents cannot be used."""
    if context.approval_error is None:
        return None
    rule_id, reason = context.approval_error
    return denied_by(Finding(Effect.DENY, rule_id, reason))


def ambiguous_destination(context: EvaluationContext, _batch: BatchContext) -> Resolution | None:
    """`destinations.ambiguous`: readers of the destination may disagree on what it names."""
    destination = context.proposal.action.destination
    fault = destination_fault(destination)
    if not fault:
        return None
    rule_id = rule_ids.DESTINATION_AMBIGUOUS
    details = {"destination": destination, "problem": fault}
    return denied_by(Finding(Effect.DENY, rule_id, rule_ids.CORE_REASONS[rule_id], details))


def bindings(context: EvaluationContext, _batch: BatchContext) -> Resolution | None:
    """`bindings.*`: the params differ from what the action declares."""
    action = context.proposal.action
    binding = _file(context).binding(action.tool)
    differing = by_precedence(binding_findings(binding, action)) if binding is not None else ()
    return denied_by(*differing) if differing else None


BEFORE_POLICY: Final[Sequence[Callable[[EvaluationContext, BatchContext], Resolution | None]]] = (
    kill_switches,
    clock_skew,
    internal_error,
    permit_revoked,
    contention,
    policy_changing,
    engine_unavailable,
    policy_stale,
    unknown_tenant,
    unknown_tool,
    unusable_approval,
    ambiguous_destination,
    bindings,
)
"""The first that denies wins."""


def deny_before_policy(context: EvaluationContext, batch: BatchContext) -> Resolution | None:
    """The deny of the first guard that denies; None when policy is to be asked."""
    for guard in BEFORE_POLICY:
        denied = guard(context, batch)
        if denied is not None:
            return denied
    return None


# --- after policy: each yields findings, which are combined with those of policy


def uncountable_budgets(context: EvaluationContext) -> Iterator[Finding]:
    """`budgets.*` and `limits.*` that cover the action but cannot be counted."""
    yield from (fault.finding() for fault in context.uncountable)


def run_duration(context: EvaluationContext) -> Iterator[Finding]:
    """`limits.max_duration`: the run has gone on for too long."""
    limits = _file(context).run_limits(context.proposal.run.workflow)
    started = started_at_us(context.charges, context.usages)
    if over_duration(limits, started, context.now_us):
        yield duration_finding(limits, started)


def circuit_breakers(context: EvaluationContext) -> Iterator[Finding]:
    """`limits.breaker_open`: a circuit breaker is open."""
    if context.breaker_finding is not None:
        yield context.breaker_finding


def budgets(context: EvaluationContext) -> Iterator[Finding]:
    """`budgets.*` and `limits.*` without room for the action. A stored allow has taken its share already."""
    if context.reevaluates:
        return
    dry_run = context.proposal.action.dry_run
    for charge in context.charges:
        usage = context.usages.get(charge.counter, ZERO_USAGE)
        if exceeded(charge, usage) and not waived(charge, dry_run=dry_run, approved=False):
            yield finding(charge, usage)


LIMITS: Final[Sequence[Callable[[EvaluationContext], Iterator[Finding]]]] = (
    uncountable_budgets,
    run_duration,
    circuit_breakers,
    budgets,
)


@dataclass(frozen=True, slots=True)
class GuardedDecision:
    """The resolution after all guards. `shadow_effect` is what the effect would be without autonomy."""

    resolution: Resolution
    shadow_effect: Effect | None = None


def apply_guards(resolution: Resolution, context: EvaluationContext) -> GuardedDecision:
    """What policy decided, narrowed by limits and autonomy; an approval turns require_approval into an allow."""
    if resolution.effect is Effect.DENY:
        return GuardedDecision(resolution)
    held = merged(resolution, *(found for guard in LIMITS for found in guard(context)))
    held, shadow_effect = _limit_autonomy(held, context)
    if held.effect is Effect.REQUIRE_APPROVAL:
        held = _use_approval(held, context)
    return GuardedDecision(held, shadow_effect)


def _limit_autonomy(held: Resolution, context: EvaluationContext) -> tuple[Resolution, Effect | None]:
    """`autonomy.*`: what the agent's level of autonomy leaves; the effect that it would have without."""
    if context.autonomy is None:
        raise AssertionError("policy is asked only for tenants with a file")
    agent_policy, action = _file(context), context.proposal.action
    restriction = restrict(
        context.autonomy,
        agent_policy.autonomy_levels,
        held.effect,
        agent_policy.tool_class(action.tool),
        dry_run=action.dry_run,
    )
    if restriction is None:
        return held, None
    return merged(held, restriction.finding), restriction.shadow_effect


def _use_approval(held: Resolution, context: EvaluationContext) -> Resolution:
    """`approvals.granted` when people approved what is asked for now; else the require_approval that asks them."""
    try:
        required = approval_for([found for found in held.findings if found.effect is Effect.REQUIRE_APPROVAL])
    except NoApprovalError as error:
        return unbelievable_approval(held.findings, error)
    groups, approval = _file(context).approver_groups, context.approval
    if approval is not None and covers(approval, required, groups) and knew(approval, held.findings):
        return _granted(held, approval, approvers(approval, groups))
    if context.reevaluates:
        return denied_by_pdp(rule_ids.REPEAT_NEEDS_APPROVAL, held.findings)
    return replace(held, approval=_with_deadline(required, context))


def _granted(held: Resolution, approval: Approval, agreed: Sequence[str]) -> Resolution:
    rule_id = rule_ids.APPROVAL_GRANTED
    details = {"approval_id": approval.approval_id, "approvers": agreed}
    granted = Finding(Effect.ALLOW, rule_id, rule_ids.CORE_REASONS[rule_id], details)
    findings = (*held.findings, granted)
    return Resolution(Effect.ALLOW, rule_id, granted.reason, findings, obligations=held.obligations)


def _with_deadline(required: ApprovalRequirement, context: EvaluationContext) -> ApprovalRequirement:
    """The requirement with the tenant's time limit, or the shorter one that a rule names."""
    seconds = _file(context).approval_seconds(context.proposal.action.tool)
    seconds = min(seconds, required.expires_after_seconds or seconds)
    return replace(required, expires_at_us=context.now_us + seconds * _SECOND_US)


def _file(context: EvaluationContext) -> AgentPolicy:
    """The tenant's file. `unknown_tenant` denies before any guard that needs it."""
    if context.agent_policy is None:
        raise AssertionError("the guard unknown_tenant denies a tenant without a file")
    return context.agent_policy
