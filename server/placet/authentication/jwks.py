"""JSON Web Key Sets: the public keys of an issuer (RFC 7517)."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Final

from cryptography.hazmat.primitives.asymmetric.ec import EllipticCurvePublicKey
from cryptography.hazmat.primitives.asymmetric.rsa import RSAPublicKey
from jwt import PyJWK
from jwt.exceptions import PyJWTError
from msgspec import Struct

from placet.authentication.strict_json import JsonError, read_object
from placet.kernel.limits import ISSUER_KEYS_MAX, PRINCIPAL_BYTES_MAX

if TYPE_CHECKING:
    from collections.abc import Mapping

    from jwt.algorithms import AllowedPublicKeys

_RSA: Final = frozenset({"RS256", "RS384", "RS512", "PS256", "PS384", "PS512"})
_OF_CURVE: Final = {"P-256": "ES256", "P-384": "ES384", "P-521": "ES512", "Ed25519": "EdDSA"}
"""Curve -> the only algorithm of its keys."""
_RSA_BITS: Final = range(2_048, 8_193)
"""Smaller keys are weak, and larger ones take milliseconds of the event loop for each new token."""
_ED25519_SIGNATURE_BYTES: Final = 64
_SHARED_SECRET: Final = "oct"  # noqa: S105 - a type of key
_PRIVATE_MEMBERS: Final = frozenset({"d", "k", "p", "q"})


class JwksError(Exception):
    """The text is not a key set, or has no key that can be used."""


class VerificationKey(Struct, frozen=True, eq=False):
    """A public key of an issuer, with the algorithms that it may verify."""

    key_id: str
    """Empty if the set does not name it."""
    algorithms: frozenset[str]
    public_key: AllowedPublicKeys
    source: str
    """The members of the key in one text: two keys with the same text are the same key."""

    @property
    def signature_bytes(self) -> int:
        """Size of its signatures."""
        match self.public_key:
            case RSAPublicKey(key_size=bits):
                return int(bits + 7) // 8
            case EllipticCurvePublicKey(key_size=bits):
                return int(bits + 7) // 8 * 2
            case _:
                return _ED25519_SIGNATURE_BYTES


class KeySet(Struct, frozen=True):
    """The keys of an issuer at one time."""

    keys: tuple[VerificationKey, ...]
    skipped: tuple[str, ...] = ()
    """Why other keys of the set are not used."""

    def candidates(self, key_id: str, algorithm: str) -> list[VerificationKey]:
        """Return the keys that may have signed a token with these headers. Every key that fits, for an empty id."""
        return [key for key in self.keys if algorithm in key.algorithms and (not key_id or key.key_id == key_id)]


EMPTY: Final = KeySet(())


def read_key_set(text: bytes, before: KeySet = EMPTY) -> KeySet:
    """Return the key set. Keys that were in the set before are the same objects as there. Raises JwksError.

    Skips keys that verify no signatures, and keys that cannot be trusted, such as published private keys.
    """
    try:
        document = read_object(text)
    except JsonError as error:
        raise JwksError(f"is not a key set: {error}") from error
    entries = document.get("keys")
    if not isinstance(entries, list) or not all(isinstance(entry, dict) for entry in entries):
        raise JwksError('is not a key set: has no list "keys" of objects')
    if len(entries) > ISSUER_KEYS_MAX:
        raise JwksError(f"has {len(entries)} keys; at most {ISSUER_KEYS_MAX} are accepted")
    known = {key.source: key for key in before.keys}
    keys, skipped = [], []
    for position, entry in enumerate(entries):
        source = repr(sorted(entry.items()))
        try:
            keys.append(known.get(source) or _key(entry, source))
        except JwksError as error:
            skipped.append(f"keys[{position}]: {error}")
    if not keys:
        raise JwksError("has no key that can be used: " + ("; ".join(skipped) or "the list is empty"))
    return KeySet(tuple(keys), tuple(skipped))


def _key(entry: Mapping[str, Any], source: str) -> VerificationKey:
    key_id = entry.get("kid", "")
    if not isinstance(key_id, str) or len(key_id) > PRINCIPAL_BYTES_MAX:
        raise JwksError(f"kid is no text of at most {PRINCIPAL_BYTES_MAX} characters")
    operations = entry.get("key_ops", ["verify"])
    if entry.get("use", "sig") != "sig" or not isinstance(operations, list) or "verify" not in operations:
        raise JwksError("is not for signatures")
    if entry.get("kty") == _SHARED_SECRET or entry.keys() & _PRIVATE_MEMBERS:
        raise JwksError("is a secret that must not be published; the provider must replace it")
    algorithms = _algorithms(entry)
    try:
        public_key: AllowedPublicKeys = PyJWK(dict(entry), min(algorithms)).key
    except (PyJWTError, ValueError, TypeError, KeyError) as error:
        raise JwksError(f"is no {entry.get('kty')} key: {error}") from error
    if algorithms <= _RSA and getattr(public_key, "key_size", 0) not in _RSA_BITS:
        raise JwksError(f"has a size outside {_RSA_BITS.start} to {_RSA_BITS.stop - 1} bits")
    return VerificationKey(key_id, algorithms, public_key, source)


def _algorithms(entry: Mapping[str, Any]) -> frozenset[str]:
    """Return the algorithms of a key: those of its type, and only the one that it names, if it names one."""
    kind, curve = entry.get("kty"), entry.get("crv")
    if kind == "RSA":
        algorithms = _RSA
    elif isinstance(curve, str) and curve in _OF_CURVE and kind == ("OKP" if curve == "Ed25519" else "EC"):
        algorithms = frozenset({_OF_CURVE[curve]})
    else:
        raise JwksError(f"has the type {kind!r} and curve {curve!r}, which is not supported")
    algorithm = entry.get("alg")
    if algorithm is None:
        return algorithms
    if not isinstance(algorithm, str) or algorithm not in algorithms:
        raise JwksError(f"names the algorithm {algorithm!r}, which is not for its type")
    return frozenset({algorithm})
