"""The time of an Authorize with authentication beside one without it.

Two servers run in processes of their own: one authenticates its callers, the other does not. Each pair is a call to one
and a call to the other, so that other load on the machine falls on both. The decision is a cheap one, an allowed read
without budgets, so the part of authentication is at its largest.

`python -m tests.bench.beside_authentication --pairs 1500` prints a line for each kind of credential.
"""

from __future__ import annotations

import argparse
import contextlib
import statistics
import sys
import tempfile
import time
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final

import grpc

from tests.authentication.jwt_env import KEY, claims, jwk, key_set, signed
from tests.authentication.token_servers import RUNTIME, bearer, created, token_settings
from tests.faults.serving import serving
from tests.transport.wire import AUTHORIZE, request

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

AUTH_FILE: Final = """
accept = ["jwt", "token"]
[[issuers]]
issuer = "https://id.example.com"
audience = "placet"
algorithms = "RS256"
jwks_file = "keys.json"
grants = [{role = "agent_runtime", tenants = "acme", agents = "support-*", user = "trusted"}]
[[issuers]]
issuer = "https://id.example.com"
audience = "users"
algorithms = "RS256"
jwks_file = "keys.json"
user_tenants = "acme"
"""
WARM_UP: Final = 50
"""Calls of each kind before the measurement."""


@dataclass(frozen=True, slots=True)
class Kind:
    """A kind of credential."""

    name: str
    credential: str
    user_token: str = ""


@dataclass(frozen=True, slots=True)
class Pairs:
    """Milliseconds of calls without authentication, and of those with it."""

    without: list[float]
    having: list[float]

    @property
    def line(self) -> str:
        """The medians, and the median of the differences in percent of the first."""
        plain, more = statistics.median(self.without), statistics.median(map(float.__sub__, self.having, self.without))
        return (
            f"p50 {plain:.2f} ms without, {statistics.median(self.having):.2f} ms with, "
            f"{more * 1e3:+.0f} us in the median pair ({more / plain:+.1%} of p50), {len(self.without)} pairs"
        )


@contextlib.contextmanager
def two_servers(folder: Path) -> Iterator[tuple[str, str, list[Kind]]]:
    """Run both; yield the address without authentication, the one with it, and the credentials that it accepts."""
    plain, own = token_settings(folder / "plain"), token_settings(folder / "own")
    access_token, _ = created(own, RUNTIME)
    auth_file = own.data_dir / "auth.toml"
    auth_file.write_text(AUTH_FILE)
    (own.data_dir / "keys.json").write_bytes(key_set(jwk(KEY)))
    caller, user = (
        signed(claims(iss="https://id.example.com", aud=audience, groups=["support"] * 20))
        for audience in ("placet", "users")
    )
    kinds = [Kind("JWT", caller), Kind("JWT and user token", caller, user), Kind("access token", access_token)]
    with contextlib.ExitStack() as stack:
        servers = [
            stack.enter_context(serving(folder / f"run-{name}", each.rego_dir, data_dir=each.data_dir, **flags))
            for name, each, flags in (("plain", plain, {}), ("own", own, {"auth_file": auth_file}))
        ]
        yield servers[0].address, servers[1].address, kinds


def measured(plain: str, own: str, kind: Kind, pairs: int) -> Pairs:
    """Call the two servers in turn. The first of a pair is the one and the other alternately."""
    options = [("grpc.use_local_subchannel_pool", 1)]
    found = Pairs([], [])
    with grpc.insecure_channel(plain, options) as without, grpc.insecure_channel(own, options) as having:
        places = [(without, (), "", found.without), (having, bearer(kind.credential), kind.user_token, found.having)]
        for number in range(WARM_UP + pairs):
            for channel, metadata, user_token, times in places[:: 1 if number % 2 else -1]:
                took = _call_ms(channel, metadata, user_token)
                if number >= WARM_UP:
                    times.append(took)
    return found


def _call_ms(channel: grpc.Channel, metadata: Any, user_token: str) -> float:
    changes = {"identity.user": "", "identity.user_token": user_token} if user_token else {}
    message = request(changes).SerializeToString()
    call = channel.unary_unary(AUTHORIZE, None, None)
    began = time.perf_counter()
    call(message, metadata=metadata, timeout=30)
    return (time.perf_counter() - began) * 1e3


def main(arguments: Sequence[str]) -> int:
    """Measure, and print a line for each kind of credential."""
    parser = argparse.ArgumentParser(prog="python -m tests.bench.beside_authentication")
    parser.add_argument("--pairs", type=int, default=1_500)
    options = parser.parse_args(arguments)
    with tempfile.TemporaryDirectory() as folder, two_servers(Path(folder)) as (plain, own, kinds):
        for kind in kinds:
            print(f"{kind.name}: {measured(plain, own, kind, options.pairs).line}", flush=True)
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
