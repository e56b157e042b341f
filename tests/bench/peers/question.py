"""The question that all peers answer: may this user of this tenant refund this amount?"""

from __future__ import annotations

import json
from dataclasses import dataclass
from typing import Any, Final

import grpc
from google.protobuf.json_format import ParseDict

from placet.v1 import authorization_pb2, decision_pb2
from tests.bench.load import REQUEST

AUTHORIZE: Final = "/placet.v1.AuthorizationService/Authorize"


@dataclass(frozen=True, slots=True)
class Question:
    """A refund. The default is the benchmark's request."""

    minor_units: int = 4_500  # of USD
    role: str = "support_refunds"
    tenant: str = "acme"

    @property
    def params(self) -> dict[str, Any]:
        """The params of the call."""
        return {"charge": "ch_1042", "reason": "late delivery", "amount": self.minor_units / 100, "currency": "USD"}

    @property
    def amount(self) -> dict[str, Any]:
        """The amount that the refund moves."""
        return {"currency_code": "USD", "minor_units": self.minor_units}

    def document(self) -> dict[str, Any]:
        """Return the input of OPA: the part of Placet's policy input that the caller supplies."""
        action = {**REQUEST["action"], "params": self.params, "amount": self.amount}
        del action["params_json"]
        identity = {**REQUEST["identity"], "roles": [self.role], "tenant": self.tenant}
        return {"action": action, "identity": identity, "run": REQUEST["run"], "model": REQUEST["model"]}

    def request(self, key: str) -> dict[str, Any]:
        """Return the request to Placet as JSON."""
        action = {**REQUEST["action"], "params_json": json.dumps(self.params), "amount": self.amount}
        identity = {**REQUEST["identity"], "roles": [self.role], "tenant": self.tenant}
        return {**REQUEST, "idempotency_key": key, "action": action, "identity": identity}


ANSWERS: Final = {
    Question(): True,
    Question(minor_units=10_000): True,
    Question(minor_units=10_001): False,
    Question(role="support"): False,
    Question(tenant="unknown"): False,
}
"""Question -> whether each peer must allow the refund. Where Placet requires approval, the others deny."""


def ask_placet(address: str, question: Question) -> bool:
    """Return whether a server of Placet allows the refund."""
    key = f"peers-{question.minor_units}-{question.role}-{question.tenant}"
    request = ParseDict(question.request(key), authorization_pb2.AuthorizeRequest())
    with grpc.insecure_channel(address) as channel:
        authorize = channel.unary_unary(
            AUTHORIZE,
            request_serializer=authorization_pb2.AuthorizeRequest.SerializeToString,
            response_deserializer=authorization_pb2.AuthorizeResponse.FromString,
        )
        effect: int = authorize(request, timeout=10).decision.effect
    return effect == decision_pb2.EFFECT_ALLOW
