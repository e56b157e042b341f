"""The ordered guards: what Placet enforces itself, before and after policy.

- Before policy: the first guard of `BEFORE_POLICY` that denies wins, and policy is not asked.
- After policy, if policy did not deny:
  - `LIMITS` add findings to those of policy. Deny > require_approval > allow is applied to all of them.
  - Autonomy narrows the result.
  - An approval may turn a require_approval into an allow, if people approved exactly this action.

Only the approval widens a decision, and it never changes a deny.

The order is part of the contract: docs/concepts/decision-flow.md lists it and tests/decision/test_order_of_denials.py
checks it.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

from msgspec import Struct
from msgspec.structs import replace

from placet.actions.bindings import binding_findings
from placet.actions.destinations import destination_error
from placet.approvals.counted_votes import approvers, satisfies
from placet.approvals.model import covers_exceeded_budgets
from placet.budgets.model import exceeded, waived
from placet.budgets.model import finding as budget_finding
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
    unsatisfiable_approval,
)
from placet.identity.delegation import delegation_denial
from placet.kernel import rule_ids
from placet.kernel.model import Effect, Finding, ToolClass
from placet.kernel.state import ZERO_USAGE

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from placet.approvals.model import Approval
    from placet.decision.context import BatchContext, EvaluationContext
    from placet.kernel.model import ApprovalRequirement
    from placet.tenants.policy import TenantPolicy

_SECOND_US: Final = 1_000_000

# --- before policy: each guard returns a deny, or None


def kill_switches(context: EvaluationContext, _batch: BatchContext) -> Resolution | None:
    """`kill_switch.*`: a kill switch covers the action. Comes first, so that it works whatever else is broken."""
    switches = context.controls.switches
    switch = covering(switches, context.attempt.request.proposal, context.now_us) if switches else None
    return denied_by(kill_finding(switch)) if switch is not None else None


def clock_skew(_context: EvaluationContext, batch: BatchContext) -> Resolution | None:
    """`pdp.clock_skew`: the clock is behind the newest record, or differs from the database server's."""
    return denied_by_pdp(rule_ids.CLOCK_SKEW) if batch.clock_skewed else None


def internal_error(context: EvaluationContext, _batch: BatchContext) -> Resolution | None:
    """`pdp.internal_error`: the context could not be gathered."""
    return denied_by_pdp(rule_ids.INTERNAL_ERROR) if context.error is not None else None


def permit_revoked(context: EvaluationContext, _batch: BatchContext) -> Resolution | None:
    """`pdp.permit_revoked`: the permit of the stored allow was revoked."""
    return denied_by_pdp(rule_ids.PERMIT_REVOKED) if context.permit_revoked else None


def contention(context: EvaluationContext, _batch: BatchContext) -> Resolution | None:
    """`pdp.contention`: the inputs changed before the commit on all COMMIT_TRIES_MAX tries."""
    return denied_by_pdp(rule_ids.CONTENTION) if context.attempt.out_of_tries else None


def policy_changing(context: EvaluationContext, _batch: BatchContext) -> Resolution | None:
    """`pdp.policy_changing`: the policy was replaced on all POLICY_RELOADS_MAX tries."""
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


def registered_agent(context: EvaluationContext, _batch: BatchContext) -> Resolution | None:
    """`identity.agent_*` and `identity.runtime_not_allowed`: the tenant's register does not admit agent or caller."""
    register = _tenant_policy(context).compiled.agents
    if register is None:
        return None
    request = context.attempt.request
    finding = register.denial(request.proposal.identity.agent, request.caller, context.now_us)
    return denied_by(finding) if finding is not None else None


def delegation(context: EvaluationContext, _batch: BatchContext) -> Resolution | None:
    """`identity.delegation_*`: the work was delegated in a loop, beyond what a hop was given, or without proof."""
    proposal = context.attempt.request.proposal
    if not proposal.identity.delegation:
        return None
    rules = _tenant_policy(context).compiled.delegation
    finding = delegation_denial(proposal.identity, proposal.action.tool, rules)
    return denied_by(finding) if finding is not None else None


def unknown_tool(context: EvaluationContext, _batch: BatchContext) -> Resolution | None:
    """`pdp.unknown_tool`: the tenant's file does not list the tool."""
    tool_class = _tenant_policy(context).tool_class(context.attempt.request.proposal.action.tool)
    return denied_by_pdp(rule_ids.UNKNOWN_TOOL) if tool_class is ToolClass.UNKNOWN else None


def unusable_approval(context: EvaluationContext, _batch: BatchContext) -> Resolution | None:
    """`approvals.*`: the approval that the request presents cannot be used."""
    if context.approval_error is None:
        return None
    rule_id, reason = context.approval_error
    return denied_by(Finding(Effect.DENY, rule_id, reason))


def ambiguous_destination(context: EvaluationContext, _batch: BatchContext) -> Resolution | None:
    """`destinations.ambiguous`: policy and the tool could read the destination differently."""
    destination = context.attempt.request.proposal.action.destination
    problem = destination_error(destination)
    if not problem:
        return None
    rule_id = rule_ids.DESTINATION_AMBIGUOUS
    details = {"destination": destination, "problem": problem}
    return denied_by(Finding(Effect.DENY, rule_id, rule_ids.CORE_REASONS[rule_id], details))


def bindings(context: EvaluationContext, _batch: BatchContext) -> Resolution | None:
    """`bindings.*`: the params differ from the fields that the action declares."""
    action = context.attempt.request.proposal.action
    binding = _tenant_policy(context).binding(action.tool)
    findings = binding_findings(binding, action) if binding is not None else ()
    return denied_by(*by_precedence(findings)) if findings else None


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
    registered_agent,
    delegation,
    unknown_tool,
    unusable_approval,
    ambiguous_destination,
    bindings,
)
"""The guards before policy, in order: the first that denies wins."""


