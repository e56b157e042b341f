"""The audit trail: queries, recorded decisions, and reports of its verification. Times are in UTC."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from datetime import datetime

    from placet.sdk.decision import Decision, Effect


@dataclass(frozen=True, slots=True)
class Query:
    """Query for recorded decisions of one tenant. Each condition that is not empty must match."""

    tenant: str
    effect: Effect | None = None
    rule_id: str = ""
    """The rule that decided."""
    tool: str = ""
    run_id: str = ""
    user: str = ""
    agent: str = ""
    decided_from: datetime | None = None
    """Start of the period, inclusive. Must have a time zone."""
    decided_until: datetime | None = None
    """End of the period, exclusive. Must have a time zone."""
    page_size: int = 0
    """Maximum number of decisions in the page. 0 means 50; the maximum is 500."""
    page_token: str = ""
    """`Page.next_page_token` of the previous page. Empty for the first page."""
    caller: str = ""
    """The caller that sent the request."""
    person: str = ""
    """The person on whose behalf the agent acted, whom a user token proved."""


@dataclass(frozen=True, slots=True)
class RecordedDecision:
    """One decision as the audit trail recorded it."""

    decision: Decision
    """The decision, without permit, budgets and obligations."""
    tenant: str
    event_json: str
    """The tool-call event as JSON. Its member `result` is null until an outcome is reported."""
    input_json: str
    """The policy input as JSON, with sensitive values redacted."""
    replayable: bool
    """True if `input_json` is exactly the policy input."""
    not_replayable_reason: str
    received_at: datetime | None
    caller: str
    """The authenticated caller, or ``unauthenticated``."""
    writer: str
    """The chain of the record: the name of a replica."""
    sequence: int
    """Position in the chain, from 1."""
    record_hash: str
    """SHA-256 of the record in its chain, in hex."""
    caller_method: str = ""
    """How the caller proved who it is: ``token``, ``jwt`` or ``certificate``. Empty without authentication."""
    caller_issuer: str = ""
    """Issuer of the caller's JWT or certificate. Empty for an access token."""
    user_method: str = ""
    """How the user is known: ``asserted`` by the caller, or proven by a user ``token``. Empty for no user."""
    user_issuer: str = ""
    """Issuer of the user token."""


@dataclass(frozen=True, slots=True)
class Page:
    """One page of recorded decisions, newest first."""

    decisions: tuple[RecordedDecision, ...]
    next_page_token: str = ""
    """Token of the next page. Empty on the last page."""


@dataclass(frozen=True, slots=True)
class AuditProblem:
    """One error in the audit trail."""

    kind: str
    """Stable id, such as ``hash_mismatch``."""
    writer: str
    """The chain."""
    sequence: int
    """Position in the chain. 0 if the error concerns the whole chain."""
    detail: str
    """Description for people."""


@dataclass(frozen=True, slots=True)
class VerifyReport:
    """Result of the verification of an audit trail."""

    ok: bool
    """True if no error was found."""
    records: int
    """Number of verified records."""
    chains: int
    """Number of verified chains."""
    checkpoints: int
    """Number of checkpoints whose signature and content were verified."""
    problems: tuple[AuditProblem, ...]
    """The errors, at most 100."""
