"""The Python calls that authentication adds to one Authorize: a count that no other load on the machine disturbs.

The interceptors of a server authenticate the caller by a JWT that was verified before, or by an access token, check its
access, and set the user of a user token. Only what follows them is left out.

`python -m tests.bench.calls_per_authentication` prints calls and microseconds of CPU time.
"""

from __future__ import annotations

import asyncio
import sys
import time
from typing import TYPE_CHECKING, Any, Final, cast

from google.protobuf.json_format import ParseDict

from placet.authentication.access_token import AccessTokenVerifier
from placet.authentication.authenticator import AcceptedCredentials
from placet.identity.model import Grant, Role, UserAssertion
from placet.tokens.model import NewToken
from placet.tokens.uses import TokenUses
from placet.transport.grpc.interceptors.access import AccessInterceptor
from placet.transport.grpc.interceptors.authentication import AuthenticationInterceptor
from placet.transport.grpc.interceptors.base import Method
from placet.transport.grpc.interceptors.caller import CallerInterceptor
from placet.transport.grpc.interceptors.open_streams import OpenStreams
from placet.v1 import authorization_pb2
from tests.authentication.jwt_env import RUNTIME, claims, credentials, entry, signed
from tests.bench.load import REQUEST
from tests.tokens.token_env import TokenEnv

if TYPE_CHECKING:
    from collections.abc import Mapping
    from types import FrameType

    from placet.transport.grpc.interceptors.base import Behavior

ROUNDS: Final = 2_000
_AUTHORIZE: Final = Method("placet.v1.AuthorizationService", "Authorize")


class _Context:
    """The context of a call with metadata."""

    def __init__(self, token: str) -> None:
        self._metadata = (("user-agent", "grpc"), ("authorization", f"Bearer {token}")) if token else ()

    def peer(self) -> str:
        return "ipv4:127.0.0.1:4711"

    def auth_context(self) -> Mapping[str, Any]:
        return {}

    def invocation_metadata(self) -> tuple[tuple[str, str], ...]:
        return self._metadata


async def _nothing(request: object, _context: object) -> object:
    return request


def _behaviors() -> tuple[Behavior, Behavior]:
    """Return a call without authentication, and one with it."""
    runtime = {**RUNTIME, "user": "token", "tenants": ["acme", "initech"], "agents": ["*"]}
    verifier = credentials([entry(grants=[runtime]), entry(audience="users", user_tenants=["acme", "initech"])])
    return _behaviors_of(AcceptedCredentials(jwts=verifier, users=verifier))


def _behaviors_of(accepted: AcceptedCredentials) -> tuple[Behavior, Behavior]:
    inner = AccessInterceptor(accepted).intercept(_nothing, _AUTHORIZE)
    unauthenticated = CallerInterceptor().intercept(_nothing, _AUTHORIZE)
    return unauthenticated, AuthenticationInterceptor(accepted, OpenStreams(accepted)).intercept(inner, _AUTHORIZE)


def request_with(user_token: str) -> authorization_pb2.AuthorizeRequest:
    """Return the request of the benchmarks for no user, or for the user of the token."""
    identity = {**REQUEST["identity"], "tenant": "acme", "user": "", "roles": [], "user_token": user_token}
    return ParseDict({**REQUEST, "identity": identity}, authorization_pb2.AuthorizeRequest())


async def _with_access_token() -> tuple[Behavior, Behavior, str]:
    """Return a call without authentication, one with it, and an access token that a replica holds under its lease."""
    env = TokenEnv(alone=False)
    grant = Grant(Role.AGENT_RUNTIME, frozenset({"acme", "initech"}), ("*",), UserAssertion.NEVER)
    text, _ = await env.tokens.create(NewToken("bench", (grant,)), "ann")
    verifier = AccessTokenVerifier(env.directory, TokenUses(env.ledger), env.clock)
    unauthenticated, authenticated = _behaviors_of(AcceptedCredentials(tokens=verifier))
    return unauthenticated, authenticated, text


async def _measure(*, user_token: bool, access_token: bool = False) -> tuple[int, float]:
    if access_token:
        plain, authenticated, presented = await _with_access_token()
    else:
        plain, authenticated = _behaviors()
        presented = signed(claims(groups=["support"] * 20))
    caller = cast("Any", _Context(presented))
    user = signed(claims(aud="users")) if user_token else ""
    anonymous = cast("Any", _Context(""))
    await authenticated(request_with(user), caller)  # verifies the tokens
    calls = await _calls(authenticated, user, caller) - await _calls(plain, user, anonymous)
    with_it = without_it = float("inf")
    for _ in range(ROUNDS):  # in pairs, so that other load falls on both
        with_it = min(with_it, await _cpu_us(authenticated, user, caller))
        without_it = min(without_it, await _cpu_us(plain, user, anonymous))
    return calls, with_it - without_it


async def _calls(behavior: Behavior, user: str, context: Any) -> int:
    request, counted = request_with(user), 0

    def count(_frame: FrameType, event: str, _argument: object) -> None:
        nonlocal counted
        counted += event in {"call", "c_call"}

    sys.setprofile(count)
    await behavior(request, context)
    sys.setprofile(None)
    return counted


async def _cpu_us(behavior: Behavior, user: str, context: Any) -> float:
    request = request_with(user)
    started = time.thread_time_ns()
    await behavior(request, context)
    return (time.thread_time_ns() - started) / 1_000


def calls_per_authentication(*, user_token: bool = False, access_token: bool = False) -> int:
    """Return the calls of Python and C functions that authentication adds to one Authorize."""
    return asyncio.run(_measure(user_token=user_token, access_token=access_token))[0]


def main() -> None:
    """Print calls and CPU time."""
    for user_token in (False, True):
        calls, cpu_us = asyncio.run(_measure(user_token=user_token))
        what = "a verified JWT and a user token" if user_token else "a verified JWT"
        print(f"{what}: {calls} calls, {cpu_us:.1f} us of CPU more for an Authorize")
    calls, cpu_us = asyncio.run(_measure(user_token=False, access_token=True))
    print(f"an access token: {calls} calls, {cpu_us:.1f} us of CPU more for an Authorize")


if __name__ == "__main__":
    main()
