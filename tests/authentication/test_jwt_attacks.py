"""Tokens of attackers prove nothing, each for a reason of its own."""

from __future__ import annotations

import hashlib
import hmac
import json
import time
from typing import TYPE_CHECKING

import jwt
import pytest
from cryptography.hazmat.primitives.serialization import Encoding, PublicFormat

from placet.authentication.authenticator import AcceptedCredentials
from placet.authentication.jwt import JwtCredentials, TrustedIssuer
from placet.identity.ports import Credentials
from placet.kernel.errors import UnauthenticatedError
from placet.server.system import SystemClock
from tests.authentication.jwt_env import (
    AUDIENCE,
    EC_KEY,
    ED_KEY,
    ISSUER,
    KEY,
    OTHER_KEY,
    Provider,
    claims,
    credentials,
    encoded,
    entry,
    jwk,
    keys_of,
    raw_signed,
    signed,
)

if TYPE_CHECKING:
    from collections.abc import Callable

RIGHT_HEADER = b'{"alg":"RS256","kid":"k1","typ":"JWT"}'
NOW = int(time.time())


def payload(**changes: object) -> bytes:
    return json.dumps(claims(**changes)).encode()


def hmac_signed(secret: bytes, algorithm: str = "HS256") -> str:
    """Return a token whose secret is the issuer's public key."""
    content = f"{encoded(json.dumps({'alg': algorithm, 'kid': 'k1'}).encode())}.{encoded(payload())}"
    return f"{content}.{encoded(hmac.new(secret, content.encode(), hashlib.sha256).digest())}"


def public_pem() -> bytes:
    return KEY.public_key().public_bytes(Encoding.PEM, PublicFormat.SubjectPublicKeyInfo)


def without_signature(algorithm: str) -> str:
    return f"{encoded(json.dumps({'alg': algorithm, 'kid': 'k1'}).encode())}.{encoded(payload())}."


def tampered() -> str:
    header, _, signature = signed(claims()).split(".")
    return f"{header}.{encoded(payload(sub='admin'))}.{signature}"


