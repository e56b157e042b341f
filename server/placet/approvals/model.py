"""A request for approval: one exact action that waits for people.

::

    pending --quorum--> approved --its action is allowed--> used
    pending --one no--> rejected
    pending, approved --withdrawn--> cancelled
    pending, approved --expires_at--> expired

While it is pending or approved it is open, and keeps the exact parameters, so that people see what they decide about.
When it ends they go from the row; what is left is what the trail holds too.
"""

from __future__ import annotations

from dataclasses import asdict, dataclass, replace
from enum import StrEnum
from typing import TYPE_CHECKING, Any, Final

import orjson

from placet.approvals.binding import binding_parts, differing, is_bound_to
from placet.kernel import rule_ids
from placet.kernel.model import ApprovalRequirement, BudgetState, Effect, Finding
from placet.kernel.state import Row, RowKey, StateTable

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping

    from placet.kernel.model import Caller, Decision, Proposal

_ID_PREFIX: Final = "apr_"
_DECISION_ID_PREFIX: Final = "dec_"


class ApprovalState(StrEnum):
    """Where a request for approval stands."""

    PENDING = "pending"
    APPROVED = "approved"
    REJECTED = "rejected"
    EXPIRED = "expired"
    CANCELLED = "cancelled"
    USED = "used"


OPEN: Final = frozenset({ApprovalState.PENDING, ApprovalState.APPROVED})
"""States in which something can still happen."""


@dataclass(frozen=True, slots=True)
class Vote:
    """One person's word. `roles` are those that the person could vote as, `role` the one that counted, "" for any.

    `void_reason` is why somebody voided it; a vote that has one counts no longer.
    """

    person: str
    roles: tuple[str, ...]
    role: str
    approve: bool
    reason: str
    at_us: int
    void_reason: str = ""


@dataclass(frozen=True, slots=True)
class Approval:
    """A request for approval.

    `parts` are digests by part of the action, see `approval_binding`. `action`, `identity`, `run` and `model` are
    documents as the trail holds them, redacted; `params` is the exact canonical JSON while the request is open, else
    None, and `redacted` whether it says more than `action` does. `override` says that a budget is exceeded by the
    action, `end_reason` why a person ended it, `reopened` how often voided votes sent it back to wait. `version` is the
    stored row's, 0 before the first.
    """

    approval_id: str
    tenant: str
    decision_id: str
    state: ApprovalState
    rule_id: str
    reason: str
    findings: tuple[Finding, ...]
    policy_revision: str
    action_digest: str
    parts: Mapping[str, str]
    quorum: int
    approver_roles: tuple[str, ...]
    distinct_roles: bool
    caller: str
    idempotency_key: str
    action: Mapping[str, Any]
    identity: Mapping[str, Any]
    run: Mapping[str, Any]
    model: Mapping[str, Any]
    params: bytes | None
    redacted: bool
    budgets: tuple[BudgetState, ...]
    override: bool
    created_at_us: int
    expires_at_us: int
    votes: tuple[Vote, ...] = ()
    decided_at_us: int = 0
    used_by: str = ""
    end_reason: str = ""
    reopened: int = 0
    version: int = 0

    @property
    def open(self) -> bool:
        """Whether something can still happen to it."""
        return self.state in OPEN

    @property
    def approvals(self) -> tuple[Vote, ...]:
        """The votes for it."""
        return tuple(vote for vote in self.votes if vote.approve)


def approval_id_of(decision_id: str) -> str:
    """The id of the approval that a decision asks for."""
    return _ID_PREFIX + decision_id.removeprefix(_DECISION_ID_PREFIX)


def is_approval_id(subject: str) -> bool:
    """Whether what is watched is an approval."""
    return subject.startswith(_ID_PREFIX)


def approval_key(tenant: str, approval_id: str) -> RowKey:
    """Where an approval stands."""
    return RowKey(StateTable.APPROVALS, tenant, approval_id)


def opened(decision: Decision, caller: Caller, proposal: Proposal, stored_input: bytes) -> Approval:
    """The request for the approval that `decision` asks for. It and `stored_input` are as the trail holds them."""
    asked = decision.approval
    if asked is None:
        raise AssertionError("the decision asks for an approval")
    seen = orjson.loads(stored_input)
    return Approval(
        approval_id=asked.approval_id,
        tenant=proposal.identity.tenant,
        decision_id=decision.decision_id,
        state=ApprovalState.PENDING,
        rule_id=decision.rule_id,
        reason=decision.reason,
        findings=decision.findings,
        policy_revision=decision.policy_revision,
        action_digest=decision.action_digest,
        parts=binding_parts(proposal),
        quorum=asked.quorum,
        approver_roles=asked.approver_roles,
        distinct_roles=asked.distinct_roles,
        caller=caller.name,
        idempotency_key=proposal.idempotency_key,
        action=seen["action"],
        identity=seen["identity"],
        run=seen["run"],
        model=seen["model"],
        params=proposal.action.params,
        redacted=orjson.dumps(seen["action"]["params"], option=orjson.OPT_SORT_KEYS) != proposal.action.params,
        budgets=decision.budgets,
        override=any(_asks_to_exceed(each) for each in decision.findings),
        created_at_us=decision.decided_at_us,
        expires_at_us=asked.expires_at_us,
    )


