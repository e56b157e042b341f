"""Sign bundles, and verify them, in the form that OPA verifies: ``/.signatures.json`` with one JWT over all files.

The key decides the algorithm: ES256 for a P-256 key, EdDSA for an Ed25519 key. Both signatures follow from the key and
the files alone, so the same bundle has the same signature. OPA verifies them with ``--signing-alg ES256`` or ``EdDSA``.
"""

from __future__ import annotations

import hashlib
import hmac
import json
import re
from typing import TYPE_CHECKING, Any, Final

from cryptography.exceptions import UnsupportedAlgorithm
from cryptography.hazmat.primitives.asymmetric import ec, ed25519
from cryptography.hazmat.primitives.hashes import SHA256
from cryptography.hazmat.primitives.serialization import load_pem_private_key, load_pem_public_key
from jwt import InvalidTokenError, PyJWS
from jwt.algorithms import ECAlgorithm
from jwt.utils import der_to_raw_signature

from placet.kernel.errors import ConfigurationError

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence
    from pathlib import Path

    SigningKey = ec.EllipticCurvePrivateKey | ed25519.Ed25519PrivateKey
    VerificationKey = ec.EllipticCurvePublicKey | ed25519.Ed25519PublicKey

SIGNATURES: Final = "/.signatures.json"
DEFAULT_KEY_ID: Final = "default"
"""The id by which OPA knows the key of its flag ``--verification-key``."""
_HASH: Final = "SHA-256"
_STRUCTURED: Final = frozenset({".manifest", "data.json"})
"""Names of files that OPA hashes as JSON values, whatever their white space."""
_PEM: Final = re.compile(rb"-----BEGIN [A-Z ]+-----.+?-----END [A-Z ]+-----", re.DOTALL)
_REMEDY: Final = (
    "create a key with `openssl genpkey -algorithm ed25519` or `-algorithm EC -pkeyopt ec_paramgen_curve:P-256`"
)


class SignatureError(ValueError):
    """The files are not what a trusted key signed. The text completes a sentence about the bundle."""


class _DeterministicES256(ECAlgorithm):
    """ES256 as RFC 6979 signs: the same bytes give the same signature."""

    def sign(self, msg: bytes, key: Any) -> bytes:  # noqa: ANN401 - PyJWT's own type depends on its extra
        return der_to_raw_signature(key.sign(msg, ec.ECDSA(SHA256(), deterministic_signing=True)), key.curve)


def read_signing_key(path: Path) -> SigningKey:
    """Read a private key in PEM. Raises ConfigurationError for any but a P-256 or Ed25519 key without a password."""
    try:
        key = load_pem_private_key(_read(path), password=None)
    except (ValueError, TypeError, UnsupportedAlgorithm) as error:
        raise ConfigurationError(
            f"{path}: is not a private key in PEM, or has a password ({error}); {_REMEDY}"
        ) from None
    if isinstance(key, ed25519.Ed25519PrivateKey) or _is_p256(key):
        return key  # type: ignore[return-value] # _is_p256 says so
    raise ConfigurationError(f"{path}: is neither a P-256 nor an Ed25519 key; {_REMEDY}")


def read_verification_keys(path: Path) -> tuple[VerificationKey, ...]:
    """Read the public keys of a PEM file: several during the change from one to another.

    Raises ConfigurationError for any but P-256 and Ed25519 keys, and when there is none.
    """
    keys: list[VerificationKey] = []
    for block in _PEM.findall(_read(path)):
        try:
            key = load_pem_public_key(block)
        except (ValueError, UnsupportedAlgorithm) as error:
            raise ConfigurationError(
                f"{path}: is not a public key in PEM: {error}; write it with `openssl pkey -in KEY.pem -pubout`"
            ) from None
        if not isinstance(key, ed25519.Ed25519PublicKey) and not _is_p256(key):
            raise ConfigurationError(f"{path}: has a key that is neither P-256 nor Ed25519; {_REMEDY}")
        keys.append(key)  # type: ignore[arg-type] # checked above
    if not keys:
        raise ConfigurationError(f"{path}: has no public key in PEM; write it with `openssl pkey -in KEY.pem -pubout`")
    return tuple(keys)


