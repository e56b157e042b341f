"""An approval: a request that people approve or reject one exact action.

::

    pending --quorum reached--> approved --its action is allowed--> used
    pending --one rejection--> rejected
    pending, approved --cancelled--> cancelled
    pending, approved --expires_at--> expired

An approval is open while it is pending or approved. While it is open its row holds the exact parameters, so that people
see what they vote on. When it ends, the row loses the parameters and keeps only what the audit trail holds too.
"""

from __future__ import annotations

from dataclasses import asdict, dataclass, replace
from enum import StrEnum
from typing import TYPE_CHECKING, Any, Final

import orjson
from msgspec import structs

from placet.approvals.binding import binding_parts, differing_parts, is_bound_to
from placet.kernel import rule_ids
from placet.kernel.model import ApprovalRequirement, BudgetState, Effect, Finding
from placet.kernel.state import Row, RowKey, StateTable

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping

    from placet.kernel.model import Caller, Decision, Proposal

_ID_PREFIX: Final = "apr_"
_DECISION_ID_PREFIX: Final = "dec_"


class ApprovalState(StrEnum):
    """The state of an approval."""

    PENDING = "pending"
    APPROVED = "approved"
    REJECTED = "rejected"
    EXPIRED = "expired"
    CANCELLED = "cancelled"
    USED = "used"


OPEN: Final = frozenset({ApprovalState.PENDING, ApprovalState.APPROVED})
"""The states of an approval that has not ended."""


@dataclass(frozen=True, slots=True)
class Vote:
    """One person's vote."""

    person: str
    roles: tuple[str, ...]
    """The roles that the person could vote as."""
    role: str
    """The role that the vote counts for; "" when any role counts."""
    approve: bool
    """True for approve, False for reject."""
    reason: str
    at_us: int
    void_reason: str = ""
    """Why the vote was voided; "" when it was not. A voided vote does not count."""


@dataclass(frozen=True, slots=True)
class Approval:
    """A request for approval of one exact action."""

    approval_id: str
    tenant: str
    decision_id: str
    """The require_approval decision that opened it."""
    state: ApprovalState
    rule_id: str
    reason: str
    findings: tuple[Finding, ...]
    policy_revision: str
    action_digest: str
    parts: Mapping[str, str]
    """Short digests by part of the action, see `binding_parts`. Empty once the approval has ended."""
    quorum: int
    approver_roles: tuple[str, ...]
    """Roles that may vote; () for any role."""
    distinct_roles: bool
    """Whether each vote must come from another role."""
    caller: str
    idempotency_key: str
    action: Mapping[str, Any]
    """The action's document as the audit trail holds it, redacted. So are `identity`, `run` and `model`."""
    identity: Mapping[str, Any]
    run: Mapping[str, Any]
    model: Mapping[str, Any]
    params: bytes | None
    """The exact parameters as canonical JSON while the approval is open, else None."""
    redacted: bool
    """Whether `params` holds values that are redacted in `action`."""
    budgets: tuple[BudgetState, ...]
    override: bool
    """Whether the action exceeds a budget."""
    created_at_us: int
    expires_at_us: int
    votes: tuple[Vote, ...] = ()
    decided_at_us: int = 0
    """When the quorum was reached or a person ended the approval; 0 while neither happened."""
    used_by: str = ""
    """The decision_id of the allow that used the approval."""
    end_reason: str = ""
    """Why a person rejected or cancelled the approval."""
    reopened: int = 0
    """How often voided votes made the approval pending again."""
    version: int = 0
    """The version of the stored row; 0 before it is stored."""

    @property
    def open(self) -> bool:
        """Whether the approval has not ended."""
        return self.state in OPEN

    @property
    def approvals(self) -> tuple[Vote, ...]:
        """The votes to approve, voided ones included."""
        return tuple(vote for vote in self.votes if vote.approve)


def approval_id_of(decision_id: str) -> str:
    """Return the id of the approval that the decision opens."""
    return _ID_PREFIX + decision_id.removeprefix(_DECISION_ID_PREFIX)


def is_approval_id(subject: str) -> bool:
    """Return whether the subject of an event is an approval."""
    return subject.startswith(_ID_PREFIX)


def approval_key(tenant: str, approval_id: str) -> RowKey:
    """Return the key of the approval's row."""
    return RowKey(StateTable.APPROVALS, tenant, approval_id)


def open_approval(decision: Decision, caller: Caller, proposal: Proposal, stored_input: bytes) -> Approval:
    """Return a pending approval for a require_approval decision.

    `decision` and `stored_input` are redacted, as the audit trail holds them.
    """
    required = decision.approval
    if required is None:
        raise AssertionError("only a require_approval opens an approval")
    members = orjson.loads(stored_input)
    return Approval(
        approval_id=required.approval_id,
        tenant=proposal.identity.tenant,
        decision_id=decision.decision_id,
        state=ApprovalState.PENDING,
        rule_id=decision.rule_id,
        reason=decision.reason,
        findings=decision.findings,
        policy_revision=decision.policy_revision,
        action_digest=decision.action_digest,
        parts=binding_parts(proposal),
        quorum=required.quorum,
        approver_roles=required.approver_roles,
        distinct_roles=required.distinct_roles,
        caller=caller.acting,
        idempotency_key=proposal.idempotency_key,
        action=members["action"],
        identity=members["identity"],
        run=members["run"],
        model=members["model"],
        params=proposal.action.params,
        redacted=orjson.dumps(members["action"]["params"], option=orjson.OPT_SORT_KEYS) != proposal.action.params,
        budgets=decision.budgets,
        override=any(_is_exceeded_budget(finding) for finding in decision.findings),
        created_at_us=decision.decided_at_us,
        expires_at_us=required.expires_at_us,
    )


