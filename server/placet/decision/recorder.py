"""Step 4 of a decision: from a guarded decision to the commitment that must be durable before the answer leaves."""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import TYPE_CHECKING

from placet.approvals import model as approval
from placet.approvals.index import index_row, still_open
from placet.approvals.records import notice
from placet.audit.decision_codec import decision_commitment
from placet.budgets import reservations as reservation
from placet.budgets.model import remaining, reserve
from placet.controls.breakers.rules import claims
from placet.decision.redaction import redacted_decision, redacted_input, withheld_input
from placet.kernel import rule_ids
from placet.kernel.clock import rfc3339
from placet.kernel.model import BudgetState, Decision, Effect
from placet.kernel.state import ZERO_USAGE, PutIfVersion, RequireVersion
from placet.notifications.payload import WebhookType

if TYPE_CHECKING:
    from collections.abc import Iterator

    from placet.approvals.index import Indexed
    from placet.audit.records import Commitment
    from placet.decision.context import EvaluationContext
    from placet.decision.evaluation import Evaluated
    from placet.decision.redaction import StoredInput
    from placet.kernel.clock import Clock, Ids
    from placet.kernel.state import Change
    from placet.kernel.steps import Steps


@dataclass(frozen=True, slots=True)
class Recorder:
    """Makes a decision of what the guards left, and the commitment of it. `notify`: webhooks follow approvals."""

    clock: Clock
    ids: Ids
    reservation_ttl_seconds: int
    notify: bool = False

    def commitment(self, evaluated: Evaluated, indexed: Indexed | None, *, guarded: bool) -> Steps[Commitment]:
        """What to commit, made in steps. When not `guarded` it is a deny that holds whatever has changed meanwhile.

        `indexed` is what is known of requests for approval of the action, where people are to be asked.
        """
        context = evaluated.context
        waits_for = _open_request(evaluated, indexed)
        decision = self._decision(evaluated, waits_for)
        proposal = context.proposal
        stored = yield from redacted_input(context.policy_input, proposal, context.agent_policy)
        redacted = yield from redacted_decision(decision, proposal, context.agent_policy)
        made = _made(context, redacted, stored, guarded=guarded)
        changes: tuple[Change, ...] = ()
        if guarded and indexed is not None and decision.approval is not None:
            changes = tuple(self._asking(context, redacted, stored.document, indexed, waits_for))
        elif guarded:
            changes = tuple(self._changes(context, decision))
        subject = decision.approval.approval_id if decision.approval is not None else decision.used_approval_id
        return replace(made, decision=decision, subject=subject, changes=changes)

    def withheld(self, evaluated: Evaluated) -> Commitment:
        """A deny that holds whatever has changed, and keeps who asked for what tool in which run: nothing else."""
        context = evaluated.context
        decision = self._decision(evaluated, None)
        return _made(context, decision, withheld_input(context.proposal, rfc3339(context.now_us)), guarded=False)

    def _decision(self, evaluated: Evaluated, waits_for: approval.Approval | None) -> Decision:
        decided_at_us = self.clock.wall_us()
        decision_id = self.ids.decision_id(decided_at_us)
        context, resolution = evaluated.context, evaluated.guarded.resolution
        asked = resolution.approval
        if waits_for is not None:
            asked = approval.requirement(waits_for)
        elif asked is not None:
            asked = replace(asked, approval_id=approval.approval_id_of(decision_id))
        return Decision(
            decision_id=decision_id,
            effect=resolution.effect,
            rule_id=resolution.rule_id,
            reason=resolution.reason,
            findings=resolution.findings,
            policy_revision=evaluated.revision,
            action_digest=context.proposal.action_digest,
            received_at_us=context.attempt.request.received_at_us,
            decided_at_us=decided_at_us,
            approval=asked,
            obligations=resolution.obligations.get(resolution.effect, ()),
            budgets=tuple(_states(context, resolution.effect)),
            autonomy=context.autonomy.level.value if context.autonomy is not None else "",
            shadow_effect=evaluated.guarded.shadow_effect,
            used_approval_id=_used(context) if resolution.effect is Effect.ALLOW else "",
        )

    def _asking(
        self,
        context: EvaluationContext,
        redacted: Decision,
        stored_input: bytes,
        indexed: Indexed,
        waits_for: approval.Approval | None,
    ) -> Iterator[Change]:
        """What must still be so, and what becomes so, when people are asked, or were before and still are."""
        yield from context.controls.expects
        if waits_for is not None:
            yield RequireVersion(approval.approval_key(waits_for.tenant, waits_for.approval_id), waits_for.version)
            return
        asked = approval.opened(redacted, context.attempt.request.caller, context.proposal, stored_input)
        yield PutIfVersion(index_row(indexed, asked.approval_id, redacted.decided_at_us))
        yield from self._kept(asked, WebhookType.CREATED, redacted)

    def _changes(self, context: EvaluationContext, decision: Decision) -> Iterator[Change]:
        """What must still be so, and what becomes so."""
        yield from context.controls.expects
        if decision.effect is Effect.DENY:
            return
        proposal = context.proposal
        granted = context.approval if decision.rule_id == rule_ids.APPROVAL_GRANTED else None
        overridden = approval.overridden(granted)  # what policy allows by itself exceeds nothing
        dry_run = proposal.action.dry_run
        for charge in context.charges:
            yield reserve(charge, dry_run=dry_run, approved=charge.budget.rule_id in overridden)
        if context.charges:
            caller, ttl = context.attempt.request.caller, self.reservation_ttl_seconds
            held = reservation.opened(
                decision.decision_id, proposal, caller, context.charges, decision.decided_at_us, ttl
            )
            yield PutIfVersion(reservation.to_row(held))
        if context.approval is not None:
            used = approval.used(context.approval, decision.decision_id, decision.decided_at_us)
            yield from self._kept(used, WebhookType.USED, decision)
        yield from claims(context.probes, decision.decision_id, decision.decided_at_us)

    def _kept(self, after: approval.Approval, happened: WebhookType, decision: Decision) -> Iterator[Change]:
        """The approval as it is from now on, and whom to tell."""
        yield PutIfVersion(approval.to_row(after))
        if self.notify:
            yield notice(after, happened, decision.decided_at_us)