def signatures_of(files: Mapping[str, bytes], key: SigningKey, key_id: str) -> bytes:
    """Return the content of SIGNATURES for the files of a bundle, given by name."""
    entries = [
        {"name": name.lstrip("/"), "hash": _hash(name, content), "algorithm": _HASH}
        for name, content in sorted(files.items())
    ]
    payload = json.dumps({"files": entries}, separators=(",", ":")).encode()
    token = _jws().encode(payload, key, algorithm=_algorithm(key), headers={"kid": key_id})
    return json.dumps({"signatures": [token]}).encode()


def verify(files: Mapping[str, bytes], keys: Sequence[VerificationKey]) -> None:
    """Raise SignatureError unless one of the keys signed exactly these files, SIGNATURES apart."""
    if SIGNATURES not in files:
        raise SignatureError("is not signed; sign it with `placet policy bundle --signing-key`")
    signed = _signed_hashes(_payload(_token(files[SIGNATURES]), keys))
    present = {name.lstrip("/"): name for name in files if name != SIGNATURES}
    if len(present) != len(files) - 1 or signed.keys() != present.keys():
        different = sorted(signed.keys() ^ present.keys())
        raise SignatureError(f"holds other files than were signed: {', '.join(different[:3])}")
    for short, name in present.items():
        if not hmac.compare_digest(signed[short], _hash(name, files[name])):
            raise SignatureError(f"has a file that was changed after it was signed: {short}")


def _token(content: bytes) -> str:
    try:
        (token,) = json.loads(content)["signatures"]
    except (ValueError, KeyError, TypeError, RecursionError):
        raise SignatureError("has no signature that can be read") from None
    if not isinstance(token, str):
        raise SignatureError("has no signature that can be read")
    return token


def _payload(token: str, keys: Sequence[VerificationKey]) -> Any:  # noqa: ANN401 - any JSON
    for key in keys:
        try:
            return json.loads(_jws().decode(token, key, algorithms=[_algorithm(key)]))
        except (InvalidTokenError, ValueError, RecursionError):
            continue
    raise SignatureError("is signed by none of the trusted keys")


def _signed_hashes(payload: Any) -> dict[str, str]:  # noqa: ANN401 - any JSON
    try:
        entries = payload["files"]
        hashes = {str(entry["name"]): str(entry["hash"]) for entry in entries if entry["algorithm"] == _HASH}
    except (KeyError, TypeError):
        raise SignatureError("has a signature that does not list its files") from None
    if len(hashes) != len(entries):
        raise SignatureError(f"has a signature that lists a file twice, or not with {_HASH}")
    return hashes


def _algorithm(key: SigningKey | VerificationKey) -> str:
    return "ES256" if isinstance(key, ec.EllipticCurvePrivateKey | ec.EllipticCurvePublicKey) else "EdDSA"


def _jws() -> PyJWS:
    jws = PyJWS()
    jws.unregister_algorithm("ES256")
    jws.register_algorithm("ES256", _DeterministicES256(ECAlgorithm.SHA256))
    return jws


def _is_p256(key: object) -> bool:
    return isinstance(key, ec.EllipticCurvePrivateKey | ec.EllipticCurvePublicKey) and key.curve.name == "secp256r1"


def _hash(name: str, content: bytes) -> str:
    """Return the SHA-256 of a file, in hex, as OPA computes it. Raises SignatureError for JSON that cannot be read."""
    if name.rpartition("/")[2] in _STRUCTURED:
        try:
            value = json.loads(content, parse_int=_Number, parse_float=_Number)
            content = _as_hashed(value).encode()
        except (ValueError, RecursionError):
            raise SignatureError(f"holds {name}, which is not JSON") from None
    return hashlib.sha256(content).hexdigest()


class _Number(str):
    """A number of JSON, as it is written."""

    __slots__ = ()


def _as_hashed(value: object) -> str:
    """Return the text of a JSON value over which OPA hashes: sorted keys, no white space, strings as Go writes them."""
    if isinstance(value, _Number):
        return str(value)
    if isinstance(value, dict):
        members = sorted(value.items(), key=lambda member: member[0].encode())
        return "{" + ",".join(f"{_as_hashed(key)}:{_as_hashed(each)}" for key, each in members) + "}"
    if isinstance(value, list):
        return "[" + ",".join(map(_as_hashed, value)) + "]"
    text = json.dumps(value, ensure_ascii=False)
    return text.replace("\u2028", "\\u2028").replace("\u2029", "\\u2029")


def _read(path: Path) -> bytes:
    try:
        return path.read_bytes()
    except OSError as error:
        raise ConfigurationError(f"{path}: cannot be read: {error.strerror}; name a readable key file") from error
