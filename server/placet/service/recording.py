"""Step 4 of a decision: from an outcome to the decision, and what must be durable before it is told."""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import TYPE_CHECKING

from placet.core import approval, reservation, rule_ids
from placet.core.approval_index import index_row, still_open
from placet.core.approval_records import notice
from placet.core.breakers import claims
from placet.core.budgets import remaining, reserve
from placet.core.changes import UNUSED, Expect, Put
from placet.core.model import BudgetState, Decision, Effect
from placet.core.policy_input import rfc3339
from placet.core.record_codec import decision_commitment
from placet.core.webhook_payload import WebhookType
from placet.service.redaction import redacted_decision, redacted_input, withheld_input

if TYPE_CHECKING:
    from collections.abc import Iterator

    from placet.core.approval_index import Indexed
    from placet.core.changes import Change
    from placet.core.judge import Judgement, Standing
    from placet.core.ports import Clock, Ids
    from placet.core.records import Commitment
    from placet.core.steps import Steps
    from placet.service.gathering import Case
    from placet.service.redaction import StoredInput


@dataclass(frozen=True, slots=True)
class Recorder:
    """Makes decisions of outcomes, and commitments of decisions. `notify`: there are webhooks to tell of approvals."""

    clock: Clock
    ids: Ids
    reservation_ttl_seconds: int
    notify: bool = False

    def commitment(
        self, case: Case, judgement: Judgement, revision: str, indexed: Indexed | None, *, guarded: bool
    ) -> Steps[Commitment]:
        """What to commit, made in steps. When not `guarded` it is a deny that holds whatever has changed meanwhile.

        `indexed` is what is known of requests for approval of the action, where people are to be asked.
        """
        waits_for = _open_request(case, judgement, indexed)
        decision = self._decision(case, judgement, revision, waits_for)
        proposal = case.attempt.proposal
        kept = yield from redacted_input(case.seen, proposal, case.agent_policy)
        told = yield from redacted_decision(decision, proposal, case.agent_policy)
        made = _made(case, told, kept, guarded=guarded)
        changes: tuple[Change, ...] = ()
        if guarded and indexed is not None and decision.approval is not None:
            changes = tuple(self._asking(case, told, kept.document, indexed, waits_for))
        elif guarded:
            changes = tuple(self._changes(case, decision))
        subject = decision.approval.approval_id if decision.approval is not None else decision.used_approval_id
        return replace(made, decision=decision, subject=subject, changes=changes)

    def withheld(self, case: Case, judgement: Judgement, revision: str) -> Commitment:
        """A deny that holds whatever has changed, and keeps who asked for what tool in which run: nothing else."""
        decision = self._decision(case, judgement, revision, None)
        return _made(case, decision, withheld_input(case.attempt.proposal, rfc3339(case.now_us)), guarded=False)

    def _decision(
        self, case: Case, judgement: Judgement, revision: str, waits_for: approval.Approval | None
    ) -> Decision:
        decided_at_us = self.clock.wall_us()
        decision_id = self.ids.decision_id(decided_at_us)
        outcome, standing = judgement.outcome, case.standing
        asked = outcome.approval
        if waits_for is not None:
            asked = approval.requirement(waits_for)
        elif asked is not None:
            asked = replace(asked, approval_id=approval.approval_id_of(decision_id))
        return Decision(
            decision_id=decision_id,
            effect=outcome.effect,
            rule_id=outcome.rule_id,
            reason=outcome.reason,
            findings=outcome.findings,
            policy_revision=revision,
            action_digest=case.attempt.proposal.action_digest,
            received_at_us=case.attempt.request.received_at_us,
            decided_at_us=decided_at_us,
            approval=asked,
            budgets=tuple(_states(standing, outcome.effect)) if standing is not None else (),
            autonomy=standing.autonomy.level.value if standing is not None else "",
            shadow_effect=judgement.shadow_effect,
            used_approval_id=_used(case) if outcome.effect is Effect.ALLOW else "",
        )

    def _asking(
        self, case: Case, told: Decision, stored_input: bytes, indexed: Indexed, waits_for: approval.Approval | None
    ) -> Iterator[Change]:
        """What must still be so, and what becomes so, when people are asked, or were before and still are."""
        yield from case.controls.expects
        if waits_for is not None:
            yield Expect(approval.approval_key(waits_for.tenant, waits_for.approval_id), waits_for.version)
            return
        asked = approval.opened(told, case.attempt.request.caller, case.attempt.proposal, stored_input)
        yield Put(index_row(indexed, asked.approval_id, told.decided_at_us))
        yield from self._kept(asked, WebhookType.CREATED, told)

    def _changes(self, case: Case, decision: Decision) -> Iterator[Change]:
        """What must still be so, and what becomes so."""
        yield from case.controls.expects
        standing = case.standing
        if standing is None or decision.effect is Effect.DENY:
            return
        proposal = standing.proposal
        granted = standing.approval if decision.rule_id == rule_ids.APPROVAL_GRANTED else None
        overridden = approval.overridden(granted)  # what policy allows by itself exceeds nothing
        dry_run = proposal.action.dry_run
        for charge in standing.charges:
            yield reserve(charge, dry_run=dry_run, approved=charge.budget.rule_id in overridden)
        if standing.charges:
            caller, ttl = case.attempt.request.caller, self.reservation_ttl_seconds
            held = reservation.opened(
                decision.decision_id, proposal, caller, standing.charges, decision.decided_at_us, ttl
            )
            yield Put(reservation.to_row(held))
        if standing.approval is not None:
            used = approval.used(standing.approval, decision.decision_id, decision.decided_at_us)
            yield from self._kept(used, WebhookType.USED, decision)
        yield from claims(case.probes, decision.decision_id, decision.decided_at_us)

    def _kept(self, after: approval.Approval, happened: WebhookType, decision: Decision) -> Iterator[Change]:
        """The approval as it is from now on, and whom to tell."""
        yield Put(approval.to_row(after))
        if self.notify:
            yield notice(after, happened, decision.decided_at_us)


