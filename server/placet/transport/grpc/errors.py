"""The one place where errors become gRPC statuses. Inner causes are logged, never sent."""

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
    PlacetError,
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
"""Of fields and descriptions. They go twice, once in base64 and once as text; clients take 8 KiB of metadata."""
_FRAME_BYTES: Final = 8
_NOT_DECIDED: Final = (
    "it is not certain that the decision was recorded, so it is not given; try again with the same idempotency_key"
)
_NOT_CHANGED: Final = "the change may have been made or not: look first, then try again"
_NOT_READ: Final = "that could not be read; try again"
_DECIDING: Final = "Authorize"
_READING: Final = ("Get", "List", "Query", "Verify", "Watch")
"""How the names of requests begin that ask for a decision, or that change nothing."""
_STATUS: Final[dict[type[PlacetError], tuple[int, str, str]]] = {
    InvalidRequestError: (code_pb2.INVALID_ARGUMENT, "INVALID_REQUEST", ""),
    IdempotencyConflictError: (code_pb2.ALREADY_EXISTS, "IDEMPOTENCY_KEY_REUSED", ""),
    OutcomeConflictError: (code_pb2.ALREADY_EXISTS, "OUTCOME_DIFFERS", ""),
    NotFoundError: (code_pb2.NOT_FOUND, "NOT_FOUND", ""),
    PermissionDeniedError: (code_pb2.PERMISSION_DENIED, "", ""),
    FailedPreconditionError: (code_pb2.FAILED_PRECONDITION, "", ""),
    AbortedError: (code_pb2.ABORTED, "CONTENTION", ""),
    OverloadedError: (code_pb2.RESOURCE_EXHAUSTED, "OVERLOADED", ""),
    DeadlinePassedError: (code_pb2.DEADLINE_EXCEEDED, "DEADLINE_PASSED", ""),
    WatcherTooSlowError: (code_pb2.UNAVAILABLE, "WATCHER_TOO_SLOW", ""),
    UnavailableError: (code_pb2.UNAVAILABLE, "SHUTTING_DOWN", ""),
    LedgerUnavailableError: (code_pb2.UNAVAILABLE, "LEDGER_UNAVAILABLE", _NOT_DECIDED),
}
"""Error -> gRPC code, ErrorInfo.reason (stable), and the text that is sent ("" takes the error's own)."""


async def refuse(context: Context, error: PlacetError, asked: type[Message]) -> NoReturn:
    """End the call, whose request is `asked`, with the status of the error."""
    await _abort(context, status_of(error, asked.__name__))
    raise AssertionError("abort_with_status raises")


async def not_found(context: Context, what: str) -> NoReturn:
    """End the call with NOT_FOUND."""
    status = _status(code_pb2.NOT_FOUND, what, [_info("NOT_FOUND")])
    await _abort(context, status)
    raise AssertionError("abort_with_status raises")


async def turn_away(context: Context, error: OverloadedError) -> NoReturn:
    """End a call that was not begun, with the time to wait."""
    await _abort(context, status_of(error))
    raise AssertionError("abort raises")


async def no_message(context: Context) -> NoReturn:
    """End a call that came without a message."""
    await _abort(context, _status(code_pb2.INVALID_ARGUMENT, "the call has no message", [_info("INVALID_REQUEST")]))
    raise AssertionError("abort raises")


async def failed(context: Context) -> NoReturn:
    """End the call with INTERNAL: a fault of Placet's own, whose cause is in the log alone."""
    text = "internal error; the server's log has the cause"
    await _abort(context, _status(code_pb2.INTERNAL, text, [_info("INTERNAL")]))
    raise AssertionError("abort raises")


async def _abort(context: Context, status: status_pb2.Status) -> None:
    """End the call; grpc.aio has no abort_with_status, so its two parts are set here."""
    rich = rpc_status.to_status(status)
    await context.abort(rich.code, rich.details, rich.trailing_metadata)


def status_of(error: PlacetError, asked: str = _DECIDING) -> status_pb2.Status:
    """google.rpc.Status with ErrorInfo, and BadRequest or RetryInfo where they help. `asked` names the request."""
    code, reason, text = _STATUS[type(error)]
    if text == _NOT_DECIDED and not asked.startswith(_DECIDING):
        text = _NOT_READ if asked.startswith(_READING) else _NOT_CHANGED
    if isinstance(error, LedgerUnavailableError) and error.known:
        text = f"{error.known}; {text}"
    if isinstance(error, PermissionDeniedError | FailedPreconditionError):
        reason = error.reason
    details: list[Message] = [_info(reason)]
    if isinstance(error, InvalidRequestError):
        error = told_of(error)
        violations = [
            error_details_pb2.BadRequest.FieldViolation(field=each.field, description=each.description)
            for each in error.violations
        ]
        details.append(error_details_pb2.BadRequest(field_violations=violations))
    if code in {code_pb2.RESOURCE_EXHAUSTED, code_pb2.UNAVAILABLE, code_pb2.ABORTED}:
        delay = duration_pb2.Duration()
        delay.FromMilliseconds(error.retry_after_ms if isinstance(error, OverloadedError) else RETRY_AFTER_MS)
        details.append(error_details_pb2.RetryInfo(retry_delay=delay))
    return _status(code, text or str(error), details)


def told_of(error: InvalidRequestError) -> InvalidRequestError:
    """As much of what is wrong as fits into a status: gRPC drops one whose metadata is larger than some kilobytes."""
    told: list[FieldViolation] = []
    room = STATUS_BYTES_MAX
    for each in error.violations:
        room -= len(each.field.encode()) + len(each.description.encode()) + _FRAME_BYTES
        if room < 0:
            break
        told.append(each)
    if len(told) < len(error.violations):
        told.append(FieldViolation("", f"{len(error.violations) - len(told)} more fields are wrong"))
    return InvalidRequestError(told)


def _info(reason: str) -> error_details_pb2.ErrorInfo:
    return error_details_pb2.ErrorInfo(reason=reason, domain=DOMAIN)


def _status(code: int, message: str, details: Sequence[Message]) -> status_pb2.Status:
    packed = []
    for detail in details:
        each = any_pb2.Any()
        each.Pack(detail)
        packed.append(each)
    return status_pb2.Status(code=code, message=message, details=packed)
