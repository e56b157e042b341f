"""A real provider and a real server: who may call, who is recorded, rotation and outage of the provider."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Any

import grpc
import pytest

from placet.authentication.authenticator import BEARER_BYTES_MAX
from placet.authentication.fetch import ProviderClient
from placet.authentication.issuer_keys import IssuerKeys
from placet.authentication.jwt import JwtCredentials, TrustedIssuer
from placet.authentication.key_sources import DiscoveredAddress
from placet.kernel.errors import UnauthenticatedError
from placet.v1 import control_pb2
from tests.authentication.jwt_env import AUDIENCE, ISSUER, KEY, FakeClock, claims, entry, jwk, key_set, signed
from tests.authentication.oidc_provider import oidc_provider
from tests.serving import serving, settings
from tests.transport.wire import STATUS, Refusal, Wire, request

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

    from tests.authentication.oidc_provider import OidcProvider
    from tests.serving import Server

AGENT = "support-agent"
NO_USER = {"identity.user": ""}
_AUTH_FILE = """
accept = ["jwt"]

[[issuers]]                                    # agent runtimes and people
issuer = "{issuer}"
audience = ["runtime", "cli"]
algorithms = ["RS256"]
people = true
person_claim = "email"
person_verified_claim = "email_verified"
roles_claim = "groups"

[[issuers.grants]]
role = "agent_runtime"
tenants = "acme"
agents = ["support-*"]
user = "token"
when = {{aud = "runtime"}}

[[issuers.grants]]
role = "auditor"
tenants = "acme"
when = {{aud = "cli"}}

[[issuers]]                                    # users of agents
issuer = "{issuer}"
audience = "app"
algorithms = ["RS256"]
person_claim = "email"
person_verified_claim = "email_verified"
roles_claim = "groups"
tenants_claim = "org"

[[issuers]]                                    # tokens that the tests make
issuer = "{made}"
audience = "{audience}"
algorithms = ["RS256"]
jwks_file = "keys.json"

[[issuers.grants]]
role = "agent_runtime"
tenants = "acme"
agents = ["support-*"]

