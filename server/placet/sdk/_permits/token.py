"""Permits as tokens, and the keys that they are signed with. Needs the extra ``placet-sdk[permits]``."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Any, Final

from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PublicKey
from jwt import InvalidSignatureError, PyJWS, PyJWTError
from jwt.algorithms import OKPAlgorithm

from placet.sdk.errors import PermitError, PermitReason

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

PERMIT_TYPE: Final = "placet-permit+jwt"
PERMIT_ALGORITHM: Final = "EdDSA"
PERMIT_CHARS_MAX: Final = 65_536
"""A permit has about a thousand characters; what is far larger is not read at all."""
_JWS: Final = PyJWS(algorithms=[PERMIT_ALGORITHM])
_KIND: Final = {"kty": "OKP", "crv": "Ed25519"}
_USE: Final = {"use": "sig", "alg": PERMIT_ALGORITHM}


def parse_jwks(jwks_json: str) -> Mapping[str, Ed25519PublicKey]:
    """Key id -> key, of a JWK set; members that are no keys for permits are left out. ValueError when it is no set."""
    try:
        members = json.loads(jwks_json)["keys"]
    except (ValueError, KeyError, TypeError, RecursionError) as error:
        raise ValueError("is no JWK set: an object with the member keys") from error
    if not isinstance(members, list):
        raise ValueError("is no JWK set: its keys must be a list")  # noqa: TRY004 - a text that is wrong, no argument
    return {str(each["kid"]): key for each in members if (key := _key_of(each)) is not None}


def _key_of(member: Any) -> Ed25519PublicKey | None:  # noqa: ANN401 - any JSON value
    if not isinstance(member, dict) or not isinstance(member.get("kid"), str) or "d" in member:
        return None
    fits = _KIND.items() <= member.items() and all(member.get(name, said) == said for name, said in _USE.items())
    try:
        key = OKPAlgorithm.from_jwk(member) if fits else None
    except (PyJWTError, ValueError, TypeError):
        return None
    return key if isinstance(key, Ed25519PublicKey) else None


def verify_token(permit: str, find: Callable[[str], Ed25519PublicKey | None]) -> tuple[str, dict[str, Any]]:
    """The key id and the claims of a permit whose signature is good. PermitError."""
    header = _header(permit)
    if header.get("alg") != PERMIT_ALGORITHM:
        raise PermitError(PermitReason.WRONG_ALGORITHM, f"alg is {header.get('alg')!r}, not {PERMIT_ALGORITHM}")
    if header.get("typ") != PERMIT_TYPE:
        raise PermitError(PermitReason.WRONG_TYPE, f"typ is {header.get('typ')!r}, not {PERMIT_TYPE}")
    key_id = header.get("kid")
    if not isinstance(key_id, str):
        raise PermitError(PermitReason.MALFORMED, "it names no key")
    key = find(key_id)
    if key is None:
        raise PermitError(PermitReason.UNKNOWN_KEY, f"no key has the id {key_id!r}")
    try:
        claims = json.loads(_JWS.decode_complete(permit, key, [PERMIT_ALGORITHM])["payload"])
    except InvalidSignatureError:
        raise PermitError(PermitReason.BAD_SIGNATURE, f"it is not what the key {key_id!r} signed") from None
    except (PyJWTError, ValueError, RecursionError) as error:
        raise PermitError(PermitReason.MALFORMED, str(error)) from None
    if not isinstance(claims, dict):
        raise PermitError(PermitReason.MALFORMED, "its claims are no object")
    return key_id, claims


def _header(permit: str) -> dict[str, Any]:
    given: object = permit
    if not isinstance(given, str) or not given.isascii() or not 0 < len(given) <= PERMIT_CHARS_MAX:
        raise PermitError(PermitReason.MALFORMED, "it is no token")
    try:
        return _JWS.get_unverified_header(permit)
    except PyJWTError as error:
        raise PermitError(PermitReason.MALFORMED, str(error)) from None
