"""Maps errors to gRPC statuses. This is the only place that does. Inner causes are logged, never sent."""

from __future__ import annotations

from typing import TYPE_CHECKING, Final, NoReturn

from google.protobuf import any_pb2, duration_pb2
from google.rpc import code_pb2, error_details_pb2, status_pb2
from grpc_status import rpc_status

from placet.kernel.errors import (
    AbortedError,
    DeadlinePassedError,
    FailedPreconditionError,
    FieldViolation,
    IdempotencyConflictError,
    InvalidRequestError,
    LedgerUnavailableError,
    NotFoundError,
    OutcomeConflictError,
    OverloadedError,
    PermissionDeniedError,
    PermitKeysUnavailableError,
    PlacetError,
    RateLimitedError,
    UnauthenticatedError,
    UnavailableError,
    WatcherTooSlowError,
)
from placet.kernel.limits import RETRY_AFTER_MS

if TYPE_CHECKING:
    from collections.abc import Sequence

    from google.protobuf.message import Message

    from placet.transport.grpc.context import Context

DOMAIN: Final = "placet"
"""ErrorInfo.domain of every error."""
STATUS_BYTES_MAX: Final = 2_048
"""Bytes of fields and descriptions in a status. It carries them twice, in base64 and as text; clients accept 8 KiB."""
_FRAME_BYTES: Final = 8
_NOT_DECIDED: Final = (
    "it is not certain that the decision was recorded, so it is not given; try again with the same idempotency_key"
)
_NOT_CHANGED: Final = "the change may have been made or not: look first, then try again"
_NOT_READ: Final = "the data could not be read; try again"
_DECIDING: Final = "Authorize"
_READING: Final = ("Get", "List", "Query", "Verify", "Watch")
"""Prefixes of the methods that decide, and of those that change nothing."""
_STATUS: Final[dict[type[PlacetError], tuple[int, str, str]]] = {
    InvalidRequestError: (code_pb2.INVALID_ARGUMENT, "INVALID_REQUEST", ""),
    IdempotencyConflictError: (code_pb2.ALREADY_EXISTS, "IDEMPOTENCY_KEY_REUSED", ""),
    OutcomeConflictError: (code_pb2.ALREADY_EXISTS, "OUTCOME_DIFFERS", ""),
    NotFoundError: (code_pb2.NOT_FOUND, "NOT_FOUND", ""),
    UnauthenticatedError: (code_pb2.UNAUTHENTICATED, "", ""),
    PermissionDeniedError: (code_pb2.PERMISSION_DENIED, "", ""),
    FailedPreconditionError: (code_pb2.FAILED_PRECONDITION, "", ""),
    AbortedError: (code_pb2.ABORTED, "CONTENTION", ""),
    RateLimitedError: (code_pb2.RESOURCE_EXHAUSTED, "RATE_LIMITED", ""),
    OverloadedError: (code_pb2.RESOURCE_EXHAUSTED, "OVERLOADED", ""),
    DeadlinePassedError: (code_pb2.DEADLINE_EXCEEDED, "DEADLINE_PASSED", ""),
    WatcherTooSlowError: (code_pb2.UNAVAILABLE, "WATCHER_TOO_SLOW", ""),
    PermitKeysUnavailableError: (code_pb2.UNAVAILABLE, "PERMIT_KEYS_UNAVAILABLE", ""),
    UnavailableError: (code_pb2.UNAVAILABLE, "SHUTTING_DOWN", ""),
    LedgerUnavailableError: (code_pb2.UNAVAILABLE, "LEDGER_UNAVAILABLE", _NOT_DECIDED),
}
"""Error -> gRPC code, ErrorInfo.reason (stable), and the text to send ("" sends the text of the error)."""
_RETRYABLE: Final = frozenset({code_pb2.RESOURCE_EXHAUSTED, code_pb2.UNAVAILABLE, code_pb2.ABORTED})


async def abort(context: Context, status: status_pb2.Status) -> NoReturn:
    """End the call with the status. grpc.aio has no abort_with_status, so this sets its two parts."""
    rich = rpc_status.to_status(status)
    await context.abort(rich.code, rich.details, rich.trailing_metadata)
    raise AssertionError("abort raises")


def status_of(error: PlacetError, method: str = _DECIDING) -> status_pb2.Status:
    """Return the google.rpc.Status of an error, with ErrorInfo, and BadRequest or RetryInfo where they apply.

    `method` is the name of the RPC. It decides how the status describes a failure of the ledger.
    """
    code, reason, text = _STATUS[type(error)]
    if isinstance(error, LedgerUnavailableError):
        text = _unavailable_text(error, method)
    if isinstance(error, UnauthenticatedError | PermissionDeniedError | FailedPreconditionError):
        reason = error.reason
    details: list[Message] = [_info(reason)]
    if isinstance(error, InvalidRequestError):
        error = shortened(error)
        details.append(_bad_request(error))
    if code in _RETRYABLE and (delay_ms := getattr(error, "retry_after_ms", RETRY_AFTER_MS)) is not None:
        details.append(_retry_info(delay_ms))
    return _status(code, text or str(error), details)


def shortened(error: InvalidRequestError) -> InvalidRequestError:
    """Return the error with as many violations as fit into a status: gRPC drops one with more metadata than 8 KiB."""
    violations: list[FieldViolation] = []
    room = STATUS_BYTES_MAX
    for violation in error.violations:
        room -= len(violation.field.encode()) + len(violation.description.encode()) + _FRAME_BYTES
        if room < 0:
            break
        violations.append(violation)
    if len(violations) < len(error.violations):
        violations.append(FieldViolation("", f"{len(error.violations) - len(violations)} more fields are wrong"))
    return InvalidRequestError(violations)


def _unavailable_text(error: LedgerUnavailableError, method: str) -> str:
    text = _NOT_DECIDED
    if not method.startswith(_DECIDING):
        text = _NOT_READ if method.startswith(_READING) else _NOT_CHANGED
    return f"{error.known}; {text}" if error.known else text


def _bad_request(error: InvalidRequestError) -> error_details_pb2.BadRequest:
    violations = [
        error_details_pb2.BadRequest.FieldViolation(field=violation.field, description=violation.description)
        for violation in error.violations
    ]
    return error_details_pb2.BadRequest(field_violations=violations)


def _retry_info(delay_ms: int) -> error_details_pb2.RetryInfo:
    delay = duration_pb2.Duration()
    delay.FromMilliseconds(delay_ms)
    return error_details_pb2.RetryInfo(retry_delay=delay)


def _info(reason: str) -> error_details_pb2.ErrorInfo:
    return error_details_pb2.ErrorInfo(reason=reason, domain=DOMAIN)


def _status(code: int, message: str, details: Sequence[Message]) -> status_pb2.Status:
    packed = []
    for detail in details:
        wrapper = any_pb2.Any()
        wrapper.Pack(detail)
        packed.append(wrapper)
    return status_pb2.Status(code=code, message=message, details=packed)


INTERNAL: Final = _status(code_pb2.INTERNAL, "internal error; the server's log has the cause", [_info("INTERNAL")])
"""The status of an unexpected exception."""
NO_MESSAGE: Final = _status(
    code_pb2.INVALID_ARGUMENT, "the call has no message; send one request", [_info("INVALID_REQUEST")]
)
"""The status of a call that ends before its request message."""