def requirement(approval: Approval) -> ApprovalRequirement:
    """What it asks for, as a decision that waits for it says."""
    return ApprovalRequirement(
        approval.quorum,
        approval.approver_roles,
        approval.approval_id,
        approval.expires_at_us,
        distinct_roles=approval.distinct_roles,
    )


def refusal(approval: Approval | None, proposal: Proposal, now_us: int) -> tuple[str, str] | None:
    """Why presenting the approval cannot allow the action: rule_id and reason. None when it can."""
    if approval is None:
        return _reason(rule_ids.APPROVAL_UNKNOWN)
    if not is_bound_to(approval, proposal):
        rule_id, reason = _reason(rule_ids.APPROVAL_DIGEST_MISMATCH)
        parts = differing(approval, proposal)
        differ = "differs" if len(parts) == 1 else "differ"
        return rule_id, f"{reason}: {', '.join(parts)} {differ}" if parts else reason
    if (state := state_at(approval, now_us)) is ApprovalState.APPROVED:
        return None
    rule_id, reason = _reason(_REFUSED[state])
    return rule_id, f"{reason}: {approval.end_reason}" if state is ApprovalState.REJECTED else reason


def overridden(approval: Approval | None) -> frozenset[str]:
    """Rule ids of the budgets that had no room when people were asked, and that they let the action exceed."""
    findings = approval.findings if approval is not None else ()
    return frozenset(each.rule_id for each in findings if _asks_to_exceed(each))


def knew(approval: Approval, findings: Iterable[Finding]) -> bool:
    """Whether every budget that has no room by now had none when people were asked."""
    return {each.rule_id for each in findings if _asks_to_exceed(each)} <= overridden(approval)


def _asks_to_exceed(finding: Finding) -> bool:
    return finding.effect is Effect.REQUIRE_APPROVAL and finding.rule_id.startswith(rule_ids.BUDGETS_PREFIX)


def state_at(approval: Approval, now_us: int) -> ApprovalState:
    """Where it stands; `expired` from the instant on, also where nobody has written that down yet."""
    return ApprovalState.EXPIRED if approval.open and approval.expires_at_us <= now_us else approval.state


def used(approval: Approval, decision_id: str, now_us: int) -> Approval:
    """It allows its action: this decision. AssertionError when it is not approved."""
    if approval.state is not ApprovalState.APPROVED:
        raise AssertionError("only what is approved is used")
    return ended(replace(approval, used_by=decision_id), ApprovalState.USED, approval.decided_at_us or now_us)


def ended(approval: Approval, state: ApprovalState, decided_at_us: int) -> Approval:
    """At its end, without what was kept for those who decide."""
    return replace(approval, state=state, decided_at_us=decided_at_us, params=None, parts={})


def to_row(approval: Approval) -> Row:
    """The row to put; due when the approval expires, as long as it is open."""
    said = {**asdict(approval), "params": approval.params.decode() if approval.params is not None else None}
    for name in ("approval_id", "tenant", "state", "created_at_us", "version"):
        del said[name]  # they stand in the row's own columns
    for each in (said, *said["votes"]):  # what never happened is left out, so that servers of before read the row
        for name in ("reopened", "void_reason"):
            if not each.get(name):
                each.pop(name, None)
    return Row(
        approval_key(approval.tenant, approval.approval_id),
        approval.state.value,
        approval.created_at_us,
        orjson.dumps(said),
        approval.expires_at_us if approval.open else 0,
        approval.version,
    )


def from_row(row: Row) -> Approval:
    """The approval that `to_row` wrote."""
    said = orjson.loads(row.body)
    said["findings"] = tuple(Finding(**{**each, "effect": Effect(each["effect"])}) for each in said["findings"])
    said["votes"] = tuple(Vote(**{**each, "roles": tuple(each["roles"])}) for each in said["votes"])
    said["budgets"] = tuple(BudgetState(**each) for each in said["budgets"])
    said["approver_roles"] = tuple(said["approver_roles"])
    said.pop("approver_groups", None)  # of rows of before: today's groups hold
    said["params"] = said["params"].encode() if said["params"] is not None else None
    return Approval(
        approval_id=row.key.id,
        tenant=row.key.tenant,
        state=ApprovalState(row.status),
        created_at_us=row.created_at_us,
        version=row.version,
        **said,
    )


_REFUSED: Final = {
    ApprovalState.PENDING: rule_ids.APPROVAL_PENDING,
    ApprovalState.REJECTED: rule_ids.APPROVAL_REJECTED,
    ApprovalState.EXPIRED: rule_ids.APPROVAL_EXPIRED,
    ApprovalState.CANCELLED: rule_ids.APPROVAL_CANCELLED,
    ApprovalState.USED: rule_ids.APPROVAL_USED,
}


def _reason(rule_id: str) -> tuple[str, str]:
    return rule_id, rule_ids.CORE_REASONS[rule_id]
