"""Signatures of permit tokens, and their public keys. Needs the extra ``placet-sdk[permits]``."""

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
"""Maximum length of a permit, which usually has about a thousand characters."""
_EMPTY: Final = "it is empty: the decision is no allow, or it was requested without include_permit=True"
_JWS: Final = PyJWS(algorithms=[PERMIT_ALGORITHM])
_KEY_TYPE: Final = {"kty": "OKP", "crv": "Ed25519"}
_KEY_USE: Final = {"use": "sig", "alg": PERMIT_ALGORITHM}


def parse_jwks(jwks_json: str) -> Mapping[str, Ed25519PublicKey]:
    """Return the keys of a JWK set by id, without those that are not for permits. Raises ValueError if it is no set."""
    try:
        members = json.loads(jwks_json)["keys"]
    except (ValueError, KeyError, TypeError, RecursionError) as error:
        raise ValueError("the text is not a JWK set: it must be an object with the member keys") from error
    if not isinstance(members, list):
        raise ValueError("the text is not a JWK set: its keys must be a list")  # noqa: TRY004 - the text is wrong, not the type
    return {str(member["kid"]): key for member in members if (key := _parse_key(member)) is not None}


def _parse_key(member: Any) -> Ed25519PublicKey | None:  # noqa: ANN401 - any JSON value
    if not isinstance(member, dict) or not isinstance(member.get("kid"), str) or "d" in member:
        return None
    is_for_permits = _KEY_TYPE.items() <= member.items() and all(
        member.get(name, value) == value for name, value in _KEY_USE.items()
    )
    try:
        key = OKPAlgorithm.from_jwk(member) if is_for_permits else None
    except (PyJWTError, ValueError, TypeError):
        return None
    return key if isinstance(key, Ed25519PublicKey) else None


def verify_token(permit: str, find: Callable[[str], Ed25519PublicKey | None]) -> tuple[str, dict[str, Any]]:
    """Return the key id and the claims of a permit. Raises PermitError if the signature is not valid."""
    header = _header(permit)
    if header.get("alg") != PERMIT_ALGORITHM:
        raise PermitError(PermitReason.WRONG_ALGORITHM, f"alg is {header.get('alg')!r}, not {PERMIT_ALGORITHM}")
    if header.get("typ") != PERMIT_TYPE:
        raise PermitError(PermitReason.WRONG_TYPE, f"typ is {header.get('typ')!r}, not {PERMIT_TYPE}")
    key_id = header.get("kid")
    if not isinstance(key_id, str):
        raise PermitError(PermitReason.MALFORMED, "it has no key id")
    key = find(key_id)
    if key is None:
        raise PermitError(PermitReason.UNKNOWN_KEY, f"no key has the id {key_id!r}")
    try:
        claims = json.loads(_JWS.decode_complete(permit, key, [PERMIT_ALGORITHM])["payload"])
    except InvalidSignatureError:
        raise PermitError(PermitReason.BAD_SIGNATURE, f"its signature is not by the key {key_id!r}") from None
    except (PyJWTError, ValueError, RecursionError) as error:
        raise PermitError(PermitReason.MALFORMED, str(error)) from None
    if not isinstance(claims, dict):
        raise PermitError(PermitReason.MALFORMED, "its claims are not an object")
    return key_id, claims


def _header(permit: str) -> dict[str, Any]:
    value: object = permit
    if value == "":
        raise PermitError(PermitReason.MALFORMED, _EMPTY)
    if not isinstance(value, str) or not value.isascii() or not 0 < len(value) <= PERMIT_CHARS_MAX:
        raise PermitError(PermitReason.MALFORMED, "it is not a token")
    try:
        return _JWS.get_unverified_header(permit)
    except PyJWTError as error:
        raise PermitError(PermitReason.MALFORMED, str(error)) from None