def deny_before_policy(context: EvaluationContext, batch: BatchContext) -> Resolution | None:
    """Return the deny of the first guard that denies, or None when policy must be asked."""
    for guard in BEFORE_POLICY:
        denial = guard(context, batch)
        if denial is not None:
            return denial
    return None


# --- after policy: each guard returns findings, which are combined with those of policy


def uncountable_budgets(context: EvaluationContext) -> Sequence[Finding]:
    """`budgets.*` and `limits.*` that cannot count the action: its customer, run or currency is missing or wrong."""
    return [charge.finding() for charge in context.uncountable] if context.uncountable else ()


def run_duration(context: EvaluationContext) -> Sequence[Finding]:
    """`limits.max_duration`: the run has reached its time limit."""
    started = started_at_us(context.charges, context.usages) if context.charges else 0
    if not started:
        return ()
    limits = _tenant_policy(context).run_limits(context.attempt.request.proposal.run.workflow)
    return [duration_finding(limits, started)] if over_duration(limits, started, context.now_us) else ()


def circuit_breakers(context: EvaluationContext) -> Sequence[Finding]:
    """`limits.breaker_open`: a circuit breaker is open."""
    return [context.breaker_finding] if context.breaker_finding is not None else ()


def exhausted_budgets(context: EvaluationContext) -> Sequence[Finding]:
    """`budgets.*` and `limits.*` that have no room for the action."""
    if not context.charges or context.reevaluates:  # a stored allow has reserved its share already
        return ()
    dry_run = context.attempt.request.proposal.action.dry_run
    findings: list[Finding] = []
    for charge in context.charges:
        usage = context.usages.get(charge.counter, ZERO_USAGE)
        if exceeded(charge, usage) and not waived(charge, dry_run=dry_run, approved=False):
            findings.append(budget_finding(charge, usage))
    return findings


LIMITS: Final[Sequence[Callable[[EvaluationContext], Sequence[Finding]]]] = (
    uncountable_budgets,
    run_duration,
    circuit_breakers,
    exhausted_budgets,
)


class GuardedDecision(Struct, frozen=True):
    """The resolution after all guards."""

    resolution: Resolution
    shadow_effect: Effect | None = None
    """The effect without autonomy, when the agent may only observe and the tenant observes in shadow mode."""


def apply_guards(resolution: Resolution, context: EvaluationContext) -> GuardedDecision:
    """Return the resolution of policy after limits, autonomy and the approval. A deny stays as it is."""
    if resolution.effect is Effect.DENY:
        return GuardedDecision(resolution)
    added = [finding for guard in LIMITS for finding in guard(context)]
    resolution = merged(resolution, *added) if added else resolution
    resolution, shadow_effect = _limit_autonomy(resolution, context)
    if resolution.effect is Effect.REQUIRE_APPROVAL:
        resolution = _apply_approval(resolution, context)
    return GuardedDecision(resolution, shadow_effect)


def _limit_autonomy(resolution: Resolution, context: EvaluationContext) -> tuple[Resolution, Effect | None]:
    """`autonomy.*`: return the narrowed resolution, and the shadow effect if the tenant records it."""
    if context.autonomy is None:
        raise AssertionError("policy is asked only for tenants with a file")
    agent_policy, action = _tenant_policy(context), context.attempt.request.proposal.action
    restriction = restrict(
        context.autonomy,
        agent_policy.autonomy_levels,
        resolution.effect,
        agent_policy.tool_class(action.tool),
        dry_run=action.dry_run,
    )
    if restriction is None:
        return resolution, None
    return merged(resolution, restriction.finding), restriction.shadow_effect


def _apply_approval(resolution: Resolution, context: EvaluationContext) -> Resolution:
    """Return `approvals.granted` when the presented approval satisfies the findings; else the require_approval."""
    findings = resolution.findings
    try:
        required = approval_for([finding for finding in findings if finding.effect is Effect.REQUIRE_APPROVAL])
    except NoApprovalError as error:
        return unsatisfiable_approval(findings, error)
    groups, approval = _tenant_policy(context).approver_groups, context.approval
    if approval is not None and satisfies(approval, required, groups) and covers_exceeded_budgets(approval, findings):
        return _granted(resolution, approval, approvers(approval, groups))
    if context.reevaluates:
        return denied_by_pdp(rule_ids.REPEAT_NEEDS_APPROVAL, findings)
    return replace(resolution, approval=_with_deadline(required, context))


def _granted(resolution: Resolution, approval: Approval, approver_names: Sequence[str]) -> Resolution:
    rule_id = rule_ids.APPROVAL_GRANTED
    details = {"approval_id": approval.approval_id, "approvers": approver_names}
    granted = Finding(Effect.ALLOW, rule_id, rule_ids.CORE_REASONS[rule_id], details)
    findings = (*resolution.findings, granted)
    return Resolution(Effect.ALLOW, rule_id, granted.reason, findings, obligations=resolution.obligations)


def _with_deadline(required: ApprovalRequirement, context: EvaluationContext) -> ApprovalRequirement:
    """Return the requirement with the shorter of the tenant's and the rule's time limit."""
    seconds = _tenant_policy(context).approval_seconds(context.attempt.request.proposal.action.tool)
    seconds = min(seconds, required.expires_after_seconds or seconds)
    return replace(required, expires_at_us=context.now_us + seconds * _SECOND_US)


def _tenant_policy(context: EvaluationContext) -> TenantPolicy:
    """Return the tenant's file. The guard `unknown_tenant` runs before any guard that needs it."""
    if context.agent_policy is None:
        raise AssertionError("the guard unknown_tenant denies a tenant without a file")
    return context.agent_policy
