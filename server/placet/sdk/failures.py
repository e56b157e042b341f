"""Failures: the reasons for which a client has no decision. Each one is a deny.

Only clients use the ``pdp.client_*`` ids: the server never returns or records them. An id never changes its meaning and
is never used again for another one.
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
    OVERLOADED: "Placet is overloaded",
    INVALID_ARGUMENT: "The request is invalid",
    KEY_REUSED: "The idempotency_key was used before for another request",
    NOT_PERMITTED: "Placet does not permit this caller or this person to do that",
    NOT_FOUND: "The requested object does not exist",
    NOT_NOW: "The current state does not permit that",
    CONTENTION: "Other changes to the same object were made at the same time",
    OUTCOME_DIFFERS: "A different outcome was already reported for the decision",
    ANSWER_INVALID: "The response is invalid",
    EFFECT_UNKNOWN: "The response has an effect that this client does not know",
    ERROR: "The call failed",
}
"""One sentence for people, by id."""


@dataclass(frozen=True, slots=True)
class FieldViolation:
    """One invalid field of a request."""

    field: str
    """Path of the field, such as ``action.amount.minor_units`` or ``requests[1].run.step``; empty for the whole."""
    description: str
    """Description of a valid value."""

    def __str__(self) -> str:
        return f"{self.field}: {self.description}" if self.field else f"it {self.description}"


@dataclass(frozen=True, slots=True)
class Failure:
    """Why a call has no result. `str(failure)` is one sentence for people."""

    rule_id: str
    """A ``pdp.client_*`` id."""
    detail: str = ""
    """Text of the server or of the transport."""
    violations: tuple[FieldViolation, ...] = ()
    """The invalid fields, if the request is invalid."""
    retryable: bool = False
    """True if the same request can succeed later."""
    retry_after_seconds: float | None = None
    """Seconds to wait before a retry. None if the server named no time."""
    error: str = ""
    """Stable id of the error on the server, such as ``NOTHING_WAS_ALLOWED``. Empty if the server named none."""

    @property
    def reason(self) -> str:
        """One sentence for people, without the details."""
        # The server always names an `error`. Without one, no Placet server answered, so its store is not the cause.
        if self.rule_id == UNAVAILABLE and not self.error:
            return "Placet cannot be reached"
        return REASONS[self.rule_id]

    def __str__(self) -> str:
        violations = "; ".join(map(str, self.violations))
        detail = violations or self.detail
        return f"{self.reason}: {detail}" if detail else self.reason


CLOSED: Final = Failure(ERROR, "this client is closed")
"""Failure of each call of a closed client."""
