"""Each way in which a client gets no decision, as a value. Every one of them is a deny.

The ``pdp.client_*`` ids are given by clients alone: the server never gives or records them. They never change meaning
and are never reused.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final

UNAVAILABLE: Final = "pdp.client_unavailable"
TIMEOUT: Final = "pdp.client_timeout"
OVERLOADED: Final = "pdp.client_overloaded"
INVALID_ARGUMENT: Final = "pdp.client_invalid_argument"
KEY_REUSED: Final = "pdp.client_key_reused"
NOT_PERMITTED: Final = "pdp.client_not_permitted"
NOT_FOUND: Final = "pdp.client_not_found"
NOT_NOW: Final = "pdp.client_not_now"
CONTENTION: Final = "pdp.client_contention"
OUTCOME_DIFFERS: Final = "pdp.client_outcome_differs"
ANSWER_INVALID: Final = "pdp.client_answer_invalid"
EFFECT_UNKNOWN: Final = "pdp.client_effect_unknown"
ERROR: Final = "pdp.client_error"

REASONS: Final = {
    UNAVAILABLE: "Placet could not be reached, or its store failed",
    TIMEOUT: "Placet did not answer before the deadline",
    OVERLOADED: "Placet has too much to do",
    INVALID_ARGUMENT: "The request is not one that Placet accepts",
    KEY_REUSED: "The idempotency_key was used before for another request",
    NOT_PERMITTED: "Placet does not let this caller or this person do that",
    NOT_FOUND: "Placet has no such thing",
    NOT_NOW: "That cannot be done as things stand",
    CONTENTION: "Others changed the same thing at the same time",
    OUTCOME_DIFFERS: "Another outcome was reported for the decision before",
    ANSWER_INVALID: "The answer is not one that a client accepts",
    EFFECT_UNKNOWN: "The answer has an effect that this client does not know",
    ERROR: "The call failed",
}
"""One sentence for people to each id."""


@dataclass(frozen=True, slots=True)
class FieldViolation:
    """One field of the request that is wrong: its path, and what would be right."""

    field: str
    description: str


@dataclass(frozen=True, slots=True)
class Failure:
    """Why there is no decision.

    `rule_id` is a ``pdp.client_*`` id; `detail` is what the server or the transport said; `retryable` that the same
    request may be sent again, after `retry_after_seconds` when the server named a time. `error` is the server's own id
    of what is wrong, such as ``NOTHING_WAS_ALLOWED``; empty when it named none.
    """

    rule_id: str
    detail: str = ""
    violations: tuple[FieldViolation, ...] = ()
    retryable: bool = False
    retry_after_seconds: float | None = None
    error: str = ""

    @property
    def reason(self) -> str:
        """One sentence for people. The server itself names an `error`; without one, nothing of Placet answered."""
        if self.rule_id == UNAVAILABLE and not self.error:
            return "Placet cannot be reached"
        return REASONS[self.rule_id]

    def __str__(self) -> str:
        said = "; ".join(f"{each.field}: {each.description}" for each in self.violations) or self.detail
        return f"{self.reason}: {said}" if said else self.reason
