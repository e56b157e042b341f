"""Permits for tests: valid ones, and ones that no server signs."""

from __future__ import annotations

import base64
import json
from dataclasses import dataclass, field
from typing import Any

from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey
from cryptography.hazmat.primitives.serialization import Encoding, PublicFormat
from jwt import PyJWS

from placet.permits.claims import PermitKey, jwk_set
from placet.sdk import Action, Amount, Identity
from placet.sdk._permits.digest import action_digest

NOW = 1_777_055_581.0
ACTION = Action("stripe.refund", {"charge": "ch_1", "reason": "duplicate"}, Amount("USD", 4500), environment="live")
IDENTITY = Identity("refund-agent", "acme", "u_4812", ["support_refunds"])
RUN_ID = "run_1"
CLAIMS: dict[str, Any] = {
    "action_digest": action_digest(ACTION, IDENTITY, RUN_ID),
    "agent": "refund-agent",
    "aud": "acme",
    "budgets": [{"id": "per_user", "reserved": 4500, "unit": "amount:USD"}],
    "dry_run": False,
    "exp": int(NOW) + 60,
    "iat": int(NOW),
    "iss": "placet",
    "jti": "dec_1",
    "policy_revision": "rev1",
    "run_id": RUN_ID,
    "tenant": "acme",
    "tool": "stripe.refund",
}


@dataclass(frozen=True)
class Signer:
    """A key that signs any claims."""

    key_id: str = "key-1"
    key: Ed25519PrivateKey = field(default_factory=Ed25519PrivateKey.generate)

    def jwks(self, *others: Signer) -> str:
        return jwk_set(PermitKey(each.key_id, each.raw(), 1) for each in (self, *others))

    def raw(self) -> bytes:
        return self.key.public_key().public_bytes(Encoding.Raw, PublicFormat.Raw)

    def permit(self, headers: dict[str, Any] | None = None, **changes: Any) -> str:
        """A good permit with changes to its claims and headers; `...` leaves one out."""
        claims = {name: value for name, value in (CLAIMS | changes).items() if value is not ...}
        return self.signed(json.dumps(claims).encode(), headers)

    def signed(self, payload: bytes, headers: dict[str, Any] | None = None) -> str:
        header = {"typ": "placet-permit+jwt", "kid": self.key_id} | (headers or {})
        return PyJWS().encode(payload, self.key, "EdDSA", header)


def forged(headers: dict[str, Any], signature: bytes = b"", payload: object = CLAIMS) -> str:
    """A token that no key signed."""
    parts = (json.dumps(headers).encode(), json.dumps(payload).encode(), signature)
    return ".".join(base64.urlsafe_b64encode(part).rstrip(b"=").decode() for part in parts)