def _open_request(evaluated: Evaluated, indexed: Indexed | None) -> approval.Approval | None:
    """The request for approval that the action waits for already; None when it asks for none, or for a new one."""
    context, resolution = evaluated.context, evaluated.guarded.resolution
    wanted, agent_policy = resolution.approval, context.agent_policy
    if wanted is None:
        return None
    if indexed is None or agent_policy is None:
        raise AssertionError("a require_approval is of a tenant with a file, and was looked up")
    groups = agent_policy.approver_groups
    return still_open(indexed, context.proposal, wanted, resolution.findings, groups, context.now_us)


def _made(context: EvaluationContext, redacted: Decision, stored: StoredInput, *, guarded: bool) -> Commitment:
    """The record of a decision, and what its key stands for from now on.

    What denies in place of an allow that the key stands for leaves the key to that; so does a deny for a lost race in
    place of what people approved.
    """
    attempt = context.attempt
    replaces = attempt.superseded_decision_id if guarded else ""
    repeats = attempt.stored_allow_id or ("" if guarded else attempt.superseded_decision_id)
    proposal, caller = attempt.proposal, attempt.request.caller
    return decision_commitment(
        redacted, proposal, caller, stored.document, stored.replayable, stored.why_not, replaces, repeats
    )


def _used(context: EvaluationContext) -> str:
    """The approval that an allow uses up: policy saw it, so the allow may rest on it, whatever it is called."""
    return context.approval.approval_id if context.approval is not None else ""


def _states(context: EvaluationContext, effect: Effect) -> Iterator[BudgetState]:
    """Each budget that the action counts against, as it is after the decision."""
    allowed = effect is Effect.ALLOW
    for budget, counter, amount, resets_at_us, *_ in context.charges:
        if budget.id == rule_ids.LIMIT_DURATION:
            continue  # its counter only tells when the run began
        reserved = amount if allowed else 0
        left = max(0, remaining(budget.limit, context.usages.get(counter, ZERO_USAGE)) - reserved)
        yield BudgetState(budget.id, budget.unit, budget.limit, left, reserved, resets_at_us)
