"""Messages of AuthorizeStream: requests to bytes, and bytes to answers."""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

from google.protobuf.message import DecodeError

from placet.sdk import failures
from placet.sdk._transport.status import failure_from_status
from placet.sdk.errors import error_from_failure
from placet.sdk.failures import Failure
from placet.v1 import authorization_pb2

if TYPE_CHECKING:
    from collections.abc import Iterator

    from placet.v1 import decision_pb2

AUTHORIZE_STREAM: Final = "/placet.v1.AuthorizationService/AuthorizeStream"
REQUEST_BYTES_MAX: Final = 1_048_576
"""Larger requests are sent as unary calls: the server ends a stream on which a message of 8 MiB arrives."""
MESSAGE_BYTES: Final = 65_536
"""Bytes of requests that are sent in one message, unless one request is larger."""
MESSAGE_REQUESTS_MAX: Final = 128
"""Requests that are sent in one message: half of what the server accepts."""
PAUSE_SECONDS: Final = 30.0
"""How long requests are sent as unary calls after a server refused a stream, or no thread could be started for it."""
DRAIN_SECONDS: Final = 2.0
"""How long closing a client waits for the answers of requests in progress: the default timeout of a call."""
SECONDS_MIN: Final = 0.001
"""What is left for a unary call in place of a refused stream."""
REFUSED: Final = Failure(failures.ERROR, "the server refused the stream")
"""The answer to a request whose stream the server refused. The request is then sent as a unary call."""
ENDED: Final = Failure(failures.UNAVAILABLE, "the stream ended", retryable=True)
"""The answer to a request whose stream ended before it was answered. The request is then sent again."""
_LENGTH: Final = 2
_REQUESTS: Final = authorization_pb2.AuthorizeStreamRequest.DESCRIPTOR.fields_by_name["requests"].number
_REQUEST: Final = authorization_pb2.StreamedRequest.DESCRIPTOR.fields_by_name["request"].number


def encode(id_: str, raw: bytes, seconds: float, traceparent: str) -> bytes:
    """Return a message with one request, whose AuthorizeRequest is `raw`. Messages that are joined are one message."""
    fields = authorization_pb2.StreamedRequest(
        id=id_, timeout_ms=max(1, int(seconds * 1_000)), traceparent=traceparent
    ).SerializeToString()
    return _field(_REQUESTS, fields + _field(_REQUEST, raw))


def take(outgoing: dict[str, bytes]) -> bytes:
    """Remove as many requests as one message may have, and return the message."""
    message: list[bytes] = []
    size = 0
    while outgoing and size < MESSAGE_BYTES and len(message) < MESSAGE_REQUESTS_MAX:
        request = outgoing.pop(next(iter(outgoing)))
        message.append(request)
        size += len(request)
    return b"".join(message)


def decode(raw: bytes) -> Iterator[tuple[str, decision_pb2.Decision | Failure]]:
    """Yield id and answer of each request in a message. Raises CallFailedError if it is no response of the stream."""
    try:
        responses = authorization_pb2.AuthorizeStreamResponse.FromString(raw).responses
    except DecodeError as error:
        failure = Failure(failures.ANSWER_INVALID, "it is not a response of AuthorizeStream")
        raise error_from_failure(failure) from error
    for response in responses:
        match response.WhichOneof("answer"):
            case "decision":
                yield response.id, response.decision
            case "error":
                yield response.id, failure_from_status(response.error)
            case _:
                yield response.id, Failure(failures.ANSWER_INVALID, "it has no decision")


def answer_for_all(failure: Failure) -> Failure:
    """Return the answer to the requests of a stream that ended with a failure.

    A new stream may answer them if the server or the connection was lost. Otherwise a unary call tells.
    """
    if failure.rule_id == failures.UNAVAILABLE:
        return failure
    return failure if failure.rule_id == failures.ANSWER_INVALID else REFUSED


def _field(number: int, content: bytes) -> bytes:
    return bytes([number << 3 | _LENGTH]) + _varint(len(content)) + content


def _varint(value: int) -> bytes:
    encoded = bytearray()
    while value > 0x7F:  # noqa: PLR2004 - seven bits in each byte
        encoded.append(value & 0x7F | 0x80)
        value >>= 7
    encoded.append(value)
    return bytes(encoded)
