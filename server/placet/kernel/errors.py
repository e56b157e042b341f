"""The errors that Placet raises on purpose, named after gRPC's status codes where one fits.

PlacetError
├── InvalidRequestError          the request breaks the contract; names the fields
├── IdempotencyConflictError     the idempotency key was used before with a different request
├── OutcomeConflictError         a different outcome is already recorded for the decision
├── NotFoundError                the resource does not exist, or belongs to another tenant or caller
├── UnauthenticatedError         the caller did not prove who it is
├── PermissionDeniedError        this caller or person may not make this call or change
├── FailedPreconditionError      the current state does not allow the change
├── AbortedError                 concurrent changes made every attempt fail
├── WatcherTooSlowError          the reader of a stream fell too far behind
├── OverloadedError              the queue is full; retry after the delay that it names
├── RateLimitedError             the caller is beyond its limit; retry after the delay that it names, if any
├── DeadlinePassedError          the caller's deadline passed while the request was queued
├── LedgerUnavailableError       the decision could not be recorded
├── PermitKeysUnavailableError   no key may sign a permit now
├── UnavailableError             the server is shutting down
├── PolicyInvalidError           policy or its configuration cannot be served; says where and how to fix it
│   └── PolicyUnreadableError    the policy cannot be read: no such folder, no permission, a failing disk
└── ConfigurationError           a setting, file or program is missing or wrong; says how to fix it

A denial is not an error: it is a `Decision` with effect deny. An error means that Placet could not decide, or that the
caller may not make the call.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Sequence


class PlacetError(Exception):
    """Root of all errors that Placet raises on purpose."""


@dataclass(frozen=True, slots=True)
class FieldViolation:
    """One field of a request that breaks the contract."""

    field: str
    """Path in the wire message, e.g. ``action.params_json`` or ``requests[3].identity.tenant``. Empty: the whole."""
    description: str
    """What is wrong and what is accepted."""

    def __str__(self) -> str:
        return f"{self.field}: {self.description}" if self.field else f"it {self.description}"


class InvalidRequestError(PlacetError):
    """The request breaks the contract. `violations` lists the wrong fields."""

    def __init__(self, violations: Sequence[FieldViolation]) -> None:
        self.violations = tuple(violations)
        super().__init__("; ".join(map(str, self.violations)))


class IdempotencyConflictError(PlacetError):
    """The idempotency key was used before with a different request."""


class OutcomeConflictError(PlacetError):
    """A different outcome is already recorded for the decision."""


class NotFoundError(PlacetError):
    """The resource does not exist, or belongs to another tenant or caller. Callers cannot tell which."""


class UnauthenticatedError(PlacetError):
    """The caller did not prove who it is. `reason` is a stable id in capitals, e.g. ``CREDENTIAL_EXPIRED``.

    `cause` is for the log alone: it may say more than a stranger should know.
    """

    def __init__(self, reason: str, text: str, cause: str = "") -> None:
        self.reason = reason
        self.cause = cause
        super().__init__(text)


class PermissionDeniedError(PlacetError):
    """This caller or person may not make this call or change.

    `reason` is a stable id in capitals, e.g. ``REQUESTER_MAY_NOT_APPROVE``.
    """

    def __init__(self, reason: str, text: str) -> None:
        self.reason = reason
        super().__init__(text)


class FailedPreconditionError(PlacetError):
    """The current state does not allow the change. `reason` is a stable id in capitals, e.g. ``APPROVAL_ENDED``."""

    def __init__(self, reason: str, text: str) -> None:
        self.reason = reason
        super().__init__(text)


class AbortedError(PlacetError):
    """Concurrent changes to the same state made every attempt fail."""


class WatcherTooSlowError(PlacetError):
    """The reader of a stream fell too far behind. It can resume from its last cursor."""


class OverloadedError(PlacetError):
    """The queue is full. `retry_after_ms` is how long the caller should wait."""

    def __init__(self, retry_after_ms: int) -> None:
        self.retry_after_ms = retry_after_ms
        super().__init__(f"too many requests are waiting; try again in {retry_after_ms} ms")


class RateLimitedError(PlacetError):
    """The caller is beyond a limit for each caller. `retry_after_ms` is how long it should wait.

    It is None where waiting does not help; then `what` says what does.
    """

    def __init__(self, retry_after_ms: int | None, what: str = "the caller is beyond its limit") -> None:
        self.retry_after_ms = retry_after_ms
        super().__init__(what if retry_after_ms is None else f"{what}; try again in {retry_after_ms} ms")


class DeadlinePassedError(PlacetError):
    """The caller's deadline passed while the request was queued. No work was started."""


class LedgerUnavailableError(PlacetError):
    """It is uncertain whether the decision or change was recorded, so no answer is given. It may have been recorded.

    `known` is the cause as callers may see it, a fixed sentence of Placet's; empty when the cause is not known.
    """

    def __init__(self, text: str, known: str = "") -> None:
        self.known = known
        super().__init__(text)


class PermitKeysUnavailableError(PlacetError):
    """No key may sign a permit now, because the keys could not be read for too long."""


class UnavailableError(PlacetError):
    """The server is shutting down and takes no new requests."""


@dataclass(frozen=True, slots=True)
class Diagnostic:
    """One problem in a file."""

    where: str
    """``path[:line[:column]]``."""
    what: str
    remedy: str = ""
    """How to fix it."""

    def __str__(self) -> str:
        return f"{self.where}: {self.what}" + (f" ({self.remedy})" if self.remedy else "")


class PolicyInvalidError(PlacetError):
    """Policy or its configuration cannot be served. `problems` lists why."""

    def __init__(self, problems: Sequence[Diagnostic]) -> None:
        self.problems = tuple(problems)
        super().__init__("\n".join(str(p) for p in self.problems))


class PolicyUnreadableError(PolicyInvalidError):
    """The policy cannot be read, so its content is unknown."""


class ConfigurationError(PlacetError):
    """A setting, file or program is missing or wrong. The text is one line: what, where, and how to fix it."""
