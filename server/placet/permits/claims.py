"""The permit: what is signed to prove an allow to whoever runs the call, and the keys that it is verified with.

A permit is a JSON Web Token (RFC 7519). The same decision makes the same claims, and EdDSA the same signature of them,
so an answer that is given again carries the same permit.
"""

from __future__ import annotations

import base64
from dataclasses import dataclass
from typing import TYPE_CHECKING, Final, Protocol

import orjson

from placet.kernel.limits import PERMIT_KEY_OVERLAP_SECONDS, PERMIT_TTL_SECONDS
from placet.kernel.model import Effect

if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence

    from placet.kernel.model import Decision, Proposal

PERMIT_TYPE: Final = "placet-permit+jwt"
"""The header `typ`: no other token that these keys might ever sign is taken for a permit."""
PERMIT_ALGORITHM: Final = "EdDSA"
PERMIT_ISSUER: Final = "placet"
_SECOND_US: Final = 1_000_000


@dataclass(frozen=True, slots=True)
class PermitKey:
    """An Ed25519 public key, 32 raw bytes, that permits are verified with.

    It signs permits of decisions made from `signs_from` until `signs_until`, in seconds since the Unix epoch; 0 for the
    newest, which goes on.
    """

    key_id: str
    public: bytes
    signs_from: int
    signs_until: int = 0

    @property
    def verifies_until(self) -> int:
        """When it is no longer published, in seconds since the Unix epoch; 0 for the newest."""
        return self.signs_until + PERMIT_KEY_OVERLAP_SECONDS if self.signs_until else 0


class PermitKeys(Protocol):
    """The keys of this server."""

    def sign(self, claims: bytes, decided_at_us: int) -> str:
        """The permit over these claims, with the key that signs for decisions of that time."""
        ...

    def known(self) -> Sequence[PermitKey]:
        """The keys that permits are verified with now, by `signs_from`; one that is to sign soon is among them."""
        ...


def permit_of(decision: Decision, proposal: Proposal, keys: PermitKeys) -> str:
    """The permit of an allow; "" of any other decision."""
    if decision.effect is not Effect.ALLOW:
        return ""
    return keys.sign(permit_claims(decision, proposal), decision.decided_at_us)


def permit_claims(decision: Decision, proposal: Proposal) -> bytes:
    """The claims as canonical JSON. Times are whole seconds, rounded down."""
    issued_at = decision.decided_at_us // _SECOND_US
    claims = {
        "action_digest": decision.action_digest,
        "agent": proposal.identity.agent,
        "aud": proposal.identity.tenant,
        "budgets": [
            {"id": each.id, "reserved": each.reserved, "unit": each.unit} for each in decision.budgets if each.reserved
        ],
        "dry_run": proposal.action.dry_run,
        "exp": issued_at + PERMIT_TTL_SECONDS,
        "iat": issued_at,
        "iss": PERMIT_ISSUER,
        "jti": decision.decision_id,
        "policy_revision": decision.policy_revision,
        "run_id": proposal.run.run_id,
        "tenant": proposal.identity.tenant,
        "tool": proposal.action.tool,
    }
    return orjson.dumps(claims, option=orjson.OPT_SORT_KEYS)


def jwk_set(keys: Iterable[PermitKey]) -> str:
    """The keys as a JWK set (RFC 7517, RFC 8037), each id once, in order."""
    distinct = {key.key_id: key for key in keys}
    members = [
        {
            "alg": PERMIT_ALGORITHM,
            "crv": "Ed25519",
            "kid": key.key_id,
            "kty": "OKP",
            "use": "sig",
            "x": base64.urlsafe_b64encode(key.public).rstrip(b"=").decode(),
        }
        for key in distinct.values()
    ]
    return orjson.dumps({"keys": members}).decode()
