"""Keys, tokens and issuers for the tests of JWTs."""

from __future__ import annotations

import asyncio
import base64
import json
import time
from typing import TYPE_CHECKING, Any, Final

import jwt
from cryptography.hazmat.primitives.asymmetric import ec, ed25519, rsa

from placet.authentication.fetch import FetchError
from placet.authentication.issuer_keys import IssuerKeys, KeysReport
from placet.authentication.issuers import IssuerEntry
from placet.authentication.jwt import JwtCredentials, TrustedIssuer
from placet.server.system import SystemClock

if TYPE_CHECKING:
    from collections.abc import Sequence

    from placet.kernel.clock import Clock

ISSUER: Final = "https://id.example.com"
AUDIENCE: Final = "api://placet"
KEY: Final = rsa.generate_private_key(65537, 2048)
OTHER_KEY: Final = rsa.generate_private_key(65537, 2048)
EC_KEY: Final = ec.generate_private_key(ec.SECP256R1())
ED_KEY: Final = ed25519.Ed25519PrivateKey.generate()
RUNTIME: Final = {"role": "agent_runtime", "tenants": "acme", "agents": "*"}
_ALGORITHMS: Final[dict[type, Any]] = {
    rsa.RSAPrivateKey: jwt.algorithms.RSAAlgorithm,
    ec.EllipticCurvePrivateKey: jwt.algorithms.ECAlgorithm,
    ed25519.Ed25519PrivateKey: jwt.algorithms.OKPAlgorithm,
}


def jwk(key: Any, key_id: str = "k1", **changes: Any) -> dict[str, Any]:
    """Return the public half of a key as the provider publishes it."""
    algorithm = next(algorithm for kind, algorithm in _ALGORITHMS.items() if isinstance(key, kind))
    members: dict[str, Any] = {**algorithm.to_jwk(key.public_key(), as_dict=True), "kid": key_id, "use": "sig"}
    members.pop("key_ops", None)
    return {**members, **changes}


def key_set(*keys: dict[str, Any]) -> bytes:
    return json.dumps({"keys": keys}).encode()


def claims(**changes: Any) -> dict[str, Any]:
    """Return the claims of a right token. A change to None removes a claim."""
    now = int(time.time())
    right = {"iss": ISSUER, "aud": AUDIENCE, "sub": "runtime-1", "iat": now - 5, "exp": now + 600, **changes}
    return {name: value for name, value in right.items() if value is not None}


def signed(
    content: dict[str, Any], key: Any = KEY, algorithm: str = "RS256", key_id: str | None = "k1", **headers: Any
) -> str:
    """Return a token in compact form, signed by PyJWT."""
    named = headers if key_id is None else {"kid": key_id, **headers}
    return jwt.encode(content, key, algorithm, named)


def raw_signed(header: bytes, payload: bytes, key: Any = KEY) -> str:
    """Return a token with exactly these texts as header and claims, rightly signed with RS256."""
    content = f"{encoded(header)}.{encoded(payload)}"
    signature = jwt.algorithms.RSAAlgorithm(jwt.algorithms.RSAAlgorithm.SHA256).sign(content.encode(), key)
    return f"{content}.{encoded(signature)}"


def encoded(data: bytes) -> str:
    return base64.urlsafe_b64encode(data).rstrip(b"=").decode()


class Provider:
    """A key source whose answers a test sets. It counts readings, and may fail or hang."""

    refresh_seconds = 0.01

    def __init__(self, *keys: dict[str, Any]) -> None:
        self.text = key_set(*keys)
        self.fails = ""
        self.readings = 0
        self.third = asyncio.Event()
        self.open = asyncio.Event()
        self.open.set()

    async def read(self) -> bytes:
        self.readings += 1
        if self.readings == 3:
            self.third.set()
        await self.open.wait()
        if self.fails:
            raise FetchError(self.fails)
        return self.text


class FakeClock:
    """A clock that a test moves. It begins at the real time, which PyJWT compares with."""

    def __init__(self) -> None:
        self.seconds = 0.0
        self._begun_us = SystemClock().wall_us()

    def wall_us(self) -> int:
        return self._begun_us + int(self.seconds * 1_000_000)

    def monotonic(self) -> float:
        return self.seconds


def entry(**changes: Any) -> IssuerEntry:
    """Return an entry for callers; one for users if the changes say so."""
    use = {} if changes.keys() & {"user_tenants", "tenants_claim"} else {"grants": [RUNTIME]}
    right = {"issuer": ISSUER, "audience": AUDIENCE, "algorithms": ["RS256"], "jwks_url": f"{ISSUER}/keys", **use}
    return IssuerEntry.model_validate({**right, **changes})


def keys_of(
    provider: Provider, clock: Clock | None = None, reports: list[KeysReport] | None = None, stale_seconds: float = 3600
) -> IssuerKeys:
    sink = (lambda _report: None) if reports is None else reports.append
    return IssuerKeys(ISSUER, provider, clock or SystemClock(), stale_seconds, sink)


def credentials(
    entries: Sequence[IssuerEntry], provider: Provider | None = None, clock: Clock | None = None
) -> JwtCredentials:
    """Return what verifies tokens of these entries, which share the keys of one provider."""
    keys = keys_of(provider or Provider(jwk(KEY)), clock)
    return JwtCredentials([TrustedIssuer(one, keys) for one in entries], clock or SystemClock())
