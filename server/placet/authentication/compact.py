"""Reads JWTs in compact form, before their signature is verified. Nothing that is read here is believed."""

from __future__ import annotations

import base64
import binascii
import math
from typing import Any, Final

from msgspec import Struct

from placet.authentication.authenticator import invalid
from placet.authentication.strict_json import JsonError, read_object
from placet.kernel.limits import PRINCIPAL_BYTES_MAX, SAFE_INTEGER_MAX

_PARTS: Final = 3
_TYPES: Final = frozenset({"jwt", "at+jwt", "application/at+jwt"})
"""Other types of JWTs, such as logout tokens and proofs, are signed with the same keys but are no credentials."""
_BEGINNING: Final = "eyJ"
"""The beginning of every JWT: the first characters of a JSON object in base64url."""
_TEXTS: Final = ("sub", "jti")
_TIMES: Final = ("exp", "nbf", "iat")


class UnverifiedToken(Struct, frozen=True):
    """What a token says of itself."""

    algorithm: str
    key_id: str
    """Empty if the token names no key."""
    issuer: str
    audiences: frozenset[str]
    signature_bytes: int
    """Size of its signature."""


def read_unverified(token: str) -> UnverifiedToken:
    """Return what the token says. UnauthenticatedError for a token that is malformed or has a wrong form of a claim."""
    parts = token.split(".")
    if len(parts) != _PARTS:
        cut_off = token.startswith(_BEGINNING) and len(parts) < _PARTS
        what = "was cut off: a JWT has three parts; send all of it" if cut_off else "is no JWT, which has three parts"
        raise invalid(f"the token {what}", f"it has {len(parts)}")
    header, claims = _object(parts[0], "header"), _object(parts[1], "claims")
    signature = _decoded(parts[2], "signature")
    _check_header(header)
    _check_claims(claims)
    audience = claims["aud"]
    return UnverifiedToken(
        header["alg"],
        header.get("kid", ""),
        claims["iss"],
        frozenset([audience] if isinstance(audience, str) else audience),
        len(signature),
    )


def _check_header(header: dict[str, Any]) -> None:
    """Check the header. What it says of where keys are (``jku``, ``x5u``, ``jwk``, ``x5c``) is never read."""
    if "crit" in header or "b64" in header:
        raise invalid("the token needs extensions that are not supported")
    if not isinstance(header.get("alg"), str):
        raise invalid("the token names no algorithm")
    key_id, kind = header.get("kid", ""), header.get("typ", "JWT")
    if not isinstance(key_id, str) or len(key_id) > PRINCIPAL_BYTES_MAX:
        raise invalid(f"the key id of the token must be a text of at most {PRINCIPAL_BYTES_MAX} characters")
    if not isinstance(kind, str) or kind.lower() not in _TYPES:
        raise invalid("the token is not of a type that proves a caller; use an access token or an ID token")


def _check_claims(claims: dict[str, Any]) -> None:
    if not isinstance(claims.get("iss"), str):
        raise _wrong("iss", "a text")
    audience = claims.get("aud")
    audiences = [audience] if isinstance(audience, str) else audience
    if not isinstance(audiences, list) or not audiences or not all(isinstance(one, str) and one for one in audiences):
        raise _wrong("aud", "a text or a list of texts")
    for claim in _TEXTS:
        if not isinstance(claims.get(claim, ""), str):
            raise _wrong(claim, "a text")
    if "exp" not in claims:
        raise _wrong("exp", "a number of seconds")
    for claim in _TIMES:
        if claim in claims and not _is_time(claims[claim]):
            raise _wrong(claim, "a number of seconds")
    if "cnf" in claims:
        raise invalid("the token is bound to a key (claim cnf), which is not verified here; use one that is not")


def _is_time(value: object) -> bool:
    if isinstance(value, bool) or not isinstance(value, int | float):
        return False
    return math.isfinite(value) and 0 <= value <= SAFE_INTEGER_MAX / 1e6  # in microseconds it is an exact integer


def _wrong(claim: str, form: str) -> Exception:
    return invalid(f"the claim {claim} of the token must be {form}")


def _object(part: str, name: str) -> dict[str, Any]:
    try:
        return read_object(_decoded(part, name))
    except JsonError as error:
        raise invalid(f"the {name} of the token cannot be read: {error}") from error


def _decoded(part: str, name: str) -> bytes:
    """Return the bytes of a part in base64url. One form of each part is accepted: without padding and spare bits."""
    try:
        data = base64.b64decode(part + "=" * (-len(part) % 4), altchars=b"-_", validate=True)
    except (ValueError, binascii.Error) as error:
        raise _mistyped(name) from error
    if base64.urlsafe_b64encode(data).rstrip(b"=") != part.encode():
        raise _mistyped(name)
    return data


def _mistyped(name: str) -> Exception:
    return invalid(f"the {name} of the token is not base64url: the token was cut off or mistyped; send all of it")