def _open_request(case: Case, judgement: Judgement, indexed: Indexed | None) -> approval.Approval | None:
    """The request for approval that the action waits for already; None when it asks for none, or for a new one."""
    wanted, standing = judgement.outcome.approval, case.standing
    if wanted is None:
        return None
    if indexed is None or standing is None:
        raise AssertionError("who asks people has a file, and was looked up")
    groups = standing.agent_policy.approver_groups
    return still_open(indexed, standing.proposal, wanted, judgement.outcome.findings, groups, case.now_us)


def _made(case: Case, told: Decision, kept: StoredInput, *, guarded: bool) -> Commitment:
    """The record of a decision, and what its key stands for from now on.

    What denies in place of an allow that the key stands for leaves the key to that; so does a deny for a lost race in
    place of what people approved.
    """
    attempt = case.attempt
    replaces = attempt.replaces if guarded else ""
    repeats = attempt.repeats.decision_id if attempt.repeats is not None else "" if guarded else attempt.replaces
    proposal, caller = attempt.proposal, attempt.request.caller
    return decision_commitment(told, proposal, caller, kept.document, kept.replayable, kept.why_not, replaces, repeats)


def _used(case: Case) -> str:
    """The approval that an allow uses up: policy saw it, so the allow may rest on it, whatever it is called."""
    approved = case.standing.approval if case.standing is not None else None
    return approved.approval_id if approved is not None else ""


def _states(standing: Standing, effect: Effect) -> Iterator[BudgetState]:
    """Each budget that the action counts against, as it is after the decision."""
    allowed = effect is Effect.ALLOW
    for budget, counter, amount, resets_at_us, *_ in standing.charges:
        if budget.id == rule_ids.LIMIT_DURATION:
            continue  # its counter only tells when the run began
        reserved = amount if allowed else 0
        left = max(0, remaining(budget.limit, standing.usages.get(counter, UNUSED)) - reserved)
        yield BudgetState(budget.id, budget.unit, budget.limit, left, reserved, resets_at_us)
