"""Deserializes requests in slices of some milliseconds, whatever the bytes hold.

A message of eight megabytes can hold four million empty parts. Protobuf needs 0.4 s for it and holds the interpreter's
lock for all of that time. So a batch is deserialized action by action, and nothing else may be larger than one action.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Final, TypeVar

from google.protobuf.message import DecodeError, Message

from placet.kernel.errors import FieldViolation, InvalidRequestError
from placet.kernel.limits import ACTION_BYTES_MAX, STEP_BYTES
from placet.scheduling.slices import in_slices
from placet.v1.authorization_pb2 import AuthorizeBatchRequest

if TYPE_CHECKING:
    from collections.abc import Iterator

    from placet.kernel.steps import Steps

Request = TypeVar("Request", bound=Message)
MALFORMED: Final = (
    FieldViolation(
        "",
        "is not a valid message of this method: truncated, or a string that is not UTF-8; "
        "serialize the request message of the method",
    ),
)
_REQUESTS: Final = AuthorizeBatchRequest.DESCRIPTOR.fields_by_name["requests"].number
_FIELDS_MAX: Final = 1_024
"""Outermost fields of a batch: more than its actions, for unknown fields and for a useful error about their number."""
_VARINT_BYTES_MAX: Final = 10
_VARINT, _FIXED64, _LENGTH, _FIXED32 = 0, 1, 2, 5


async def deserialized(request_type: type[Request], raw: bytes) -> Request:
    """Return the message. DecodeError if the bytes are invalid, InvalidRequestError if they are too large."""
    if len(raw) <= STEP_BYTES:
        return request_type.FromString(raw)
    return await in_slices(_deserializing(request_type, raw))


def _deserializing(request_type: type[Request], raw: bytes) -> Steps[Request]:
    message = request_type()
    if isinstance(message, AuthorizeBatchRequest):
        yield from _deserialize_batch(message, raw)
        return message
    _require_size("", len(raw))
    message.ParseFromString(raw)
    yield
    return message


def _deserialize_batch(message: AuthorizeBatchRequest, raw: bytes) -> Steps[None]:
    view = memoryview(raw)
    actions = [(start, end) for number, start, end in fields_of(raw, _REQUESTS) if number == _REQUESTS]
    for index, (start, end) in enumerate(actions):
        _require_size(f"requests[{index}]", end - start)
        message.requests.add().ParseFromString(view[start:end].tobytes())
        if end - start > STEP_BYTES:
            yield


def _require_size(field: str, size: int) -> None:
    if size > ACTION_BYTES_MAX:
        what = f"is {size} bytes as a message; at most {ACTION_BYTES_MAX} are accepted"
        raise InvalidRequestError([FieldViolation(field, what)])


def fields_of(raw: bytes, wanted: int) -> Iterator[tuple[int, int, int]]:
    """Yield number, start and end of the content of each outermost field. DecodeError if the bytes are invalid.

    A field with the number `wanted` is left out if it has no length, and so is not what it should be.
    """
    position = 0
    for count in range(_FIELDS_MAX + 1):
        if position >= len(raw):
            return
        if count == _FIELDS_MAX:
            raise DecodeError(f"more than {_FIELDS_MAX} fields")
        tag, position = _varint(raw, position)
        kind = tag & 7
        if kind == _VARINT:
            _, end = _varint(raw, position)
        elif kind == _LENGTH:
            size, position = _varint(raw, position)
            end = position + size
        elif kind in {_FIXED64, _FIXED32}:
            end = position + (8 if kind == _FIXED64 else 4)
        else:
            raise DecodeError(f"wire type {kind}")
        if end > len(raw) or not tag >> 3:
            raise DecodeError("truncated, or a field 0")
        if kind == _LENGTH or tag >> 3 != wanted:
            yield tag >> 3, position, end
        position = end


def _varint(raw: bytes, position: int) -> tuple[int, int]:
    value = 0
    for shift in range(0, 7 * _VARINT_BYTES_MAX, 7):
        if position >= len(raw):
            break
        byte = raw[position]
        position += 1
        value |= (byte & 0x7F) << shift
        if byte < 0x80:  # noqa: PLR2004 - the continuation bit
            return value, position
    raise DecodeError("a varint is cut off, or too long")
