"""Verifies that a caller holds the permit of a decision."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Final

import jwt
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PublicKey

from placet.permits.claims import PERMIT_ALGORITHM, PERMIT_ISSUER, PERMIT_TYPE

if TYPE_CHECKING:
    from placet.permits.claims import PermitKeys

_OPTIONS: Final[Any] = {"require": ["aud", "exp", "iss", "jti"], "verify_exp": False, "verify_iat": False}
"""An expired permit still proves who may report: a call may take longer than its permit is valid."""


@dataclass(frozen=True, slots=True)
class PermitVerifier:
    """Verifies permits by the keys of this server, those of its replicas included."""

    keys: PermitKeys

    def is_of(self, permit: str, tenant: str, decision_id: str) -> bool:
        """Return whether the permit is that of the tenant's decision, valid or expired.

        Raises PermitKeysUnavailableError when the keys cannot be trusted now.
        """
        self.keys.require_usable()
        try:
            header = jwt.get_unverified_header(permit)
            if header.get("typ") != PERMIT_TYPE:
                return False
            [public] = [key.public for key in self.keys.known() if key.key_id == header.get("kid")]
            key = Ed25519PublicKey.from_public_bytes(public)
            claims = jwt.decode(
                permit, key, [PERMIT_ALGORITHM], audience=tenant, issuer=PERMIT_ISSUER, options=_OPTIONS
            )
        except (jwt.InvalidTokenError, ValueError):  # ValueError: no key of this id
            return False
        return claims["jti"] == decision_id and claims.get("tenant") == tenant
