"""Permits: signed tokens that prove an allow to the executor of the call, and the keys to verify them.

A permit is a JSON Web Token (RFC 7519). The same decision gives the same claims, and EdDSA signs the same claims with
the same signature. So a repeated answer carries the same permit.
"""

from __future__ import annotations

import binascii
from dataclasses import dataclass
from enum import StrEnum
from typing import TYPE_CHECKING, Final, Protocol

import orjson

from placet.kernel.limits import PERMIT_KEY_OVERLAP_SECONDS, PERMIT_TTL_SECONDS

if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence

    from placet.kernel.model import Decision, Proposal

PERMIT_TYPE: Final = "placet-permit+jwt"
"""The header `typ`. It keeps other tokens that these keys may sign from being accepted as permits."""
PERMIT_ALGORITHM: Final = "EdDSA"
PERMIT_ISSUER: Final = "placet"
_SECOND_US: Final = 1_000_000
_TO_BASE64URL: Final = bytes.maketrans(b"+/", b"-_")


class KeyState(StrEnum):
    """What a key is used for."""

    WAITS = "waits"
    """It is published and does not sign yet."""
    SIGNS = "signs"
    VERIFIES = "verifies"
    """It signs no longer, and verifies what it signed."""
    EXPIRED = "expired"
    """It is not published any more."""


@dataclass(frozen=True, slots=True)
class PermitKey:
    """An Ed25519 public key that verifies permits."""

    key_id: str
    public: bytes
    """32 raw bytes."""
    signs_from: int
    """The key signs permits of decisions from this time on, in seconds since the Unix epoch."""
    signs_until: int = 0
    """The key signs permits of decisions until this time; 0 for the newest key, which has no end yet."""

    @property
    def verifies_until(self) -> int:
        """When the key is no longer published, in seconds since the Unix epoch; 0 for the newest key."""
        return self.signs_until + PERMIT_KEY_OVERLAP_SECONDS if self.signs_until else 0

    def state_at(self, now: int) -> KeyState:
        """Return what the key is used for at that second."""
        if now < self.signs_from:
            return KeyState.WAITS
        if not self.signs_until or now < self.signs_until:
            return KeyState.SIGNS
        return KeyState.VERIFIES if now < self.verifies_until else KeyState.EXPIRED


class PermitKeys(Protocol):
    """The permit keys of this server."""

    def sign(self, claims: bytes, decided_at_us: int) -> str:
        """Return the permit with these claims, signed by the key for decisions of that time.

        Raises as `require_usable` does.
        """
        ...

    def require_usable(self) -> None:
        """Raise PermitKeysUnavailableError when the keys may neither sign nor be published now."""
        ...

    def known(self) -> Sequence[PermitKey]:
        """Return the keys that verify permits now, sorted by `signs_from`. The next key to sign is among them."""
        ...


def permit_claims(decision: Decision, proposal: Proposal) -> bytes:
    """Return the claims as canonical JSON. Times are whole seconds, rounded down."""
    issued_at = decision.decided_at_us // _SECOND_US
    claims = {
        "action_digest": decision.action_digest,
        "agent": proposal.identity.agent,
        "aud": proposal.identity.tenant,
        "budgets": [
            {"id": budget.id, "reserved": budget.reserved, "unit": budget.unit}
            for budget in decision.budgets
            if budget.reserved
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


def base64url(content: bytes) -> bytes:
    """Return the content in base64url without padding (RFC 7515). Faster than `base64.urlsafe_b64encode`."""
    return binascii.b2a_base64(content, newline=False).translate(_TO_BASE64URL).rstrip(b"=")


def published_keys(keys: PermitKeys) -> str:
    """Return the keys that verify permits now as a JWK set. Raises PermitKeysUnavailableError."""
    keys.require_usable()
    return jwk_set(keys.known())


def jwk_set(keys: Iterable[PermitKey]) -> str:
    """Return the keys as a JWK set (RFC 7517, RFC 8037), each key_id once, in order."""
    distinct = {key.key_id: key for key in keys}
    members = [
        {
            "alg": PERMIT_ALGORITHM,
            "crv": "Ed25519",
            "kid": key.key_id,
            "kty": "OKP",
            "use": "sig",
            "x": base64url(key.public).decode(),
        }
        for key in distinct.values()
    ]
    return orjson.dumps({"keys": members}).decode()