def requirement(approval: Approval) -> ApprovalRequirement:
    """Return the requirement of the approval, for a decision that waits for it."""
    return ApprovalRequirement(
        approval.quorum,
        approval.approver_roles,
        approval.approval_id,
        approval.expires_at_us,
        distinct_roles=approval.distinct_roles,
    )


def why_unusable(approval: Approval | None, proposal: Proposal, now_us: int) -> tuple[str, str] | None:
    """Return the rule_id and reason why the approval cannot be used for the action; None when it can."""
    if approval is None:
        return _reason(rule_ids.APPROVAL_UNKNOWN)
    if not is_bound_to(approval, proposal):
        rule_id, reason = _reason(rule_ids.APPROVAL_DIGEST_MISMATCH)
        parts = differing_parts(approval, proposal)
        differ = "differs" if len(parts) == 1 else "differ"
        return rule_id, f"{reason}: {', '.join(parts)} {differ}" if parts else reason
    if (state := state_at(approval, now_us)) is ApprovalState.APPROVED:
        return None
    rule_id, reason = _reason(_UNUSABLE[state])
    return rule_id, f"{reason}: {approval.end_reason}" if state is ApprovalState.REJECTED else reason


def overridden(approval: Approval | None) -> frozenset[str]:
    """Return the rule ids of the budgets that the approval lets its action exceed.

    These are the budgets that had no room when the approval was opened. Empty for None.
    """
    findings = approval.findings if approval is not None else ()
    return frozenset(finding.rule_id for finding in findings if _is_exceeded_budget(finding))


def covers_exceeded_budgets(approval: Approval, findings: Iterable[Finding]) -> bool:
    """Return whether every budget that is exceeded now was exceeded when the approval was opened."""
    return {finding.rule_id for finding in findings if _is_exceeded_budget(finding)} <= overridden(approval)


def _is_exceeded_budget(finding: Finding) -> bool:
    return finding.effect is Effect.REQUIRE_APPROVAL and finding.rule_id.startswith(rule_ids.BUDGETS_PREFIX)


def state_at(approval: Approval, now_us: int) -> ApprovalState:
    """Return the state at a time: `expired` from `expires_at_us` on, even before the expiry is recorded."""
    return ApprovalState.EXPIRED if approval.open and approval.expires_at_us <= now_us else approval.state


def consume(approval: Approval, decision_id: str, now_us: int) -> Approval:
    """Return the approval as used by the allow `decision_id`. Raises AssertionError when it is not approved."""
    if approval.state is not ApprovalState.APPROVED:
        raise AssertionError("only an approved approval can be used")
    return close(replace(approval, used_by=decision_id), ApprovalState.USED, approval.decided_at_us or now_us)


def close(approval: Approval, state: ApprovalState, decided_at_us: int) -> Approval:
    """Return the approval in a final state, without the exact parameters and the digests of its parts."""
    return replace(approval, state=state, decided_at_us=decided_at_us, params=None, parts={})


def to_row(approval: Approval) -> Row:
    """Return the row to put. It is due at `expires_at_us` while the approval is open."""
    body = {
        **asdict(approval),
        "findings": [structs.asdict(finding) for finding in approval.findings],
        "budgets": [structs.asdict(state) for state in approval.budgets],
        "params": approval.params.decode() if approval.params is not None else None,
    }
    for name in ("approval_id", "tenant", "state", "created_at_us", "version"):
        del body[name]  # they are columns of the row
    for document in (body, *body["votes"]):  # empty fields are left out, so that older servers can read the row
        for name in ("reopened", "void_reason"):
            if not document.get(name):
                document.pop(name, None)
    return Row(
        approval_key(approval.tenant, approval.approval_id),
        approval.state.value,
        approval.created_at_us,
        orjson.dumps(body),
        approval.expires_at_us if approval.open else 0,
        approval.version,
    )


def from_row(row: Row) -> Approval:
    """Return the approval of a row that `to_row` made."""
    body = orjson.loads(row.body)
    body["findings"] = tuple(
        Finding(**{**finding, "effect": Effect(finding["effect"])}) for finding in body["findings"]
    )
    body["votes"] = tuple(Vote(**{**vote, "roles": tuple(vote["roles"])}) for vote in body["votes"])
    body["budgets"] = tuple(BudgetState(**budget) for budget in body["budgets"])
    body["approver_roles"] = tuple(body["approver_roles"])
    body.pop("approver_groups", None)  # only in rows of older versions; the groups of the served file count
    body["params"] = body["params"].encode() if body["params"] is not None else None
    return Approval(
        approval_id=row.key.id,
        tenant=row.key.tenant,
        state=ApprovalState(row.status),
        created_at_us=row.created_at_us,
        version=row.version,
        **body,
    )


_UNUSABLE: Final = {
    ApprovalState.PENDING: rule_ids.APPROVAL_PENDING,
    ApprovalState.REJECTED: rule_ids.APPROVAL_REJECTED,
    ApprovalState.EXPIRED: rule_ids.APPROVAL_EXPIRED,
    ApprovalState.CANCELLED: rule_ids.APPROVAL_CANCELLED,
    ApprovalState.USED: rule_ids.APPROVAL_USED,
}


def _reason(rule_id: str) -> tuple[str, str]:
    return rule_id, rule_ids.CORE_REASONS[rule_id]