ATTACKS: dict[str, tuple[Callable[[], str], str]] = {
    "algorithm none": (lambda: without_signature("none"), "algorithm"),
    "algorithm None": (lambda: without_signature("None"), "algorithm"),
    "no algorithm": (lambda: raw_signed(b'{"kid":"k1"}', payload()), "names no algorithm"),
    "algorithm as a list": (lambda: raw_signed(b'{"alg":["RS256"],"kid":"k1"}', payload()), "names no algorithm"),
    "no signature": (lambda: without_signature("RS256"), "not signed"),
    "HMAC with the public key": (lambda: hmac_signed(public_pem()), "algorithm"),
    "HMAC that says RS256": (lambda: hmac_signed(public_pem(), "RS256"), "not signed"),
    "an algorithm that is not pinned": (lambda: signed(claims(), algorithm="RS512"), "algorithm"),
    "a key of another type": (lambda: signed(claims(), EC_KEY, "ES256", "ec"), "algorithm"),
    "other claims under the signature": (tampered, "not signed"),
    "another key": (lambda: signed(claims(), OTHER_KEY), "not signed"),
    "an unknown key": (lambda: signed(claims(), OTHER_KEY, key_id="k2"), "no key of the issuer"),
    "a path as key id": (lambda: signed(claims(), OTHER_KEY, key_id="../../dev/null"), "no key of the issuer"),
    "SQL as key id": (lambda: signed(claims(), OTHER_KEY, key_id="k1' or '1'='1"), "no key of the issuer"),
    "a long key id": (lambda: signed(claims(), key_id="k" * 257), "at most 256"),
    "a key id that is no text": (lambda: raw_signed(b'{"alg":"RS256","kid":["k1"]}', payload()), "key id"),
    "its own key": (lambda: signed(claims(), OTHER_KEY, jwk=jwk(OTHER_KEY)), "not signed"),
    "its own key set": (lambda: signed(claims(), OTHER_KEY, jku="https://evil.example/keys"), "not signed"),
    "its own certificate": (lambda: signed(claims(), OTHER_KEY, x5u="https://evil.example/x", x5c=["M"]), "not signed"),
    "critical extensions": (
        lambda: raw_signed(b'{"alg":"RS256","kid":"k1","crit":["exp"],"exp":1}', payload()),
        "extensions",
    ),
    "an unencoded payload": (lambda: raw_signed(b'{"alg":"RS256","kid":"k1","b64":false}', payload()), "extensions"),
    "a logout token": (lambda: signed(claims(), typ="logout+jwt"), "type"),
    "a proof of possession": (lambda: signed(claims(), typ="dpop+jwt"), "type"),
    "a bound token": (lambda: signed(claims(cnf={"jkt": "x"})), "bound to a key"),
    "five parts": (lambda: signed(claims()) + ".a.b", "three parts"),
    "no JWT": (lambda: "hunter2", "three parts"),
    "padding": (lambda: signed(claims()) + "=", "base64url"),
    "line ends": (lambda: signed(claims()).replace(".", "\n.", 1), "base64url"),
    "other base64": (lambda: signed(claims()).replace(".", ".+/", 1), "base64url"),
    "a header that is no object": (lambda: raw_signed(b"[]", payload()), "header"),
    "a header that is no JSON": (lambda: raw_signed(b'{"alg":', payload()), "header"),
    "deep nesting": (lambda: raw_signed(RIGHT_HEADER, b'{"a":' * 5000 + b"1" + b"}" * 5000), "claims"),
    "two algorithms": (lambda: raw_signed(b'{"alg":"none","alg":"RS256","kid":"k1"}', payload()), "twice"),
    "two subjects": (lambda: raw_signed(RIGHT_HEADER, payload()[:-1] + b',"sub":"admin"}'), "twice"),
    "two values within a claim": (lambda: raw_signed(RIGHT_HEADER, payload()[:-1] + b',"a":{"b":1,"b":2}}'), "twice"),
    "no number": (lambda: raw_signed(RIGHT_HEADER, payload()[:-1] + b',"a":NaN}'), "number"),
    "another issuer": (lambda: signed(claims(iss="https://evil.example")), "issuer"),
    "an issuer that begins alike": (lambda: signed(claims(iss=f"{ISSUER}/")), "issuer"),
    "an issuer in capitals": (lambda: signed(claims(iss=ISSUER.upper())), "issuer"),
    "issuers": (lambda: raw_signed(RIGHT_HEADER, payload(iss=[ISSUER])), "iss"),
    "no issuer": (lambda: signed(claims(iss=None)), "iss"),
    "another audience": (lambda: signed(claims(aud="api://payroll")), "another audience"),
    "an audience that begins alike": (lambda: signed(claims(aud=f"{AUDIENCE}/x")), "another audience"),
    "no audience": (lambda: signed(claims(aud=None)), "aud"),
    "no audiences": (lambda: signed(claims(aud=[])), "aud"),
    "an audience that is no text": (lambda: signed(claims(aud=[AUDIENCE, 1])), "aud"),
    "an audience that is an object": (lambda: signed(claims(aud={AUDIENCE: 1})), "aud"),
    "no end": (lambda: signed(claims(exp=None)), "exp"),
    "an end that is a text": (lambda: signed(claims(exp=str(NOW + 86_400))), "exp"),
    "an end that is true": (lambda: signed(claims(exp=True)), "exp"),
    "an infinite end": (lambda: raw_signed(RIGHT_HEADER, payload(exp=0).replace(b'"exp": 0', b'"exp":1e999')), "exp"),
    "a late end": (lambda: signed(claims(exp=10**18)), "exp"),
    "a future begin": (lambda: signed(claims(nbf=NOW + 86_400)), "not valid yet"),
    "issued in the future": (lambda: signed(claims(iat=NOW + 86_400)), "not valid yet"),
    "a begin that is a list": (lambda: signed(claims(nbf=[NOW])), "nbf"),
    "a subject that is a list": (lambda: raw_signed(RIGHT_HEADER, payload(sub=["admin"])), "sub"),
    "a subject that is a number": (lambda: raw_signed(RIGHT_HEADER, payload(sub=7)), "sub"),
    "no subject": (lambda: signed(claims(sub=None)), "sub"),
    "an empty subject": (lambda: signed(claims(sub="")), "sub"),
    "a subject with an escape": (lambda: signed(claims(sub="bob\x1b[2J\nadmin")), "invisible"),
    "a subject in two alphabets": (lambda: signed(claims(sub="\u0430dmin")), "alphabets"),
    "a lone surrogate": (lambda: raw_signed(RIGHT_HEADER, payload(sub="x").replace(b'"x"', b'"\\ud800"')), "invisible"),
    "a long subject": (lambda: signed(claims(sub="s" * 300)), "too long"),
    "a JWT identity that is no text": (lambda: raw_signed(RIGHT_HEADER, payload(jti=1)), "jti"),
}  # fmt: skip


@pytest.mark.parametrize("name", ATTACKS)
async def test_an_attack_proves_nothing(name: str) -> None:
    token, found = ATTACKS[name]
    verifier = credentials([entry()], Provider(jwk(KEY), jwk(EC_KEY, "ec"), jwk(ED_KEY, "ed")))
    with pytest.raises(UnauthenticatedError) as error:
        await verifier.principal(token(), "peer")
    assert error.value.reason == "CREDENTIAL_INVALID"
    assert found in str(error.value)
    assert str(error.value).isprintable(), "it is recorded, and sent to the caller"
    assert token() not in f"{error.value}{error.value.cause}" or name == "no JWT"
    assert len(verifier._callers) == 0


@pytest.mark.parametrize(
    ("key", "algorithm", "key_id"), [(KEY, "RS256", "k1"), (EC_KEY, "ES256", "ec"), (ED_KEY, "EdDSA", "ed")]
)
async def test_a_token_that_was_cut_off_is_told_so_wherever_it_ends(key: object, algorithm: str, key_id: str) -> None:
    provider = Provider(jwk(KEY), jwk(EC_KEY, "ec"), jwk(ED_KEY, "ed"))
    verifier = credentials([entry(algorithms=[algorithm])], provider)
    token = signed(claims(), key, algorithm, key_id)
    for end in range(len("eyJ"), len(token)):
        with pytest.raises(UnauthenticatedError, match="was cut off") as error:
            await verifier.principal(token[:end], "peer")
        assert "send all of" in str(error.value)
        assert token[:end] not in str(error.value)


