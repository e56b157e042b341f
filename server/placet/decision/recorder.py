"""Step 4 of a decision: turn a guarded decision into the commitment that must be durable before the answer is sent."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Final

from msgspec.structs import replace

from placet.approvals import model as approval
from placet.approvals.index import index_row, still_open
from placet.approvals.records import new_webhook
from placet.audit.decision_codec import decision_commitment
from placet.budgets import reservations as reservation
from placet.budgets.model import remaining, reserve
from placet.controls.autonomy.model import AutonomyLevel
from placet.controls.breakers.rules import claim_probes
from placet.decision.redaction import redacted_decision, redacted_input, withheld_input
from placet.kernel import rule_ids
from placet.kernel.clock import rfc3339
from placet.kernel.model import BudgetState, Decision, Effect
from placet.kernel.state import ZERO_USAGE, PutIfVersion, RequireVersion
from placet.notifications.payload import WebhookType

if TYPE_CHECKING:
    from collections.abc import Iterator

    from placet.approvals.index import IndexEntry
    from placet.audit.records import Commitment
    from placet.decision.context import EvaluationContext
    from placet.decision.evaluation import Evaluated
    from placet.decision.redaction import StoredInput
    from placet.kernel.clock import Clock, IdGenerator
    from placet.kernel.state import Change
    from placet.kernel.steps import Steps


_LEVELS: Final = {level: level.value for level in AutonomyLevel}
"""Level -> its id. An enum computes `value` by two calls in Python."""


@dataclass(frozen=True, slots=True)
class Recorder:
    """Builds decisions and their commitments."""

    clock: Clock
    ids: IdGenerator
    reservation_ttl_seconds: int
    notify: bool = False
    """Whether a change of an approval queues a webhook."""

    def commitment(self, evaluated: Evaluated, indexed: IndexEntry | None, *, guarded: bool) -> Steps[Commitment]:
        """Build the commitment of an evaluated request, in steps.

        `indexed` is the index entry of the action when the decision requires an approval. With `guarded` False the
        commitment is a deny without changes or required versions: it never conflicts.
        """
        context = evaluated.context
        open_request = _open_request(evaluated, indexed)
        decision = self._decision(evaluated, open_request)
        proposal = context.attempt.request.proposal
        stored = yield from redacted_input(context.policy_input, proposal, context.agent_policy)
        redacted = yield from redacted_decision(decision, proposal, context.agent_policy)
        commitment = _commitment(context, redacted, stored, guarded=guarded)
        changes: tuple[Change, ...] = ()
        if guarded and indexed is not None and decision.approval is not None:
            changes = tuple(self._approval_changes(context, redacted, stored.document, indexed, open_request))
        elif guarded:
            changes = tuple(self._changes(context, decision))
        subject = decision.approval.approval_id if decision.approval is not None else decision.used_approval_id
        return replace(commitment, decision=decision, subject=subject, changes=changes)

    def withheld(self, evaluated: Evaluated) -> Commitment:
        """Build a deny that never conflicts and records only identity, tool and run."""
        context = evaluated.context
        decision = self._decision(evaluated, None)
        return _commitment(context, decision, withheld_input(context.proposal, rfc3339(context.now_us)), guarded=False)

    def _decision(self, evaluated: Evaluated, open_request: approval.Approval | None) -> Decision:
        decided_at_us = self.clock.wall_us()
        decision_id = self.ids.decision_id(decided_at_us)
        context, resolution = evaluated.context, evaluated.guarded.resolution
        request, requirement = context.attempt.request, resolution.approval
        if open_request is not None:
            requirement = approval.requirement(open_request)
        elif requirement is not None:
            requirement = replace(requirement, approval_id=approval.approval_id_of(decision_id))
        return Decision(
            decision_id=decision_id,
            effect=resolution.effect,
            rule_id=resolution.rule_id,
            reason=resolution.reason,
            findings=resolution.findings,
            policy_revision=evaluated.revision,
            action_digest=request.proposal.action_digest,
            received_at_us=request.received_at_us,
            decided_at_us=decided_at_us,
            approval=requirement,
            obligations=resolution.obligations.get(resolution.effect, ()) if resolution.obligations else (),
            budgets=_budget_states(context, resolution.effect) if context.charges else (),
            autonomy=_LEVELS[context.autonomy.level] if context.autonomy is not None else "",
            shadow_effect=evaluated.guarded.shadow_effect,
            used_approval_id=_used_approval_id(context) if resolution.effect is Effect.ALLOW else "",
        )

    def _approval_changes(
        self,
        context: EvaluationContext,
        redacted: Decision,
        stored_input: bytes,
        indexed: IndexEntry,
        open_request: approval.Approval | None,
    ) -> Iterator[Change]:
        """Yield the changes of a require_approval: require the open request's version, or open a new request."""
        yield from context.controls.expects
        if open_request is not None:
            key = approval.approval_key(open_request.tenant, open_request.approval_id)
            yield RequireVersion(key, open_request.version)
            return
        request = approval.open_approval(redacted, context.attempt.request.caller, context.proposal, stored_input)
        yield PutIfVersion(index_row(indexed, request.approval_id, redacted.decided_at_us))
        yield from self._put_approval(request, WebhookType.CREATED, redacted)

    def _changes(self, context: EvaluationContext, decision: Decision) -> Iterator[Change]:
        """Yield the changes of an allow or a deny: required versions, reservations, the used approval, probes."""
        yield from context.controls.expects
        if decision.effect is Effect.DENY:
            return
        proposal = context.attempt.request.proposal
        granted = context.approval if decision.rule_id == rule_ids.APPROVAL_GRANTED else None
        overridden = approval.overridden(granted)  # only a granted approval may exceed a budget, not policy
        dry_run = proposal.action.dry_run
        for charge in context.charges:
            yield reserve(charge, dry_run=dry_run, approved=charge.budget.rule_id in overridden)
        if context.charges:
            request, ttl, file = context.attempt.request, self.reservation_ttl_seconds, context.agent_policy
            new_reservation = reservation.open_reservation(
                decision.decision_id,
                proposal,
                request.caller,
                context.charges,
                decision.decided_at_us,
                ttl,
                permit=request.permit or (file is not None and file.permits_always),
            )
            yield PutIfVersion(reservation.to_row(new_reservation))
        if context.approval is not None:
            used = approval.consume(context.approval, decision.decision_id, decision.decided_at_us)
            yield from self._put_approval(used, WebhookType.USED, decision)
        yield from claim_probes(context.probes, decision.decision_id, decision.decided_at_us)

    def _put_approval(self, after: approval.Approval, event_type: WebhookType, decision: Decision) -> Iterator[Change]:
        """Yield the changes that store the approval and queue its webhook."""
        yield PutIfVersion(approval.to_row(after))
        if self.notify:
            yield new_webhook(after, event_type, decision.decided_at_us)


