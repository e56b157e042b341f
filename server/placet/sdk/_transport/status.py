"""Failed calls into failures, with the details that the server sent in ``grpc-status-details-bin``.

The few messages of google.rpc that matter are described here, in a descriptor pool of their own, so that the SDK needs
no more than grpcio and protobuf, and cannot clash with googleapis-common-protos where that is installed.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Final

import grpc
from google.protobuf import descriptor_pb2, descriptor_pool, message_factory
from google.protobuf.message import DecodeError

from placet.sdk import failures
from placet.sdk._transport.connection_errors import connection_trouble
from placet.sdk.failures import Failure, FieldViolation

if TYPE_CHECKING:
    from collections.abc import Iterable

    from google.protobuf.message import Message

DETAILS_KEY: Final = "grpc-status-details-bin"
DOMAIN: Final = "placet"
"""ErrorInfo.domain of what Placet itself says."""
DETAIL_CHARS_MAX: Final = 500
"""What is kept of a server's or transport's text."""
_TOO_LARGE: Final = "message larger than max"
"""How gRPC says that a message is too large, on either side; the bytes follow: ``(9000000 vs. 8388608)``."""
_FIELD: Final = descriptor_pb2.FieldDescriptorProto
_PACKAGE: Final = "placet.sdk.status"
_DETAILS: Final = frozenset({"RetryInfo", "BadRequest", "ErrorInfo"})
_MESSAGES: Final[dict[str, dict[str, tuple[int, int | str, bool]]]] = {
    "Any": {"type_url": (1, _FIELD.TYPE_STRING, False), "value": (2, _FIELD.TYPE_BYTES, False)},
    "Status": {
        "code": (1, _FIELD.TYPE_INT32, False),
        "message": (2, _FIELD.TYPE_STRING, False),
        "details": (3, "Any", True),
    },
    "Duration": {"seconds": (1, _FIELD.TYPE_INT64, False), "nanos": (2, _FIELD.TYPE_INT32, False)},
    "ErrorInfo": {"reason": (1, _FIELD.TYPE_STRING, False), "domain": (2, _FIELD.TYPE_STRING, False)},
    "RetryInfo": {"retry_delay": (1, "Duration", False)},
    "FieldViolation": {"field": (1, _FIELD.TYPE_STRING, False), "description": (2, _FIELD.TYPE_STRING, False)},
    "BadRequest": {"field_violations": (1, "FieldViolation", True)},
}
"""Message -> field -> number, type (a message by name), repeated. As in google/rpc/{status,error_details}.proto."""

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
}
_BY_ERROR: Final = {"OUTCOME_DIFFERS": failures.OUTCOME_DIFFERS}
"""Ids of the server that say more than their code."""
_WHEN_ASKED: Final = frozenset({failures.OVERLOADED, failures.CONTENTION})
"""What may be sent again when the server said when."""


def _classes() -> dict[str, type[Message]]:
    file = descriptor_pb2.FileDescriptorProto(name="placet/sdk/status.proto", package=_PACKAGE, syntax="proto3")
    for name, fields in _MESSAGES.items():
        message = file.message_type.add(name=name)
        for field, (number, kind, repeated) in fields.items():
            label = _FIELD.LABEL_REPEATED if repeated else _FIELD.LABEL_OPTIONAL
            added = message.field.add(name=field, number=number, label=label)
            if isinstance(kind, str):
                added.type = _FIELD.TYPE_MESSAGE
                added.type_name = f".{_PACKAGE}.{kind}"
            else:
                added.type = _FIELD.Type.ValueType(kind)
    pool = descriptor_pool.DescriptorPool()
    pool.Add(file)
    return {
        name: message_factory.GetMessageClass(pool.FindMessageTypeByName(f"{_PACKAGE}.{name}")) for name in _MESSAGES
    }


_CLASSES: Final = _classes()


def failure_from_rpc_error(error: grpc.RpcError) -> Failure:
    """The failure that a non-OK status stands for."""
    retry_after: float | None = None
    violations: tuple[FieldViolation, ...] = ()
    named = ""
    for detail in _details(error):
        match detail.DESCRIPTOR.name:
            case "RetryInfo":
                retry_after = _seconds(detail)
            case "BadRequest":
                violations = _violations(detail)
            case "ErrorInfo":
                named = _named(detail)
    code = error.code()
    rule_id = _BY_ERROR.get(named) or _RULE_IDS.get(code, failures.ERROR)
    if rule_id == failures.OVERLOADED and retry_after is None and _TOO_LARGE in (error.details() or ""):
        return _too_large(error.details() or "")
    # RESOURCE_EXHAUSTED without RetryInfo is not what Placet says of its load: sending it again may not help.
    retryable = rule_id == failures.UNAVAILABLE or (rule_id in _WHEN_ASKED and retry_after is not None)
    text = " ".join((error.details() or "").split())[:DETAIL_CHARS_MAX]
    if rule_id == failures.UNAVAILABLE and not named:
        text = connection_trouble(text)
    if rule_id == failures.ERROR:
        text = f"{code.name} {text}".strip()
    return Failure(rule_id, text, violations, retryable, retry_after, named)


def _too_large(text: str) -> Failure:
    """What gRPC itself refused for its size: the request, or else the answer, which this side refuses."""
    if f"CLIENT: Received {_TOO_LARGE}" in text:
        return Failure(failures.ANSWER_INVALID, "it is larger than a client takes; ask for less at once")
    sizes = text.partition(_TOO_LARGE)[2].strip()[:DETAIL_CHARS_MAX]
    return Failure(failures.INVALID_ARGUMENT, f"the request is larger than one message may be {sizes}".strip())


def _details(error: grpc.RpcError) -> list[Any]:
    """The details of the kinds known here; none when the trailer cannot be read."""
    trailer: Iterable[Any] = error.trailing_metadata() or ()
    raw = next((value for key, value in trailer if key == DETAILS_KEY), None)
    if not isinstance(raw, bytes):
        return []
    try:
        status: Any = _CLASSES["Status"].FromString(raw)
        known = [(each.type_url.rpartition("/google.rpc.")[2], each.value) for each in status.details]
        return [_CLASSES[name].FromString(value) for name, value in known if name in _DETAILS]
    except DecodeError:
        return []


def _named(error_info: Any) -> str:  # noqa: ANN401 - a message made at run time has no type
    return str(error_info.reason) if error_info.domain == DOMAIN else ""


def _seconds(retry_info: Any) -> float:  # noqa: ANN401 - a message made at run time has no type
    delay = retry_info.retry_delay
    return max(0.0, float(delay.seconds + delay.nanos / 1e9))


def _violations(bad_request: Any) -> tuple[FieldViolation, ...]:  # noqa: ANN401 - likewise
    return tuple(FieldViolation(each.field, each.description) for each in bad_request.field_violations)