async def test_a_whole_token_of_another_key_is_not_said_to_be_cut_off() -> None:
    with pytest.raises(UnauthenticatedError) as error:
        await credentials([entry()]).principal(signed(claims(), OTHER_KEY), "peer")
    assert str(error.value) == "the token is not signed by its issuer"


async def test_the_right_token_proves_its_caller() -> None:
    principal = await credentials([entry()]).principal(signed(claims()), "peer")
    assert principal.caller.name == f"{ISSUER}|runtime-1"
    assert (principal.caller.method, principal.caller.issuer, principal.caller.peer) == ("jwt", ISSUER, "peer")
    assert [grant.tenants for grant in principal.grants] == [frozenset({"acme"})]
    assert principal.person == ""


async def test_an_expired_token_is_reported_as_expired() -> None:
    with pytest.raises(UnauthenticatedError, match="has expired") as error:
        await credentials([entry()]).principal(signed(claims(exp=NOW - 60)), "peer")
    assert error.value.reason == "CREDENTIAL_EXPIRED"


async def test_clocks_may_differ_by_the_leeway() -> None:
    now = int(time.time())  # NOW is minutes ago when many tests ran before
    verifier = credentials([entry(leeway_seconds=300)])
    principal = await verifier.principal(signed(claims(exp=now - 10, nbf=now + 10, iat=now + 10)), "peer")
    assert principal.expires_at_us == (now - 10 + 300) * 1_000_000


@pytest.mark.parametrize(
    ("key", "algorithm", "key_id"), [(KEY, "PS256", "k1"), (EC_KEY, "ES256", "ec"), (ED_KEY, "EdDSA", "ed")]
)
async def test_other_signatures_are_verified_where_they_are_accepted(key: object, algorithm: str, key_id: str) -> None:
    provider = Provider(jwk(KEY), jwk(EC_KEY, "ec"), jwk(ED_KEY, "ed"))
    verifier = credentials([entry(algorithms=[algorithm])], provider)
    principal = await verifier.principal(signed(claims(), key, algorithm, key_id), "peer")
    assert principal.caller.name.endswith("runtime-1")


async def test_a_key_that_names_its_algorithm_verifies_no_other() -> None:
    verifier = credentials([entry(algorithms=["RS256", "PS256"])], Provider(jwk(KEY, alg="PS256")))
    with pytest.raises(UnauthenticatedError, match="no key of the issuer"):
        await verifier.principal(signed(claims()), "peer")
    assert (await verifier.principal(signed(claims(), algorithm="PS256"), "peer")).caller.issuer == ISSUER


async def test_the_key_of_another_issuer_proves_nothing() -> None:
    """Each issuer's tokens are verified with its own keys, also when both use one key id."""
    other = entry(issuer="https://other.example", jwks_url="https://other.example/keys")
    trusted = [
        TrustedIssuer(entry(), keys_of(Provider(jwk(KEY)))),
        TrustedIssuer(other, keys_of(Provider(jwk(OTHER_KEY)))),
    ]
    verifier = JwtCredentials(trusted, SystemClock())
    assert (await verifier.principal(signed(claims(iss=other.issuer), OTHER_KEY), "peer")).caller.issuer == other.issuer
    with pytest.raises(UnauthenticatedError):
        await verifier.principal(signed(claims(), OTHER_KEY), "peer")
    with pytest.raises(UnauthenticatedError):
        await verifier.principal(signed(claims(iss=other.issuer), KEY), "peer")


async def test_a_token_without_a_key_id_needs_one_key_that_fits() -> None:
    one = credentials([entry()], Provider(jwk(KEY), jwk(EC_KEY, "ec")))
    assert (await one.principal(signed(claims(), key_id=None), "peer")).caller.issuer == ISSUER
    two = credentials([entry()], Provider(jwk(KEY), jwk(OTHER_KEY, "k2")))
    with pytest.raises(UnauthenticatedError, match="which key"):
        await two.principal(signed(claims(), key_id=None), "peer")


async def test_a_huge_token_is_refused_unread() -> None:
    accepted = AcceptedCredentials(jwts=credentials([entry()]), users=credentials([entry()]))
    huge = signed(claims(groups=["g" * 20_000]))
    with pytest.raises(UnauthenticatedError, match="longer than"):
        await accepted.authenticate(Credentials((f"Bearer {huge}",)))
    with pytest.raises(UnauthenticatedError, match="longer than"):
        await accepted.user_of(huge)


async def test_pyjwt_itself_would_accept_a_repeated_claim() -> None:
    """The reason why claims are read strictly before PyJWT reads them."""
    token = raw_signed(RIGHT_HEADER, payload()[:-1] + b',"sub":"admin"}')
    assert jwt.decode(token, KEY.public_key(), ["RS256"], audience=AUDIENCE)["sub"] == "admin"
