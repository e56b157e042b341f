"""What a tool call came to, as its caller reports it."""

from __future__ import annotations

from dataclasses import dataclass
from enum import StrEnum


class OutcomeStatus(StrEnum):
    """What became of an allowed call."""

    SUCCEEDED = "succeeded"
    FAILED = "failed"
    NOT_EXECUTED = "not_executed"
    UNKNOWN = "unknown"


@dataclass(frozen=True, slots=True)
class Outcome:
    """One report. None for what it does not say.

    `tokens` are those beyond the request's. `cost_micros` and `amount_minor_units` are in the currencies of the tenant
    and of the action. `result_digest` is the SHA-256 of the result, or empty.
    """

    status: OutcomeStatus
    latency_ms: int = 0
    tokens: int | None = None
    cost_micros: int | None = None
    amount_minor_units: int | None = None
    error_class: str = ""
    result_digest: str = ""
