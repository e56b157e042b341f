"""One question to the authorization service, ready to be sent, and how its answer is read. Shared by both clients."""

from __future__ import annotations

import uuid
from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING

from placet.sdk._wire.decode import decode_authorize, decode_authorize_batch
from placet.sdk._wire.encode import request_to_proto, trace_metadata
from placet.sdk._wire.methods import AUTHORIZE, AUTHORIZE_BATCH
from placet.sdk.decision import Decision, denied
from placet.sdk.errors import InvalidParamsError, InvalidRequestError, WrongTypeError, error_from_failure
from placet.sdk.failures import Failure
from placet.v1 import authorization_pb2

if TYPE_CHECKING:
    from placet.sdk.defaults import OnFailure
    from placet.sdk.types import Request


@dataclass(frozen=True, slots=True)
class PreparedCall:
    """`raw` goes to `method`; one answer is due for each of `keys`, all of them for one `tenant`.

    With a `failure` there is nothing to send.
    """

    method: str
    keys: tuple[str, ...]
    raw: bytes = b""
    metadata: tuple[tuple[str, str], ...] = ()
    failure: Failure | None = None
    tenant: str = ""

    def decisions(self, answer: bytes | Failure, on_failure: OnFailure) -> list[Decision]:
        """One decision for each key. Raises CallFailedError when one failed and that was asked for."""
        if isinstance(answer, Failure):
            decisions = [denied(answer, key) for key in self.keys]
        elif self.method == AUTHORIZE:
            decisions = [decode_authorize(answer, self.keys[0])]
        else:
            decisions = decode_authorize_batch(answer, self.keys)
        failed = next((each.failure for each in decisions if each.failure is not None), None)
        if failed is not None and on_failure == "raise":
            raise error_from_failure(failed)
        return [replace(each, tenant=self.tenant) for each in decisions]


def prepare_authorize(request: Request, traceparent: str | None) -> PreparedCall:
    """The question about one action. WrongTypeError or InvalidParamsError for what no program should give."""
    key = _key(request)
    try:
        raw = request_to_proto(request, key).SerializeToString()
        return PreparedCall(AUTHORIZE, (key,), raw, trace_metadata(traceparent), tenant=request.identity.tenant)
    except (WrongTypeError, InvalidParamsError):
        raise
    except InvalidRequestError as error:
        return PreparedCall(AUTHORIZE, (key,), failure=error.failure)


def prepare_authorize_batch(requests: Sequence[Request], traceparent: str | None) -> PreparedCall:
    """The question about a plan. ValueError when it is empty, TypeError when it is no list: nothing could be denied.

    WrongTypeError or InvalidParamsError for what no program should give.
    """
    given: object = requests
    if isinstance(given, str) or not isinstance(given, Sequence):
        raise TypeError(f"requests must be a sequence of Request, not {type(given).__name__}")
    if not requests:
        raise ValueError("a batch has at least one request")
    keys = tuple(_key(request) for request in requests)
    try:
        messages = [
            request_to_proto(request, key, f"requests[{index}].")
            for index, (request, key) in enumerate(zip(requests, keys, strict=True))
        ]
        raw = authorization_pb2.AuthorizeBatchRequest(requests=messages).SerializeToString()
        return PreparedCall(AUTHORIZE_BATCH, keys, raw, trace_metadata(traceparent), tenant=requests[0].identity.tenant)
    except (WrongTypeError, InvalidParamsError):
        raise
    except InvalidRequestError as error:
        return PreparedCall(AUTHORIZE_BATCH, keys, failure=error.failure)


def _key(request: Request) -> str:
    key = getattr(request, "idempotency_key", None)  # `encode` refuses what is no Request
    return uuid.uuid4().hex if key is None else key
