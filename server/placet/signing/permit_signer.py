"""Signs permits with an Ed25519 key."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING

import orjson
from cryptography.hazmat.primitives.serialization import Encoding, PublicFormat

from placet.permits.claims import PERMIT_ALGORITHM, PERMIT_TYPE, PermitKey, base64url
from placet.signing.keys import key_id_of

if TYPE_CHECKING:
    from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey


@dataclass(frozen=True, slots=True)
class SigningPermitKey:
    """A permit key with its private half, which it never reveals."""

    public: PermitKey
    _header: bytes = field(repr=False)
    """The first part of its tokens, in base64url. It is the same for each of them."""
    _key: Ed25519PrivateKey = field(repr=False)

    def sign(self, claims: bytes) -> str:
        """Return the signed token of these claims: a JWS in compact form (RFC 7515)."""
        signed = b"%b.%b" % (self._header, base64url(claims))
        return (b"%b.%b" % (signed, base64url(self._key.sign(signed)))).decode()


def permit_signer(key: Ed25519PrivateKey, signs_from: int, signs_until: int) -> SigningPermitKey:
    """Return the key that signs permits of decisions between these seconds; `signs_until` is 0 for no end."""
    raw = key.public_key().public_bytes(Encoding.Raw, PublicFormat.Raw)
    public = PermitKey(key_id_of(raw), raw, signs_from, signs_until)
    header = orjson.dumps({"alg": PERMIT_ALGORITHM, "kid": public.key_id, "typ": PERMIT_TYPE})
    return SigningPermitKey(public, base64url(header), key)
