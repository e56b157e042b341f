"""What is persisted, and what comes back.

A `Commitment` says what must be durable before an answer is sent. The store turns it into an audit record: it gives it
a place in its writer's chain (see `placet.audit.chain`) and keeps the parts apart, so that a part can be erased later
while the chain, which covers the parts' digests alone, still verifies.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from enum import StrEnum
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from collections.abc import Mapping

    from placet.kernel.model import Decision, Effect
    from placet.kernel.state import Change


class RecordKind(StrEnum):
    """Kinds of audit records. Ids never change meaning and are never reused."""

    DECISION_MADE = "decision.made"
    REQUEST_REFUSED = "request.refused"
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
    SERVER_STARTED = "server.started"
    SERVER_STOPPED = "server.stopped"


@dataclass(frozen=True, slots=True)
class Index:
    """What a decision can be found by. Copies of what stands in the record; `verify` compares them."""

    effect: str = ""
    rule_id: str = ""
    tool: str = ""
    run_id: str = ""
    user: str = ""
    agent: str = ""


@dataclass(frozen=True, slots=True)
class Idempotency:
    """The key of a request, in the scope of tenant and caller, with the digest of its content.

    `replaces` is the decision that the key stood for and that this one takes the place of: an approval was given.
    """

    caller: str
    key: str
    request_digest: str
    replaces: str = ""


@dataclass(frozen=True, slots=True)
class Commitment:
    """One thing to make durable.

    `fields` go into the chained body: nothing personal in them. `parts` are JSON documents kept beside the body, which
    covers their salted digests; personal data belongs there. For a decision the parts are ``input`` (what policy saw,
    redacted) and ``decision`` (findings, approval, obligations). `decision` and `idempotency` are set together, for
    DECISION_MADE alone. `subject` is what somebody may watch: the id of an approval or decision. `changes` are made
    with the record or not at all.
    """

    kind: RecordKind
    tenant: str
    recorded_at_us: int
    fields: Mapping[str, Any]
    parts: Mapping[str, bytes] = field(default_factory=dict)
    index: Index = field(default_factory=Index)
    decision: Decision | None = None
    idempotency: Idempotency | None = None
    subject: str = ""
    changes: tuple[Change, ...] = ()


@dataclass(frozen=True, slots=True)
class Committed:
    """The commitment is durable."""


@dataclass(frozen=True, slots=True)
class IdempotentReplay:
    """The idempotency key is known with the same digest: `decision` is the one given then. Nothing was written."""

    decision: Decision


@dataclass(frozen=True, slots=True)
class IdempotencyMismatch:
    """The idempotency key is known with another digest. Nothing was written."""


@dataclass(frozen=True, slots=True)
class Conflict:
    """What was read is no longer so; `what` did not hold. Nothing was written."""

    what: Change


CommitResult = Committed | IdempotentReplay | IdempotencyMismatch | Conflict


@dataclass(frozen=True, slots=True)
class RecordedDecision:
    """One decision as it stands in the trail. `input_json` is what policy saw, redacted."""

    decision: Decision
    tenant: str
    input_json: bytes
    replayable: bool
    not_replayable_reason: str
    caller: str
    idempotency_key: str
    writer: str
    sequence: int
    record_hash: str


@dataclass(frozen=True, slots=True)
class DecisionQuery:
    """Which decisions, newest first. Empty conditions do not restrict; times are microseconds, 0 is open."""

    tenant: str
    effect: Effect | None = None
    rule_id: str = ""
    tool: str = ""
    run_id: str = ""
    user: str = ""
    agent: str = ""
    decided_from_us: int = 0
    decided_until_us: int = 0
    page_size: int = 50
    page_token: str = ""


@dataclass(frozen=True, slots=True)
class DecisionPage:
    """A page; `next_page_token` is empty on the last."""

    decisions: tuple[RecordedDecision, ...]
    next_page_token: str


@dataclass(frozen=True, slots=True)
class StateDifference:
    """Where state is not what the records make of it. `id` is the row's, or the rest of a counter's key."""

    table: str
    tenant: str
    id: str
    expected: str
    found: str


@dataclass(frozen=True, slots=True)
class StateReport:
    """What was compared: so many rows and counters.

    `unproven` of them may have been changed before records told of state; `since` is from which record on each such
    writer's did.
    """

    rows: int
    counters: int
    unproven: int
    since: tuple[tuple[str, int], ...]


@dataclass(frozen=True, slots=True)
class AuditProblem:
    """One thing wrong with the trail, or with state. `sequence` 0 concerns the whole chain."""

    kind: str
    writer: str
    sequence: int
    detail: str
    state: StateDifference | None = None


@dataclass(frozen=True, slots=True)
class VerifyReport:
    """What a check of the trail found. `state` is None when that was not compared."""

    records: int
    chains: int
    checkpoints: int
    problems: tuple[AuditProblem, ...]
    state: StateReport | None = None

    @property
    def ok(self) -> bool:
        """Whether nothing is wrong."""
        return not self.problems
