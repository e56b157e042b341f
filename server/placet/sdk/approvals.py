"""Approvals: requests of agents that people approve or reject. Times are in UTC."""

from __future__ import annotations

from dataclasses import dataclass
from enum import StrEnum
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Sequence
    from datetime import datetime

    from placet.sdk.decision import BudgetState, Finding


class ApprovalState(StrEnum):
    """State of an approval. All states but PENDING and APPROVED are final."""

    PENDING = "pending"
    """Waits for votes."""
    APPROVED = "approved"
    """Approved, and not used yet."""
    REJECTED = "rejected"
    EXPIRED = "expired"
    """Too few people voted before the deadline, or the approval was not used in time."""
    CANCELLED = "cancelled"
    USED = "used"
    """A decision allowed the action with it."""
    UNKNOWN = "unknown"
    """A state that this version of the SDK does not know."""


class DecisionState(StrEnum):
    """State of a decision and of its approval or permit."""

    PENDING = "pending"
    """Waits for approval."""
    APPROVED = "approved"
    """Approved: call `authorize` again with the approval_id."""
    REJECTED = "rejected"
    EXPIRED = "expired"
    CANCELLED = "cancelled"
    USED = "used"
    """The approval was used."""
    ALLOWED = "allowed"
    """Allowed, with a permit that is valid."""
    REVOKED = "revoked"
    """The permit was revoked: do not start the call."""
    ENDED = "ended"
    """Denied, or the permit expired. Also a state that this version of the SDK does not know."""


@dataclass(frozen=True, slots=True)
class Person:
    """A person who votes, cancels or views."""

    id: str
    roles: Sequence[str] = ()


@dataclass(frozen=True, slots=True)
class Vote:
    """One person's vote."""

    person: str
    role: str
    """The role that counted. Empty if any person may approve."""
    approve: bool
    """True for a vote in favour, False for one against."""
    reason: str
    at: datetime | None
    void_reason: str = ""
    """Why the vote does not count. Empty if it counts."""


@dataclass(frozen=True, slots=True)
class Approval:
    """A request for approval of one exact action."""

    id: str
    tenant: str
    decision_id: str
    """The decision that requires the approval."""
    state: ApprovalState
    tool: str
    params_json: str
    """Parameters of the action as JSON text. Empty in lists."""
    params_redacted: bool
    """True if values of the parameters are hidden from this viewer."""
    amount: tuple[int, str] | None
    """Minor units and currency, such as ``(4500, "USD")``."""
    scope: str
    environment: str
    destination: str
    dry_run: bool
    agent: str
    user: str
    """The user on whose behalf the agent acts."""
    roles: tuple[str, ...]
    """Roles of the user."""
    delegation: tuple[str, ...]
    """Agents or persons that delegated the work, from the originator on."""
    run_id: str
    workflow: str
    model: str
    """Name of the model that proposed the action."""
    rule_id: str
    """The rule that requires the approval."""
    reason: str
    """Why an approval is required, for people."""
    findings: tuple[Finding, ...]
    policy_revision: str
    action_digest: str
    """Digest of the action, its identity and run. The approval is valid only for them."""
    quorum: int
    """Number of distinct people who must approve."""
    approver_roles: tuple[str, ...]
    """Roles that may approve. Empty if any person may."""
    distinct_roles: bool
    """True if each vote must be cast in a different role."""
    votes: tuple[Vote, ...]
    created_at: datetime | None
    expires_at: datetime | None
    decided_at: datetime | None
    """None while the approval is pending."""
    used_by_decision_id: str
    """The decision that used the approval. Empty before."""
    budgets: tuple[BudgetState, ...]
    """Budgets of the action when the approval was requested."""
    similar: dict[str, int] | None
    """Number of recent decisions about the same tool, by effect. Only from `ApprovalClient.get`."""


@dataclass(frozen=True, slots=True)
class ApprovalPage:
    """One page of approvals, newest first."""

    approvals: tuple[Approval, ...]
    next_page_token: str = ""
    """Token of the next page. Empty on the last page."""


@dataclass(frozen=True, slots=True)
class VoidedVotes:
    """Result of voiding a person's votes."""

    voided: tuple[Approval, ...]
    """Approvals that were not used yet and lost the vote, at most 200."""
    used: tuple[Approval, ...]
    """Approvals with a vote of the person that were used already, at most 200."""
    voided_count: int
    """Number of approvals that were not used yet and lost the vote."""
    used_count: int
    """Number of approvals with a vote of the person that were used already."""
    used_voided_count: int = 0
    """Number of used approvals that lost the vote by this call. The others lost it before."""
    revoked: tuple[str, ...] = ()
    """Ids of the decisions that used such an approval and whose permit is revoked."""
    revoked_count: int = 0
    """Number of decisions whose permit is revoked, with those that `revoked` does not list."""
    tenants_without_groups: tuple[str, ...] = ()
    """Tenants whose file has no `approver_groups`: there, the person can vote again."""


@dataclass(frozen=True, slots=True)
class ApprovalChange:
    """An approval that changed."""

    cursor: str
    """Position in the stream. A watch with this cursor continues after this change."""
    approval: Approval
    """The approval after the change, without parameters."""


@dataclass(frozen=True, slots=True)
class DecisionChange:
    """A change of a decision's state."""

    cursor: str
    """Position in the stream. A watch with this cursor continues after this change."""
    state: DecisionState
    approval_id: str
    """Id of the decision's approval. Empty if it has none."""
    reason: str
    """Reason of a rejection or of a kill switch, for people."""
    at: datetime | None
