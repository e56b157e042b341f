"""A real OpenID Connect provider, in a process of its own: each start has a new signing key."""

from __future__ import annotations

import contextlib
import socket
import subprocess
import sys
import time
from pathlib import Path
from typing import TYPE_CHECKING, Any
from urllib.parse import parse_qs, urlsplit

import requests

if TYPE_CHECKING:
    from collections.abc import Iterator

SECONDS_MAX = 60.0
_CALLBACK = "http://localhost/callback"


class OidcProvider:
    """The provider, which a test starts and stops. Its address stays the same."""

    def __init__(self) -> None:
        with socket.socket() as free:
            free.bind(("127.0.0.1", 0))
            self.port = free.getsockname()[1]
        self.issuer = f"http://localhost:{self.port}"
        self._process: subprocess.Popen[bytes] | None = None

    def start(self) -> None:
        """Start it with a new key, and wait until it answers."""
        program = Path(sys.executable).with_name("oidc-provider-mock")
        self._process = subprocess.Popen(
            [program, "--port", str(self.port)], stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL
        )
        deadline = time.monotonic() + SECONDS_MAX
        while time.monotonic() < deadline:
            with contextlib.suppress(requests.ConnectionError):
                requests.get(f"{self.issuer}/jwks", timeout=SECONDS_MAX).raise_for_status()
                return
            time.sleep(0.05)
        raise TimeoutError("the provider does not answer")

    def stop(self) -> None:
        if self._process is not None:
            self._process.terminate()
            self._process.wait(SECONDS_MAX)
            self._process = None

    def rotate(self) -> None:
        """Replace its key."""
        self.stop()
        self.start()

    def id_token(self, audience: str, subject: str, **claims: Any) -> str:
        """Return the ID token of a user who signed in to the program `audience`."""
        requests.put(f"{self.issuer}/users/{subject}", json=claims, timeout=SECONDS_MAX).raise_for_status()
        question = {"client_id": audience, "redirect_uri": _CALLBACK, "response_type": "code", "scope": "openid email"}
        signed_in = requests.post(
            f"{self.issuer}/oauth2/authorize",
            params=question,
            data={"sub": subject},
            allow_redirects=False,
            timeout=SECONDS_MAX,
        )
        [code] = parse_qs(urlsplit(signed_in.headers["Location"]).query)["code"]
        answer = requests.post(
            f"{self.issuer}/oauth2/token",
            data={"grant_type": "authorization_code", "code": code, "redirect_uri": _CALLBACK},
            auth=(audience, "secret"),
            timeout=SECONDS_MAX,
        )
        answer.raise_for_status()
        token: str = answer.json()["id_token"]
        return token


@contextlib.contextmanager
def oidc_provider() -> Iterator[OidcProvider]:
    """Run a provider for the duration of the block."""
    provider = OidcProvider()
    try:
        provider.start()
        yield provider
    finally:
        provider.stop()
