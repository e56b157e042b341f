"""Audit records before they are stored, and decisions as they are read back.

A `Commitment` describes what must be durable before an answer is sent. The ledger turns it into an audit record: it
appends it to its writer's chain (see `placet.audit.chain`) and stores the parts separately. The chain covers only the
parts' digests, so a part can be erased later and the chain still verifies.
"""

from __future__ import annotations

from dataclasses import dataclass
from enum import StrEnum
from typing import TYPE_CHECKING, Any

from msgspec import Struct, field

if TYPE_CHECKING:
    from collections.abc import Mapping

    from placet.kernel.model import Decision, Effect
    from placet.kernel.state import Change


class RecordKind(StrEnum):
    """Kinds of audit records. Ids never change meaning and are never reused."""

    DECISION_MADE = "decision.made"
    REQUEST_REFUSED = "request.refused"
    ACCESS_REFUSED = "access.refused"
    OUTCOME_REPORTED = "outcome.reported"
    RESERVATION_EXPIRED = "reservation.expired"
    APPROVAL_VOTED = "approval.voted"
    APPROVAL_CANCELLED = "approval.cancelled"
    APPROVAL_EXPIRED = "approval.expired"
    APPROVAL_REFUSED = "approval.refused"
    APPROVAL_VOTES_VOIDED = "approval.votes_voided"
    PERMIT_REVOKED = "permit.revoked"
    KILL_SWITCH_SET = "kill_switch.set"
    KILL_SWITCH_CLEARED = "kill_switch.cleared"
    AUTONOMY_SET = "autonomy.set"
    BUDGET_ADJUSTED = "budget.adjusted"
    EXCESS_ACCEPTED = "excess.accepted"
    EXCESS_DROPPED = "excess.dropped"
    CONTROL_REQUESTED = "control.requested"
    CONTROL_REFUSED = "control.refused"
    KEYS_SWEPT = "idempotency.swept"
    POLICY_ACTIVATED = "policy.activated"
    POLICY_REFUSED = "policy.refused"
    POLICY_HELD = "policy.held"
    POLICY_CONFIRMED = "policy.confirmed"
    TRAIL_RESTARTED = "trail.restarted"
    CLOCK_ACCEPTED = "clock.accepted"
    TOKEN_CREATED = "token.created"  # noqa: S105 - not a secret
    TOKEN_REVOKED = "token.revoked"  # noqa: S105 - not a secret
    PERMIT_KEY_CREATED = "permit_key.created"
    SERVER_STARTED = "server.started"
    SERVER_STOPPED = "server.stopped"


class Index(Struct, frozen=True, gc=False):
    """The fields that decisions can be searched by. Copies of the record's content; `verify` compares them."""

    effect: str = ""
    rule_id: str = ""
    tool: str = ""
    run_id: str = ""
    user: str = ""
    agent: str = ""


class Idempotency(Struct, frozen=True, gc=False):
    """The idempotency key of a request, in the scope of tenant and caller, with the digest of the request."""

    caller: str
    key: str
    request_digest: str
    replaces: str = ""
    """The decision that the key referred to before, when an approval made this one take its place; else empty."""


class Commitment(Struct, frozen=True, gc=False):
    """One thing to make durable."""

    kind: RecordKind
    tenant: str
    recorded_at_us: int
    fields: Mapping[str, Any]
    """Fields of the chained body. They hold no personal data."""
    parts: Mapping[str, bytes] = field(default_factory=dict)
    """JSON documents stored beside the body, which covers their salted digests. Personal data belongs here. A decision
    has the parts ``input`` (what policy saw, redacted) and ``decision`` (findings, approval, obligations)."""
    index: Index = field(default_factory=Index)
    decision: Decision | None = None
    """Set together with `idempotency`, for DECISION_MADE only."""
    idempotency: Idempotency | None = None
    subject: str = ""
    """What can be watched: the id of an approval or a decision; empty for none."""
    changes: tuple[Change, ...] = ()
    """State changes that are made together with the record, or not at all."""


@dataclass(frozen=True, slots=True)
class Committed:
    """The commitment is durable."""


@dataclass(frozen=True, slots=True)
class IdempotentReplay:
    """The idempotency key was used before with the same digest. Nothing was written."""

    decision: Decision
    """The decision that was made then."""


@dataclass(frozen=True, slots=True)
class IdempotencyMismatch:
    """The idempotency key was used before with a different digest. Nothing was written."""


@dataclass(frozen=True, slots=True)
class Conflict:
    """The state changed since it was read. Nothing was written."""

    failed_change: Change
    """The change that did not hold."""


CommitResult = Committed | IdempotentReplay | IdempotencyMismatch | Conflict


@dataclass(frozen=True, slots=True)
class RecordedDecision:
    """One decision as the trail holds it."""

    decision: Decision
    tenant: str
    input_json: bytes
    """What policy saw, redacted."""
    replayable: bool
    not_replayable_reason: str
    caller: str
    idempotency_key: str
    writer: str
    sequence: int
    record_hash: str
    caller_method: str = ""
    """How the caller proved who it is; empty without authentication, like the next three."""
    caller_issuer: str = ""
    user_method: str = ""
    """``asserted`` or ``token``; empty for no user."""
    user_issuer: str = ""


@dataclass(frozen=True, slots=True)
class DecisionQuery:
    """Selects decisions, newest first. Empty conditions do not restrict."""

    tenant: str
    effect: Effect | None = None
    rule_id: str = ""
    tool: str = ""
    run_id: str = ""
    user: str = ""
    agent: str = ""
    caller: str = ""
    person: str = ""
    """A user whom a user token proved. Must not differ from `user` if both are set."""
    decided_from_us: int = 0
    decided_until_us: int = 0
    """Both times are microseconds since the Unix epoch; 0 for no bound."""
    page_size: int = 50
    page_token: str = ""


@dataclass(frozen=True, slots=True)
class DecisionPage:
    """A page of decisions."""

    decisions: tuple[RecordedDecision, ...]
    next_page_token: str
    """Empty on the last page."""


@dataclass(frozen=True, slots=True)
class StateDifference:
    """A row or counter that differs from what the records describe."""

    table: str
    tenant: str
    id: str
    """The row's id, or the rest of a counter's key."""
    expected: str
    found: str


@dataclass(frozen=True, slots=True)
class StateReport:
    """How much state was compared with the records."""

    rows: int
    """Rows that were compared."""
    counters: int
    """Counters that were compared."""
    unproven: int
    """Rows and counters that may have changed before records described state, so they cannot be checked."""
    since: tuple[tuple[str, int], ...]
    """For each such writer: the sequence from which its records describe state."""


@dataclass(frozen=True, slots=True)
class AuditProblem:
    """One problem of the trail or of state."""

    kind: str
    writer: str
    sequence: int
    """0 when it concerns the whole chain."""
    detail: str
    state: StateDifference | None = None


@dataclass(frozen=True, slots=True)
class VerifyReport:
    """The result of a verification."""

    records: int
    chains: int
    checkpoints: int
    problems: tuple[AuditProblem, ...]
    state: StateReport | None = None
    """None when state was not compared."""

    @property
    def ok(self) -> bool:
        """Whether there are no problems."""
        return not self.problems
