"""One question to the authorization service, ready to be sent, and how its answer is read. Shared by both clients."""

from __future__ import annotations

import uuid
from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING

from placet.sdk.channel import AUTHORIZE, AUTHORIZE_BATCH, OnFailure
from placet.sdk.decision import Decision, denied
from placet.sdk.decode import decode_batch, decode_one
from placet.sdk.encode import encode, metadata_of
from placet.sdk.errors import InvalidParamsError, InvalidRequestError, WrongTypeError, error_of
from placet.sdk.failures import Failure
from placet.v1 import authorization_pb2

if TYPE_CHECKING:
    from placet.sdk.model import Request


@dataclass(frozen=True, slots=True)
class Asked:
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
            decisions = [decode_one(answer, self.keys[0])]
        else:
            decisions = decode_batch(answer, self.keys)
        failed = next((each.failure for each in decisions if each.failure is not None), None)
        if failed is not None and on_failure == "raise":
            raise error_of(failed)
        return [replace(each, tenant=self.tenant) for each in decisions]


def ask_one(request: Request, traceparent: str | None) -> Asked:
    """The question about one action. WrongTypeError or InvalidParamsError for what no program should give."""
    key = _key(request)
    try:
        raw = encode(request, key).SerializeToString()
        return Asked(AUTHORIZE, (key,), raw, metadata_of(traceparent), tenant=request.identity.tenant)
    except (WrongTypeError, InvalidParamsError):
        raise
    except InvalidRequestError as error:
        return Asked(AUTHORIZE, (key,), failure=error.failure)


def ask_batch(requests: Sequence[Request], traceparent: str | None) -> Asked:
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
            encode(request, key, f"requests[{index}].")
            for index, (request, key) in enumerate(zip(requests, keys, strict=True))
        ]
        raw = authorization_pb2.AuthorizeBatchRequest(requests=messages).SerializeToString()
        return Asked(AUTHORIZE_BATCH, keys, raw, metadata_of(traceparent), tenant=requests[0].identity.tenant)
    except (WrongTypeError, InvalidParamsError):
        raise
    except InvalidRequestError as error:
        return Asked(AUTHORIZE_BATCH, keys, failure=error.failure)


def _key(request: Request) -> str:
    key = getattr(request, "idempotency_key", None)  # `encode` refuses what is no Request
    return uuid.uuid4().hex if key is None else key