[[issuers.grants]]
role = "auditor"
tenants = "*"
when = {{sub = "auditor"}}
"""


@pytest.fixture(scope="module")
def provider() -> Iterator[OidcProvider]:
    with oidc_provider() as provider:
        yield provider


@pytest.fixture(scope="module")
def server(provider: OidcProvider, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Server]:
    folder = tmp_path_factory.mktemp("authenticated")
    with serving(settings(folder, auth_file=str(auth_file(folder, provider.issuer)))) as server:
        yield server


@pytest.fixture
def caller(server: Server) -> Iterator[Wire]:
    wire = Wire(server.address)
    yield wire
    wire.close()


def auth_file(folder: Path, issuer: str) -> Path:
    (folder / "keys.json").write_bytes(key_set(jwk(KEY)))
    path = folder / "auth.toml"
    path.write_text(_AUTH_FILE.format(issuer=issuer, made=ISSUER, audience=AUDIENCE))
    return path


def bearer(token: str) -> tuple[str, str]:
    return ("authorization", f"Bearer {token}")


def person(provider: OidcProvider, audience: str, name: str = "alice", **changes: Any) -> str:
    right = {
        "email": f"{name.removesuffix('@example.com')}@example.com",
        "email_verified": True,
        "groups": ["support_lead"],
        "org": ["acme"],
    }
    return provider.id_token(audience, name, **{**right, **changes})


def test_a_call_without_a_token_is_refused(caller: Wire) -> None:
    with pytest.raises(Refusal, match="UNAUTHENTICATED") as refusal:
        caller.authorize(request())
    assert (refusal.value.code, refusal.value.reason) == (grpc.StatusCode.UNAUTHENTICATED, "CREDENTIAL_MISSING")


def test_the_record_names_the_caller_and_the_proven_user(caller: Wire, server: Server, provider: OidcProvider) -> None:
    runtime, user = person(provider, "runtime", "runtime@example.com"), person(provider, "app", "Alice")
    asked = request({"identity.user": "", "identity.user_token": user})
    decision = caller.authorize(asked, bearer(runtime))
    [recorded] = [
        record
        for record in server.records("decision.made")
        if record["body"].get("decision_id") == decision.decision_id
    ]
    everything = json.dumps(recorded)
    assert f"{provider.issuer}|runtime@example.com" in everything
    assert '"alice@example.com"' in everything
    assert "support_lead" in everything
    assert user not in everything
    assert runtime not in everything


@pytest.mark.parametrize(
    ("changes", "reason"),
    [
        ({"identity.agent": "deploy-agent"}, "AGENT_NOT_GRANTED"),
        ({"identity.tenant": "initech"}, "TENANT_NOT_GRANTED"),
        ({"identity.user": "bob@example.com"}, "USER_TOKEN_REQUIRED"),
    ],
)
def test_a_runtime_may_do_what_it_is_granted(
    caller: Wire, provider: OidcProvider, changes: dict[str, str], reason: str
) -> None:
    with pytest.raises(Refusal) as refusal:
        caller.authorize(request({**NO_USER, **changes}), bearer(person(provider, "runtime")))
    assert (refusal.value.code, refusal.value.reason) == (grpc.StatusCode.PERMISSION_DENIED, reason)


@pytest.mark.parametrize(
    ("org", "named", "reason"),
    [
        (["initech"], "", "USER_OF_ANOTHER_TENANT"),
        (["*"], "", "USER_OF_ANOTHER_TENANT"),
        (["acme"], "bob@example.com", "USER_MISMATCH"),
    ],
)
def test_a_user_token_proves_its_user_only(
    caller: Wire, provider: OidcProvider, org: list[str], named: str, reason: str
) -> None:
    asked = request({"identity.user": named, "identity.user_token": person(provider, "app", org=org)})
    with pytest.raises(Refusal) as refusal:
        caller.authorize(asked, bearer(person(provider, "runtime")))
    assert (refusal.value.code, refusal.value.reason) == (grpc.StatusCode.PERMISSION_DENIED, reason)


def test_a_runtime_cannot_call_with_the_token_of_its_user(caller: Wire, provider: OidcProvider) -> None:
    with pytest.raises(Refusal, match=r"identity\.user_token") as refusal:
        caller.authorize(request(NO_USER), bearer(person(provider, "app")))
    assert (refusal.value.code, refusal.value.reason) == (grpc.StatusCode.UNAUTHENTICATED, "CREDENTIAL_INVALID")


def test_a_token_of_a_caller_is_no_user_token(caller: Wire, provider: OidcProvider) -> None:
    token = person(provider, "runtime")
    with pytest.raises(Refusal, match="not for users") as refusal:
        caller.authorize(request({**NO_USER, "identity.user_token": token}), bearer(token))
    assert refusal.value.code is grpc.StatusCode.UNAUTHENTICATED


@pytest.mark.parametrize(
    ("token", "reason"),
    [
        (lambda: signed(claims(), algorithm="none", key=None), "CREDENTIAL_INVALID"),
        (lambda: signed(claims(aud="app")), "CREDENTIAL_INVALID"),
        (lambda: signed(claims(exp=1_700_000_000)), "CREDENTIAL_EXPIRED"),
        (lambda: "hunter2", "CREDENTIAL_INVALID"),
    ],
)
def test_a_wrong_token_is_refused(caller: Wire, token: Any, reason: str) -> None:
    with pytest.raises(Refusal) as refusal:
        caller.authorize(request(NO_USER), bearer(token()))
    assert (refusal.value.code, refusal.value.reason) == (grpc.StatusCode.UNAUTHENTICATED, reason)


def test_a_long_token_is_accepted_each_time(caller: Wire) -> None:
    """Without options, gRPC refuses a random part of the headers between 8 and 16 KiB."""
    token = signed(claims(groups=["g" * 36] * 270))
    assert 14_000 < len(token) < BEARER_BYTES_MAX
    for _ in range(20):
        assert caller.authorize(request(NO_USER), bearer(token)).decision_id


@pytest.mark.parametrize(("size", "code"), [(15_000, "UNAUTHENTICATED"), (40_000, "RESOURCE_EXHAUSTED")])
def test_a_huge_token_is_refused(caller: Wire, size: int, code: str) -> None:
    with pytest.raises(Refusal) as refusal:
        caller.authorize(request(NO_USER), bearer(signed(claims(groups=["g" * size]))))
    assert refusal.value.code.name == code


def test_keys_in_a_file_verify_tokens(caller: Wire) -> None:
    assert caller.authorize(request(NO_USER), bearer(signed(claims()))).decision_id


def test_a_program_cannot_vote_and_a_runtime_cannot_read_the_audit_trail(caller: Wire) -> None:
    for method in ("ApprovalService/ApproveAction", "AuditService/VerifyAudit"):
        with pytest.raises(Refusal) as refusal:
            caller.raw(f"/placet.v1.{method}", b"", (bearer(signed(claims())),))
        assert (refusal.value.code, refusal.value.reason) == (grpc.StatusCode.PERMISSION_DENIED, "ROLE_NOT_GRANTED")


def test_a_rotated_key_counts_at_once_and_the_old_one_no_more(tmp_path: Path) -> None:
    with oidc_provider() as provider:
        file = auth_file(tmp_path, provider.issuer)
        with serving(settings(tmp_path, auth_file=str(file))) as server:
            wire = Wire(server.address)
            old = person(provider, "runtime")
            assert wire.authorize(request(NO_USER), bearer(old)).decision_id
            provider.rotate()
            new = person(provider, "runtime")
            assert wire.authorize(request(NO_USER), bearer(new)).decision_id
            with pytest.raises(Refusal) as refusal:
                wire.authorize(request(NO_USER), bearer(old))
            assert refusal.value.reason == "CREDENTIAL_INVALID"
            wire.close()


def test_an_outage_at_the_start_does_not_stop_the_server(tmp_path: Path, capfd: pytest.CaptureFixture[str]) -> None:
    with oidc_provider() as provider:
        token = person(provider, "runtime")
        provider.stop()
        file = auth_file(tmp_path, provider.issuer)
        with serving(settings(tmp_path, auth_file=str(file))) as server:
            wire = Wire(server.address)
            with pytest.raises(Refusal, match="cannot be read now") as refusal:
                wire.authorize(request(NO_USER), bearer(token))
            assert refusal.value.code is grpc.StatusCode.UNAUTHENTICATED
            assert refusal.value.reason == "ISSUER_KEYS_UNAVAILABLE"
            assert wire.authorize(request(NO_USER), bearer(signed(claims()))).decision_id  # another issuer
            logged = [json.loads(line) for line in capfd.readouterr().err.splitlines() if "issuer keys" in line]
            assert logged[0]["event"] == "issuer keys unreadable"
            assert logged[0]["issuer"] == provider.issuer
            assert "/.well-known/openid-configuration" in logged[0]["cause"]
            answer = wire.raw(STATUS, b"", (bearer(signed(claims(sub="auditor"))),))
            status = control_pb2.GetPolicyStatusResponse.FromString(answer)
            assert status.serving
            [unreadable] = status.issuers_unreadable
            assert unreadable.startswith(f"{provider.issuer}: ")
            assert "its tokens are refused" in unreadable
            provider.start()
            assert wire.authorize(request(NO_USER), bearer(person(provider, "runtime"))).decision_id
            wire.close()


async def test_in_an_outage_the_last_keys_count_for_the_bound() -> None:
    clock = FakeClock()
    with oidc_provider() as provider:
        of = entry(issuer=provider.issuer, audience="runtime", jwks_url="")
        source = DiscoveredAddress(provider.issuer, ProviderClient())
        keys = IssuerKeys(provider.issuer, source, clock, stale_seconds=1_800, on_report=lambda _report: None)
        verifier = JwtCredentials([TrustedIssuer(of, keys)], clock)
        first, second = person(provider, "runtime", "one"), person(provider, "runtime", "two")
        await verifier.principal(first, "peer")
        provider.stop()
        clock.seconds = 1_799
        await keys.read()
        assert (await verifier.principal(first, "peer")).caller.name == f"{provider.issuer}|one"
        assert (await verifier.principal(second, "peer")).caller.name == f"{provider.issuer}|two"
        clock.seconds = 1_801
        for token in (first, second):
            with pytest.raises(UnauthenticatedError) as error:
                await verifier.principal(token, "peer")
            assert error.value.reason == "ISSUER_KEYS_UNAVAILABLE"
