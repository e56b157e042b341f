"""Approvals and what becomes of decisions, as values. Times are aware, in UTC."""

from __future__ import annotations

from dataclasses import dataclass
from enum import StrEnum
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Sequence
    from datetime import datetime

    from placet.sdk.decision import BudgetState, Finding


class ApprovalState(StrEnum):
    """Where a request for approval stands. One that this client does not know is ended."""

    PENDING = "pending"
    APPROVED = "approved"
    REJECTED = "rejected"
    EXPIRED = "expired"
    CANCELLED = "cancelled"
    USED = "used"
    UNKNOWN = "unknown"


class DecisionState(StrEnum):
    """What a decision came to. One that this client does not know is ended."""

    PENDING = "pending"
    APPROVED = "approved"
    REJECTED = "rejected"
    EXPIRED = "expired"
    CANCELLED = "cancelled"
    USED = "used"
    ALLOWED = "allowed"
    REVOKED = "revoked"
    ENDED = "ended"


@dataclass(frozen=True, slots=True)
class Person:
    """Who votes, withdraws or looks, with the roles that it has."""

    id: str
    roles: Sequence[str] = ()


@dataclass(frozen=True, slots=True)
class Vote:
    """One person's word. `role` is the one that counted, empty where any person may approve.

    `void_reason` is why it does not count today, empty when it does.
    """

    person: str
    role: str
    approve: bool
    reason: str
    at: datetime | None
    void_reason: str = ""


@dataclass(frozen=True, slots=True)
class Approval:
    """A request for approval of one exact action, which stands in `params_json`, `amount` and their neighbours.

    `params_redacted`: values of the parameters are hidden from this viewer; in lists, all of them. `amount` is minor
    units and currency, e.g. ``(4500, "USD")``. `similar` is how often each effect was decided lately for the same tool:
    from `ApprovalClient.get` alone.
    """

    id: str
    tenant: str
    decision_id: str
    state: ApprovalState
    tool: str
    params_json: str
    params_redacted: bool
    amount: tuple[int, str] | None
    scope: str
    environment: str
    destination: str
    dry_run: bool
    agent: str
    user: str
    roles: tuple[str, ...]
    delegation: tuple[str, ...]
    run_id: str
    workflow: str
    model: str
    rule_id: str
    reason: str
    findings: tuple[Finding, ...]
    policy_revision: str
    action_digest: str
    quorum: int
    approver_roles: tuple[str, ...]
    distinct_roles: bool
    votes: tuple[Vote, ...]
    created_at: datetime | None
    expires_at: datetime | None
    decided_at: datetime | None
    used_by_decision_id: str
    budgets: tuple[BudgetState, ...]
    similar: dict[str, int] | None


@dataclass(frozen=True, slots=True)
class ApprovalPage:
    """A page, newest first; `next_page_token` is empty on the last."""

    approvals: tuple[Approval, ...]
    next_page_token: str = ""


@dataclass(frozen=True, slots=True)
class VoidedVotes:
    """What became of a person's votes.

    `voided` are the requests that were open, as they stand now, `used` those whose actions were allowed already; the
    first of each, and how many there are. `used_voided_count` of the used ones lost a vote now, the others before.
    `revoked` are decisions that used one and whose permit is revoked, so that their idempotency keys are denied. In the
    `tenants_without_groups` the person may vote on what is asked next.
    """

    voided: tuple[Approval, ...]
    used: tuple[Approval, ...]
    voided_count: int
    used_count: int
    used_voided_count: int = 0
    revoked: tuple[str, ...] = ()
    revoked_count: int = 0
    tenants_without_groups: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True)
class ApprovalChange:
    """An approval that changed, as it stands. `cursor` goes on after it."""

    cursor: str
    approval: Approval


@dataclass(frozen=True, slots=True)
class DecisionChange:
    """What a decision came to. `cursor` goes on after it; `reason` is for people."""

    cursor: str
    state: DecisionState
    approval_id: str
    reason: str
    at: datetime | None
