"""Messages as they were read from the network, before and after they are deserialized."""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

from google.protobuf.message import DecodeError

from placet.kernel.errors import FieldViolation, InvalidRequestError
from placet.kernel.limits import LABEL_BYTES_MAX, STREAM_IN_FLIGHT_MAX, STREAM_STEP_BYTES
from placet.transport.grpc.deserialization import MALFORMED, fields_of
from placet.v1.authorization_pb2 import AuthorizeBatchRequest, AuthorizeStreamRequest, StreamedRequest

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from google.protobuf.message import Message

    from placet.kernel.errors import PlacetError

_REQUESTS: Final = AuthorizeStreamRequest.DESCRIPTOR.fields_by_name["requests"].number
_ACTIONS: Final = AuthorizeBatchRequest.DESCRIPTOR.fields_by_name["requests"].number
_ID: Final = StreamedRequest.DESCRIPTOR.fields_by_name["id"].number


class IncomingMessage:
    """A message that was read.

    `size` is in bytes. `is_present` is False if the caller sent none. `request` is the deserialized message, None until
    there is one.
    """

    def __init__(self, raw: bytes | None) -> None:
        self._raw = raw or b""
        self.is_present = raw is not None
        self.size = len(self._raw)
        self.request: Message | None = None
        self.on_discard: Callable[[int], None] | None = None
        """Receives the size of a message that is discarded. None for a part of a message."""

    def discard(self) -> None:
        """Release the bytes before the call ends, because nothing will read them."""
        if self.on_discard is not None:
            self.take()
            size, self.size = self.size, 0
            self.on_discard(size)

    def actions(self) -> int:
        """Return how many actions a batch has, from its bytes alone; 1 for a batch without any, or that is malformed.

        A field that is no action counts as one, so that fields which nothing reads are not free.
        """
        try:
            return max(1, sum(1 for _ in fields_of(self._raw, _ACTIONS)))
        except DecodeError:
            return 1

    def take(self) -> bytes:
        """Return the bytes and release them. The next call returns no bytes."""
        raw, self._raw = self._raw, b""
        return raw


class IncomingRequest(IncomingMessage):
    """One request of a stream, which is part of a message.

    `id` is "" if the request has no readable id. `error` is why the request is refused before it is deserialized.
    """

    def __init__(
        self,
        raw: bytes = b"",
        id_: str = "",
        *,
        request: StreamedRequest | None = None,
        error: PlacetError | None = None,
    ) -> None:
        super().__init__(raw)
        self.id = id_
        self.request = request
        self.error = error
        self.id_in_flight = False

    def require_valid_id(self) -> None:
        """Raise InvalidRequestError if the id does not distinguish the request from the others of its stream."""
        what = ""
        if not self.id:
            what = "is required; use an id that no other request of the stream has"
        elif len(self.id.encode()) > LABEL_BYTES_MAX:
            what = f"is {len(self.id.encode())} bytes; at most {LABEL_BYTES_MAX} are accepted"
        elif self.id_in_flight:
            what = "is the id of a request that is not answered yet; use another one"
        if what:
            raise InvalidRequestError([FieldViolation("id", what)])


def requests_of(raw: bytes, error: PlacetError | None = None) -> Sequence[IncomingRequest]:
    """Return the requests in a message of AuthorizeStream, in order.

    A message that holds no requests, too many, or is malformed is one request without an id. The requests of a small
    message are deserialized, unless an `error` refuses them or one of them is malformed.
    """
    if error is None and len(raw) <= STREAM_STEP_BYTES:
        try:
            requests = AuthorizeStreamRequest.FromString(raw).requests
        except DecodeError:
            pass
        else:
            return _bounded([IncomingRequest(id_=request.id, request=request) for request in requests])
    try:
        parts = [raw[start:end] for number, start, end in fields_of(raw, _REQUESTS) if number == _REQUESTS]
    except DecodeError:
        return [IncomingRequest(error=error or InvalidRequestError(MALFORMED))]
    return _bounded([IncomingRequest(b"" if error else part, _id_of(part), error=error) for part in parts])


def _bounded(requests: list[IncomingRequest]) -> Sequence[IncomingRequest]:
    if 1 <= len(requests) <= STREAM_IN_FLIGHT_MAX:
        return requests
    what = f"has {len(requests)} entries; must be 1 to {STREAM_IN_FLIGHT_MAX}"
    return [IncomingRequest(error=InvalidRequestError([FieldViolation("requests", what)]))]


def _id_of(raw: bytes) -> str:
    """Return the id of a request that may be malformed; "" if it cannot be read."""
    found = ""
    try:
        for number, start, end in fields_of(raw, _ID):
            if number == _ID:
                found = raw[start:end].decode()
    except (DecodeError, UnicodeDecodeError):
        return found
    return found
