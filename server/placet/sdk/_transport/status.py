"""Turns the status of a failed call, with the details of ``grpc-status-details-bin``, into a Failure."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Final

import grpc
from google.protobuf.message import DecodeError
from google.rpc import error_details_pb2, status_pb2

from placet.sdk import failures
from placet.sdk._transport.connection_errors import describe_connection_error
from placet.sdk.failures import Failure, FieldViolation

if TYPE_CHECKING:
    from collections.abc import Iterable

    from google.protobuf import any_pb2

DETAILS_KEY: Final = "grpc-status-details-bin"
DOMAIN: Final = "placet"
"""ErrorInfo.domain of errors that Placet itself reports."""
DETAIL_CHARS_MAX: Final = 500
"""Characters kept of a text that the server or the transport sent."""
_TOO_LARGE: Final = "message larger than max"
"""Text of gRPC when a message is too large, on either side. The sizes follow: ``(9000000 vs. 8388608)``."""

_RULE_IDS: Final = {
    grpc.StatusCode.UNAVAILABLE: failures.UNAVAILABLE,
    grpc.StatusCode.DEADLINE_EXCEEDED: failures.TIMEOUT,
    grpc.StatusCode.RESOURCE_EXHAUSTED: failures.OVERLOADED,
    grpc.StatusCode.INVALID_ARGUMENT: failures.INVALID_ARGUMENT,
    grpc.StatusCode.ALREADY_EXISTS: failures.KEY_REUSED,
    grpc.StatusCode.UNAUTHENTICATED: failures.NOT_PERMITTED,
    grpc.StatusCode.PERMISSION_DENIED: failures.NOT_PERMITTED,
    grpc.StatusCode.NOT_FOUND: failures.NOT_FOUND,
    grpc.StatusCode.FAILED_PRECONDITION: failures.NOT_NOW,
    grpc.StatusCode.ABORTED: failures.CONTENTION,
    # gRPC cancels calls that reach a server while it stops. Placet itself never answers with this status.
    grpc.StatusCode.CANCELLED: failures.UNAVAILABLE,
}
_CODES: Final = {code.value[0]: code for code in grpc.StatusCode}
_RULE_IDS_BY_REASON: Final = {"OUTCOME_DIFFERS": failures.OUTCOME_DIFFERS}
"""Reasons of the server that are more precise than the status code."""
_RETRYABLE_WITH_DELAY: Final = frozenset({failures.OVERLOADED, failures.CONTENTION})
"""Failures that are retryable only if the server sent a RetryInfo."""


def failure_from_rpc_error(error: grpc.RpcError) -> Failure:
    """Return the failure for a status other than OK."""
    return _failure(error.code(), error.details() or "", _details_of(error))


def failure_from_status(status: status_pb2.Status) -> Failure:
    """Return the failure for a google.rpc.Status. A status of OK is a failure too, because there is no decision."""
    return _failure(_CODES.get(status.code, grpc.StatusCode.UNKNOWN), status.message, status.details)


def _failure(code: grpc.StatusCode, text: str, details: Iterable[any_pb2.Any]) -> Failure:
    retry_after, violations, reason = _read(details)
    rule_id = _RULE_IDS_BY_REASON.get(reason) or _RULE_IDS.get(code, failures.ERROR)
    if rule_id == failures.OVERLOADED and retry_after is None and _TOO_LARGE in text:
        return _message_too_large(text)
    # Without a RetryInfo, RESOURCE_EXHAUSTED does not come from Placet's load control, so a retry may be useless.
    retryable = rule_id == failures.UNAVAILABLE or (rule_id in _RETRYABLE_WITH_DELAY and retry_after is not None)
    detail = " ".join(text.split())[:DETAIL_CHARS_MAX]
    if rule_id == failures.UNAVAILABLE and not reason:
        is_bare = code is grpc.StatusCode.CANCELLED and detail in {"", code.name}
        detail = "the server ended the call without an answer" if is_bare else describe_connection_error(detail)
    if rule_id == failures.ERROR:
        detail = f"{code.name} {detail}".strip()
    return Failure(rule_id, detail, violations, retryable, retry_after, reason)


def is_unimplemented(failure: Failure) -> bool:
    """Tell whether the server does not have the method that was called."""
    return failure.rule_id == failures.ERROR and failure.detail.startswith(grpc.StatusCode.UNIMPLEMENTED.name)


def _message_too_large(text: str) -> Failure:
    """Return the failure for a message that gRPC rejected because of its size: the response, or else the request."""
    if f"CLIENT: Received {_TOO_LARGE}" in text:
        return Failure(failures.ANSWER_INVALID, "it is larger than a client accepts. Request less at once")
    sizes = text.partition(_TOO_LARGE)[2].strip()[:DETAIL_CHARS_MAX]
    return Failure(
        failures.INVALID_ARGUMENT, f"the request is larger than the maximum size of a message {sizes}".strip()
    )


def _details_of(error: grpc.RpcError) -> Iterable[any_pb2.Any]:
    """Return the details in the trailer. A trailer that is malformed has none."""
    trailer: Iterable[Any] = error.trailing_metadata() or ()
    raw = next((value for key, value in trailer if key == DETAILS_KEY), None)
    try:
        return status_pb2.Status.FromString(raw).details if isinstance(raw, bytes) else ()
    except DecodeError:
        return ()


def _read(details: Iterable[any_pb2.Any]) -> tuple[float | None, tuple[FieldViolation, ...], str]:
    """Return the retry delay in seconds, the field violations and the reason. Details that are malformed have none."""
    retry_after: float | None = None
    violations: tuple[FieldViolation, ...] = ()
    reason = ""
    retry_info = error_details_pb2.RetryInfo()
    bad_request = error_details_pb2.BadRequest()
    error_info = error_details_pb2.ErrorInfo()
    try:
        for detail in details:
            if detail.Unpack(retry_info):
                retry_after = max(0.0, retry_info.retry_delay.seconds + retry_info.retry_delay.nanos / 1e9)
            elif detail.Unpack(bad_request):
                violations = tuple(
                    FieldViolation(field.field, field.description) for field in bad_request.field_violations
                )
            elif detail.Unpack(error_info):
                reason = error_info.reason if error_info.domain == DOMAIN else ""
    except DecodeError:
        return None, (), ""
    return retry_after, violations, reason
