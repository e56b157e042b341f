"""Calls to the authorization service: requests that are ready to send, and decisions from their responses."""

from __future__ import annotations

import uuid
from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING

from placet.sdk._wire.decode import decode_authorize, decode_authorize_batch, decode_streamed
from placet.sdk._wire.encode import request_to_proto, trace_metadata
from placet.sdk._wire.methods import AUTHORIZE, AUTHORIZE_BATCH
from placet.sdk.decision import Decision, denied
from placet.sdk.errors import InvalidParamsError, InvalidRequestError, WrongTypeError, error_from_failure
from placet.sdk.failures import Failure
from placet.v1 import authorization_pb2, decision_pb2

if TYPE_CHECKING:
    from placet.sdk.defaults import OnFailure
    from placet.sdk.types import Request


@dataclass(frozen=True, slots=True)
class PreparedCall:
    """A call that is ready to send, or the failure of its preparation."""

    method: str
    keys: tuple[str, ...]
    """Idempotency keys, one for each decision in the response."""
    raw: bytes = b""
    """The serialized request message."""
    metadata: tuple[tuple[str, str], ...] = ()
    failure: Failure | None = None
    """Why the request is invalid. If it is set, there is nothing to send."""
    tenant: str = ""
    """Tenant of all requests in the call."""

    def decisions(self, answer: bytes | decision_pb2.Decision | Failure, on_failure: OnFailure) -> list[Decision]:
        """Return one decision for each key.

        Raises CallFailedError if one of them is a failure and `on_failure` is ``"raise"``.
        """
        if isinstance(answer, Failure):
            decisions = [denied(answer, key) for key in self.keys]
        elif isinstance(answer, decision_pb2.Decision):
            decisions = [decode_streamed(answer, self.keys[0])]
        elif self.method == AUTHORIZE:
            decisions = [decode_authorize(answer, self.keys[0])]
        else:
            decisions = decode_authorize_batch(answer, self.keys)
        failure = next((decision.failure for decision in decisions if decision.failure is not None), None)
        if failure is not None and on_failure == "raise":
            raise error_from_failure(failure)
        return [replace(decision, tenant=self.tenant) for decision in decisions]


def prepare_authorize(request: Request, traceparent: str | None) -> PreparedCall:
    """Return the call for one action. Raises WrongTypeError or InvalidParamsError for an error in the program."""
    key = _idempotency_key(request)
    try:
        raw = request_to_proto(request, key).SerializeToString()
        metadata = trace_metadata(traceparent)
        return PreparedCall(AUTHORIZE, (key,), raw, metadata, tenant=request.identity.tenant)
    except (WrongTypeError, InvalidParamsError):
        raise
    except InvalidRequestError as error:
        return PreparedCall(AUTHORIZE, (key,), failure=error.failure)


def prepare_authorize_batch(requests: Sequence[Request], traceparent: str | None) -> PreparedCall:
    """Return the call for several actions.

    Raises ValueError if `requests` is empty, TypeError if it is no sequence, and WrongTypeError or InvalidParamsError
    for an error in the program.
    """
    value: object = requests
    if isinstance(value, str) or not isinstance(value, Sequence):
        raise TypeError(f"requests must be a sequence of Request, not {type(value).__name__}")
    if not requests:
        raise ValueError("requests must have at least one element")
    keys = tuple(_idempotency_key(request) for request in requests)
    try:
        messages = [
            request_to_proto(request, key, f"requests[{index}].")
            for index, (request, key) in enumerate(zip(requests, keys, strict=True))
        ]
        raw = authorization_pb2.AuthorizeBatchRequest(requests=messages).SerializeToString()
        metadata = trace_metadata(traceparent)
        return PreparedCall(AUTHORIZE_BATCH, keys, raw, metadata, tenant=requests[0].identity.tenant)
    except (WrongTypeError, InvalidParamsError):
        raise
    except InvalidRequestError as error:
        return PreparedCall(AUTHORIZE_BATCH, keys, failure=error.failure)


def _idempotency_key(request: Request) -> str:
    key = getattr(request, "idempotency_key", None)  # `request_to_proto` rejects a value that is no Request
    return uuid.uuid4().hex if key is None else key
