"""Keys of issuers: rotation, outages, floods of unknown keys, and key sets that nobody should trust."""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING, Any

import jwt
import pytest
from cryptography.hazmat.primitives.asymmetric import ec, rsa

from placet.authentication.jwks import JwksError, read_key_set
from placet.kernel.errors import UnauthenticatedError
from placet.kernel.limits import ISSUER_KEYS_MAX, ISSUER_KEYS_READINGS_AT_ONCE, ISSUER_KEYS_RETRY_SECONDS
from tests.authentication.jwt_env import (
    EC_KEY,
    ED_KEY,
    KEY,
    OTHER_KEY,
    FakeClock,
    Provider,
    jwk,
    key_set,
    keys_of,
)

if TYPE_CHECKING:
    from placet.authentication.issuer_keys import KeysReport


async def test_a_new_key_counts_at_once_and_a_withdrawn_one_no_more() -> None:
    provider = Provider(jwk(KEY, "old"))
    keys = keys_of(provider, FakeClock())
    old = await keys.key_for("old", "RS256")
    provider.text = key_set(jwk(OTHER_KEY, "new"))
    new = await keys.key_for("new", "RS256")
    assert new.key_id == "new"
    assert not keys.trusts(old, 0)
    with pytest.raises(UnauthenticatedError, match="no key of the issuer"):
        await keys.key_for("old", "RS256")


async def test_a_key_that_stays_is_the_same_key() -> None:
    provider, clock = Provider(jwk(KEY, "old")), FakeClock()
    keys = keys_of(provider, clock)
    old = await keys.key_for("old", "RS256")
    provider.text = key_set(jwk(OTHER_KEY, "new"), jwk(KEY, "old"))
    await keys.read()
    assert keys.trusts(old, clock.wall_us())


async def test_a_key_that_is_replaced_under_its_id_is_trusted_no_more() -> None:
    provider, clock = Provider(jwk(KEY)), FakeClock()
    keys = keys_of(provider, clock)
    before = await keys.key_for("k1", "RS256")
    provider.text = key_set(jwk(OTHER_KEY))
    await keys.read()
    assert not keys.trusts(before, clock.wall_us())
    assert keys.trusts(await keys.key_for("k1", "RS256"), clock.wall_us())


async def test_a_flood_of_unknown_keys_causes_few_readings() -> None:
    provider, clock = Provider(jwk(KEY)), FakeClock()
    keys = keys_of(provider, clock)
    await keys.read()
    for number in range(1_000):
        with pytest.raises(UnauthenticatedError):
            await keys.key_for(f"unknown{number}", "RS256")
    assert provider.readings == 1 + ISSUER_KEYS_READINGS_AT_ONCE
    clock.seconds += 2 * ISSUER_KEYS_RETRY_SECONDS
    for number in range(1_000):
        with pytest.raises(UnauthenticatedError):
            await keys.key_for(f"more{number}", "RS256")
    assert provider.readings == 1 + ISSUER_KEYS_READINGS_AT_ONCE + 2


async def test_calls_at_the_same_time_wait_for_one_reading() -> None:
    provider = Provider(jwk(KEY))
    provider.open.clear()
    keys = keys_of(provider)
    waiting = [asyncio.create_task(keys.key_for("k1", "RS256")) for _ in range(50)]
    await asyncio.sleep(0.01)
    waiting[0].cancel()
    provider.open.set()
    results = await asyncio.gather(*waiting, return_exceptions=True)
    assert isinstance(results[0], asyncio.CancelledError)
    assert {key.key_id for key in results[1:] if not isinstance(key, BaseException)} == {"k1"}
    assert provider.readings == 1


async def test_the_last_keys_count_for_a_bound() -> None:
    provider, clock, reports = Provider(jwk(KEY)), FakeClock(), list["KeysReport"]()
    keys = keys_of(provider, clock, reports, stale_seconds=600)
    key = await keys.key_for("k1", "RS256")
    provider.fails = "it is down"
    clock.seconds = 599
    await keys.read()
    assert await keys.key_for("k1", "RS256") is key
    assert keys.trusts(key, clock.wall_us())
    clock.seconds = 601
    assert not keys.trusts(key, clock.wall_us())
    with pytest.raises(UnauthenticatedError, match="cannot be read now") as error:
        await keys.key_for("k1", "RS256")
    assert (error.value.reason, error.value.cause) == ("ISSUER_KEYS_UNAVAILABLE", "it is down")
    assert [(report.error, bool(report.usable_until_us)) for report in reports] == [
        ("", False),
        ("it is down", True),
        ("it is down", False),
    ]
    provider.fails = ""
    clock.seconds += ISSUER_KEYS_RETRY_SECONDS
    assert await keys.key_for("k1", "RS256") is key
    assert not reports[-1].error


