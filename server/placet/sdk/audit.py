"""What the audit trail holds, as values."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from datetime import datetime

    from placet.sdk.decision import Decision, Effect


@dataclass(frozen=True, slots=True)
class Query:
    """Which decisions, newest first. Empty conditions do not restrict. Times are aware; `page_size` 0 is 50."""

    tenant: str
    effect: Effect | None = None
    rule_id: str = ""
    tool: str = ""
    run_id: str = ""
    user: str = ""
    agent: str = ""
    decided_from: datetime | None = None
    decided_until: datetime | None = None
    page_size: int = 0
    page_token: str = ""


@dataclass(frozen=True, slots=True)
class RecordedDecision:
    """One decision as it stands in the trail. `event_json` is the tool-call event, `input_json` what policy saw."""

    decision: Decision
    tenant: str
    event_json: str
    input_json: str
    replayable: bool
    not_replayable_reason: str
    received_at: datetime | None
    caller: str
    writer: str
    sequence: int
    record_hash: str


@dataclass(frozen=True, slots=True)
class Page:
    """A page; `next_page_token` is empty on the last."""

    decisions: tuple[RecordedDecision, ...]
    next_page_token: str = ""


@dataclass(frozen=True, slots=True)
class AuditProblem:
    """One thing wrong with the trail. `sequence` 0 concerns the whole chain."""

    kind: str
    writer: str
    sequence: int
    detail: str


@dataclass(frozen=True, slots=True)
class VerifyReport:
    """What a check of the trail found. `problems` holds at most 100."""

    ok: bool
    records: int
    chains: int
    checkpoints: int
    problems: tuple[AuditProblem, ...]
