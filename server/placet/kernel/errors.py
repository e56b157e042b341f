"""Every error that Placet raises on purpose.

PlacetError
├── InvalidRequestError          the caller broke the contract; names the fields
├── IdempotencyConflictError     an idempotency key came again with another request
├── OutcomeConflictError         another outcome was reported for the decision
├── NotFoundError                there is no such thing, or it belongs to somebody else
├── PermissionDeniedError        this person may not do that
├── FailedPreconditionError      it cannot be done as things stand
├── AbortedError                 others changed the same thing at the same time, again and again
├── WatcherTooSlowError          more happened than a stream was read for
├── OverloadedError              the queue is full; try again after a while
├── DeadlinePassedError          the caller's time was over before its turn came
├── LedgerUnavailableError       the decision could not be recorded
├── UnavailableError             the server is draining
├── PolicyInvalidError           policy or its configuration cannot be served; says where and how to mend it
│   └── PolicyUnreadableError    it could not even be looked at: no such folder, no permission, a disk that fails
└── ConfigurationError           a setting, file or program is missing or wrong; says how to mend it

A "no" is never an error: it is a `Decision` with effect deny. An error means "could not decide" or "may not ask".
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Sequence


class PlacetError(Exception):
    """Root of all errors raised on purpose."""


@dataclass(frozen=True, slots=True)
class FieldViolation:
    """One field of a request that breaks the contract.

    `field` is the path in the wire message, e.g. ``action.params_json`` or ``requests[3].identity.tenant``;
    `description` says what is wrong and what would be right.
    """

    field: str
    description: str


class InvalidRequestError(PlacetError):
    """The caller broke the contract."""

    def __init__(self, violations: Sequence[FieldViolation]) -> None:
        self.violations = tuple(violations)
        super().__init__("; ".join(f"{v.field}: {v.description}" for v in self.violations))


class IdempotencyConflictError(PlacetError):
    """An idempotency key came again with another request."""


class OutcomeConflictError(PlacetError):
    """Another outcome was reported for the decision."""


class NotFoundError(PlacetError):
    """There is no such thing, or it belongs to another tenant or caller: nobody is told which."""


class PermissionDeniedError(PlacetError):
    """This person may not do that. `reason` is a stable id in capitals, such as ``REQUESTER_MAY_NOT_APPROVE``."""

    def __init__(self, reason: str, text: str) -> None:
        self.reason = reason
        super().__init__(text)


class FailedPreconditionError(PlacetError):
    """It cannot be done as things stand. `reason` is a stable id in capitals, such as ``APPROVAL_ENDED``."""

    def __init__(self, reason: str, text: str) -> None:
        self.reason = reason
        super().__init__(text)


class AbortedError(PlacetError):
    """Others changed the same thing at the same time, as often as it was tried."""


class WatcherTooSlowError(PlacetError):
    """More happened than a stream was read for; whoever reads it goes on with its cursor."""


class OverloadedError(PlacetError):
    """The queue is full."""

    def __init__(self, retry_after_ms: int) -> None:
        self.retry_after_ms = retry_after_ms
        super().__init__(f"too many requests are waiting; try again in {retry_after_ms} ms")


class DeadlinePassedError(PlacetError):
    """The caller's time was over before its turn came: nothing was begun."""


class LedgerUnavailableError(PlacetError):
    """It is not certain that the decision or change was recorded, so no answer is given; it may have been.

    `known` says why, as far as callers may be told: a sentence of Placet's own, "" when it is not known.
    """

    def __init__(self, text: str, known: str = "") -> None:
        self.known = known
        super().__init__(text)


class UnavailableError(PlacetError):
    """The server is draining and takes no new requests."""


@dataclass(frozen=True, slots=True)
class Diagnostic:
    """One thing wrong in a file: `where` is ``path[:line[:column]]``, `remedy` says how to mend it."""

    where: str
    what: str
    remedy: str = ""

    def __str__(self) -> str:
        return f"{self.where}: {self.what}" + (f" ({self.remedy})" if self.remedy else "")


class PolicyInvalidError(PlacetError):
    """Policy or its configuration cannot be served."""

    def __init__(self, problems: Sequence[Diagnostic]) -> None:
        self.problems = tuple(problems)
        super().__init__("\n".join(str(p) for p in self.problems))


class PolicyUnreadableError(PolicyInvalidError):
    """Policy could not even be looked at, so nobody knows what stands there."""


class ConfigurationError(PlacetError):
    """A setting, file or program is missing or wrong. One line: what, where, and how to mend it."""
