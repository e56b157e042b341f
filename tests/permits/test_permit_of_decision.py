"""The permit of a decision is told from every other token."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import jwt
import pytest
from cryptography.hazmat.primitives import serialization
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey

from placet.permits.claims import PERMIT_TYPE, PermitKey
from placet.permits.verification import PermitVerifier

if TYPE_CHECKING:
    from collections.abc import Sequence

OWN = Ed25519PrivateKey.generate()
PUBLIC = OWN.public_key().public_bytes_raw()
CLAIMS = {"aud": "acme", "tenant": "acme", "exp": 1, "iat": 0, "iss": "placet", "jti": "dec_1"}
HEADER = {"typ": PERMIT_TYPE, "kid": "k1"}


class Keys:
    """One key. Implements `PermitKeys`."""

    def sign(self, claims: bytes, decided_at_us: int) -> str:
        raise AssertionError(claims, decided_at_us)

    def require_usable(self) -> None:
        assert self.known() is not None

    def known(self) -> Sequence[PermitKey]:
        return [PermitKey("k1", PUBLIC, 0)]


def permit(key: Any = OWN, algorithm: str = "EdDSA", header: dict[str, str] = HEADER, **claims: Any) -> str:
    content = {name: value for name, value in {**CLAIMS, **claims}.items() if value is not None}
    return jwt.encode(content, key, algorithm, header)


def is_accepted(token: str) -> bool:
    return PermitVerifier(Keys()).is_of(token, "acme", "dec_1")


def test_the_permit_of_the_decision_is_accepted_also_expired() -> None:
    assert is_accepted(permit())


HMAC_KEY = OWN.public_key().public_bytes(serialization.Encoding.Raw, serialization.PublicFormat.Raw)
OTHERS = {
    "another decision": permit(jti="dec_2"),
    "no decision": permit(jti=None),
    "another audience": permit(aud="globex"),
    "another tenant": permit(tenant="globex"),
    "no tenant": permit(tenant=None),
    "another issuer": permit(iss="other"),
    "another key": permit(Ed25519PrivateKey.generate()),
    "an unknown key": permit(header={**HEADER, "kid": "k2"}),
    "another type": permit(header={"typ": "JWT", "kid": "k1"}),
    "the public key as a secret": permit(HMAC_KEY, "HS256"),
    "not signed": permit(None, "none"),
    "cut": permit()[:-4],
    "words": "not a permit",
    "dots": "a.b.c",
}


@pytest.mark.parametrize("token", OTHERS.values(), ids=OTHERS.keys())
def test_no_other_token_is_accepted(token: str) -> None:
    assert not is_accepted(token)
