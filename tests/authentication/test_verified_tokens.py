"""A token is verified once, and forgotten as soon as it or its key ends."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from placet.authentication import jwt as verification
from placet.authentication.compact import read_unverified
from placet.authentication.verified import Verified, VerifiedTokens
from placet.kernel.errors import UnauthenticatedError
from placet.kernel.limits import ISSUER_KEYS_READINGS_AT_ONCE
from tests.authentication.jwt_env import (
    KEY,
    OTHER_KEY,
    FakeClock,
    Provider,
    claims,
    credentials,
    entry,
    jwk,
    key_set,
    keys_of,
    signed,
)

if TYPE_CHECKING:
    from collections.abc import Callable


@pytest.fixture
def verifications(monkeypatch: pytest.MonkeyPatch) -> list[str]:
    """The tokens that were verified, in order."""
    tokens: list[str] = []
    verify: Callable[[str], object] = read_unverified

    def counted(token: str) -> object:
        tokens.append(token)
        return verify(token)

    monkeypatch.setattr(verification, "read_unverified", counted)
    return tokens


async def test_a_token_is_verified_once(verifications: list[str]) -> None:
    verifier = credentials([entry(), entry(audience="users", user_tenants="acme")])
    caller, user = signed(claims()), signed(claims(aud="users"))
    assert [await verifier.principal(caller, "peer") is await verifier.principal(caller, "peer")] == [True]
    assert await verifier.user(user) is await verifier.user(user)
    assert verifications == [caller, user]


async def test_a_token_over_another_connection_has_that_peer(verifications: list[str]) -> None:
    verifier, token = credentials([entry(people=True)]), signed(claims())
    first, second = await verifier.principal(token, "one"), await verifier.principal(token, "two")
    assert (first.caller.peer, second.caller.peer) == ("one", "two")
    assert (first.caller.name, first.grants, first.person) == (second.caller.name, second.grants, second.person)
    assert second.person
    assert first.expires_at_us == second.expires_at_us
    assert len(verifications) == 1


async def test_a_verified_token_expires() -> None:
    clock = FakeClock()
    verifier, token = credentials([entry()], clock=clock), signed(claims())
    await verifier.principal(token, "peer")
    clock.seconds = 600 + 29
    await verifier.principal(token, "peer")
    assert len(verifier._callers) == 1
    clock.seconds = 600 + 31
    assert verifier._callers.get(next(iter(verifier._callers._tokens)), clock.wall_us()) is None
    assert len(verifier._callers) == 0


async def test_a_verified_token_ends_with_its_key() -> None:
    provider, clock = Provider(jwk(KEY)), FakeClock()
    verifier, token = credentials([entry()], provider, clock), signed(claims())
    await verifier.principal(token, "peer")
    provider.text = key_set(jwk(OTHER_KEY, "k2"))
    await verifier.principal(signed(claims(), OTHER_KEY, key_id="k2"), "peer")
    with pytest.raises(UnauthenticatedError, match="no key of the issuer"):
        await verifier.principal(token, "peer")


async def test_a_new_key_counts_at_once_for_tokens_without_a_key_id() -> None:
    provider = Provider(jwk(KEY))
    verifier = credentials([entry()], provider, FakeClock())
    old, new = signed(claims(), key_id=None), signed(claims(), OTHER_KEY, key_id=None)
    await verifier.principal(old, "peer")
    provider.text = key_set(jwk(OTHER_KEY, "k2"))
    assert (await verifier.principal(new, "peer")).caller.method == "jwt"
    for _ in range(100):
        with pytest.raises(UnauthenticatedError, match="not signed"):
            await verifier.principal(old, "peer")
    assert provider.readings == ISSUER_KEYS_READINGS_AT_ONCE


async def test_a_verified_token_ends_when_the_keys_are_stale() -> None:
    provider, clock = Provider(jwk(KEY)), FakeClock()
    verifier, token = credentials([entry()], provider, clock), signed(claims(exp=claims()["exp"] + 7200))
    await verifier.principal(token, "peer")
    provider.fails = "it is down"
    clock.seconds = 3599
    await verifier.principal(token, "peer")
    clock.seconds = 3601
    with pytest.raises(UnauthenticatedError, match="cannot be read now"):
        await verifier.principal(token, "peer")


async def test_the_number_of_remembered_tokens_is_bounded() -> None:
    keys = keys_of(Provider(jwk(KEY)))
    key = await keys.key_for("k1", "RS256")
    tokens: VerifiedTokens[str] = VerifiedTokens(size=2)
    for digest in (b"a", b"b", b"b", b"c"):
        tokens.add(digest, Verified(digest.decode(), 2**62, key, keys))
    assert len(tokens) == 2
    assert [tokens.get(digest, 0) is not None for digest in (b"a", b"b", b"c")] == [False, True, True]


async def test_tokens_that_prove_nothing_are_not_remembered() -> None:
    verifier = credentials([entry()])
    for _ in range(3):
        with pytest.raises(UnauthenticatedError):
            await verifier.principal(signed(claims(), OTHER_KEY), "peer")
    assert len(verifier._callers) == 0