async def test_keys_are_read_again_in_the_background() -> None:
    provider = Provider(jwk(KEY))
    keys = keys_of(provider)
    background = asyncio.create_task(keys.run())
    async with asyncio.timeout(10):
        await provider.third.wait()
    background.cancel()
    await keys.close()
    assert not background.done() or background.cancelled()


async def test_an_unexpected_failure_ends_nothing() -> None:
    provider, reports = Provider(jwk(KEY)), list["KeysReport"]()
    provider.text = b"\xff"
    keys = keys_of(provider, reports=reports)
    await keys.read()
    provider.read = None  # type: ignore[assignment,method-assign] # a bug
    await keys.read()
    assert [report.error for report in reports] == [
        "is not a key set: is not JSON: UnicodeDecodeError",
        "TypeError: 'NoneType' object is not callable",
    ]


def test_algorithms_are_bound_to_the_type_of_a_key() -> None:
    keys = read_key_set(key_set(jwk(KEY, "rsa"), jwk(EC_KEY, "ec"), jwk(ED_KEY, "ed"))).keys
    assert {key.key_id: sorted(key.algorithms) for key in keys} == {
        "rsa": ["PS256", "PS384", "PS512", "RS256", "RS384", "RS512"],
        "ec": ["ES256"],
        "ed": ["EdDSA"],
    }


SECRET = {"kty": "oct", "k": "c2VjcmV0", "kid": "s"}
PRIVATE = jwt.algorithms.RSAAlgorithm.to_jwk(KEY, as_dict=True) | {"kid": "p", "use": "sig"}


@pytest.mark.parametrize(
    ("key", "found"),
    [
        (SECRET, "must not be published"),
        (PRIVATE, "is not for signatures"),
        ({**PRIVATE, "key_ops": ["verify"]}, "must not be published"),
        (jwk(KEY, use="enc"), "is not for signatures"),
        (jwk(KEY, key_ops=["encrypt"]), "is not for signatures"),
        (jwk(KEY, key_ops="verify"), "is not for signatures"),
        (jwk(KEY, alg="HS256"), "names the algorithm 'HS256'"),
        (jwk(KEY, alg="ES256"), "names the algorithm 'ES256'"),
        (jwk(KEY, alg=["RS256"]), "names the algorithm"),
        (jwk(KEY, n=None), "is no RSA key"),
        (jwk(KEY, kid=7), "kid is no text"),
        (jwk(EC_KEY, crv="secp256k1"), "is not supported"),
        (jwk(EC_KEY, crv=["P-256"]), "is not supported"),
        (jwk(EC_KEY, x=jwk(EC_KEY)["y"]), "is no EC key"),
        (jwk(ED_KEY, kty="EC"), "is not supported"),
        (jwk(rsa.generate_private_key(65537, 1024)), "has a size outside 2048 to 8192 bits"),  # noqa: S505 - refused
        ({"kid": "x"}, "is not supported"),
    ],
)
def test_a_key_that_nobody_should_trust_is_skipped(key: dict[str, Any], found: str) -> None:
    with pytest.raises(JwksError, match=found):
        read_key_set(key_set(key))
    keys = read_key_set(key_set(key, jwk(ec.generate_private_key(ec.SECP384R1()), "right")))
    assert [one.key_id for one in keys.keys] == ["right"]
    assert found in keys.skipped[0]


@pytest.mark.parametrize(
    ("text", "found"),
    [
        (b"", "is not JSON"),
        (b"[]", "is no JSON object"),
        (b"{}", 'no list "keys"'),
        (b'{"keys": [1]}', 'no list "keys" of objects'),
        (b'{"keys": []}', "the list is empty"),
        (b'{"keys": [], "keys": []}', "twice"),
        (key_set(*[jwk(EC_KEY)] * (ISSUER_KEYS_MAX + 1)), f"at most {ISSUER_KEYS_MAX}"),
    ],
)
def test_a_text_that_is_no_key_set_is_refused(text: bytes, found: str) -> None:
    with pytest.raises(JwksError, match=found):
        read_key_set(text)