def _open_request(evaluated: Evaluated, indexed: IndexEntry | None) -> approval.Approval | None:
    """Return the open request that the decision waits for.

    None when the decision requires no approval, or when it needs a new request.
    """
    context, resolution = evaluated.context, evaluated.guarded.resolution
    requirement, agent_policy = resolution.approval, context.agent_policy
    if requirement is None:
        return None
    if indexed is None or agent_policy is None:
        raise AssertionError("a require_approval has a tenant's file and an index entry")
    groups = agent_policy.approver_groups
    return still_open(indexed, context.proposal, requirement, resolution.findings, groups, context.now_us)


def _commitment(context: EvaluationContext, redacted: Decision, stored: StoredInput, *, guarded: bool) -> Commitment:
    """Return the record of a decision.

    The record also says which decision the idempotency key returns from now on. A deny instead of a stored allow leaves
    the allow under the key. So does a deny for a lost race (`guarded` False) with a decision that people approved.
    """
    attempt = context.attempt
    replaces = attempt.superseded_decision_id if guarded else ""
    repeats = "" if guarded else attempt.superseded_decision_id
    if attempt.stored_allow is not None:
        repeats = attempt.stored_allow_id
    proposal, caller = attempt.request.proposal, attempt.request.caller
    return decision_commitment(
        redacted, proposal, caller, stored.document, stored.replayable, stored.why_not, replaces, repeats
    )


def _used_approval_id(context: EvaluationContext) -> str:
    """Return the id of the approval that an allow uses up; "" for none.

    A presented approval is used up by any allow, not only by `approvals.granted`: policy saw it, so the allow may
    depend on it.
    """
    return context.approval.approval_id if context.approval is not None else ""


def _budget_states(context: EvaluationContext, effect: Effect) -> tuple[BudgetState, ...]:
    """Return the state after the decision of each budget that the action counts against."""
    allowed = effect is Effect.ALLOW
    states: list[BudgetState] = []
    for charge in context.charges:
        budget = charge.budget
        if budget.id == rule_ids.LIMIT_DURATION:
            continue  # its counter only says when the run started
        reserved = charge.amount if allowed else 0
        usage = context.usages.get(charge.counter, ZERO_USAGE)
        left = max(0, remaining(budget.limit, usage) - reserved)
        states.append(BudgetState(budget.id, budget.unit, budget.limit, left, reserved, charge.resets_at_us))
    return tuple(states)
