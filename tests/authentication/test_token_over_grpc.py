"""Access tokens over gRPC: who may call, what is refused, and when a revocation holds."""

from __future__ import annotations

import time
from typing import TYPE_CHECKING, Any

import grpc
import pytest

from placet.identity.model import Grant, Role
from placet.tokens.secret import digest_of, new_token
from placet.v1 import approval_pb2, authorization_pb2, token_pb2
from tests.authentication.token_servers import (
    ADMIN,
    RUNTIME,
    SERVICE,
    TokenCaller,
    bearer,
    created,
    token_settings,
    wire_grant,
)
from tests.serving import serving
from tests.transport.streaming import StreamCall, streamed
from tests.transport.wire import AUTHORIZE, Refusal, Wire, refusal_of, request

if TYPE_CHECKING:
    from collections.abc import Iterator

    from tests.serving import Server

UNAUTHENTICATED = grpc.StatusCode.UNAUTHENTICATED
WATCH = "/placet.v1.ApprovalService/WatchApprovals"
WATCH_DECISION = "/placet.v1.AuthorizationService/WatchDecision"
RUNTIME_OF_ACME = wire_grant("AGENT_RUNTIME", "acme", agents=("support-*",), user="USER_ASSERTION_TRUSTED")
APPROVER_OF_ACME = wire_grant("APPROVER", "acme")
STREAM_ENDS_SECONDS = 2.0
BUSY_SECONDS = 4.0
"""What a busy machine may add."""


@pytest.fixture(scope="module")
def started(tmp_path_factory: pytest.TempPathFactory) -> Iterator[tuple[Server, str]]:
    chosen = token_settings(tmp_path_factory.mktemp("tokens"))
    admin, _ = created(chosen, ADMIN, name="root")
    with serving(chosen) as server:
        yield server, admin


@pytest.fixture
def server(started: tuple[Server, str]) -> Server:
    return started[0]


@pytest.fixture
def admin(started: tuple[Server, str]) -> Iterator[TokenCaller]:
    with TokenCaller(started[0].address, started[1]) as caller:
        yield caller


@pytest.fixture
def runtime(server: Server, admin: TokenCaller) -> Iterator[tuple[TokenCaller, str]]:
    """A runtime of acme, and the id of its token."""
    made = admin.create("runtime", RUNTIME_OF_ACME)
    with TokenCaller(server.address, made.secret) as caller:
        yield caller, made.token.id


def refused(caller: TokenCaller, **fields: Any) -> Refusal:
    with pytest.raises(Refusal) as refusal:
        caller.authorize(request(fields) if fields else None)
    return refusal.value


def test_the_record_names_the_program(server: Server, runtime: tuple[TokenCaller, str]) -> None:
    decision = runtime[0].authorize()
    [record] = [each for each in server.records("decision.made") if decision.decision_id in str(each)]
    assert record["body"]["caller"] == "token:acme/runtime"


def test_two_tokens_of_one_person_are_one_caller(server: Server, admin: TokenCaller) -> None:
    dana = {"id": "Dana@Example.com", "roles": ["support_lead"]}
    keys, decided = "one-key-of-dana", set()
    for name, person in (("phone", dana), ("laptop", {"id": "dana@example.com"})):
        made = admin.create(name, RUNTIME_OF_ACME, person=person)
        assert made.token.person.id == "dana@example.com"
        with TokenCaller(server.address, made.secret) as caller:
            decided.add(caller.authorize(request({"idempotency_key": keys})).decision_id)
    assert len(decided) == 1


@pytest.mark.parametrize(
    ("change", "text"),
    [
        pytest.param(lambda token: token[:-1], "cut off or mistyped", id="truncated"),
        pytest.param(lambda token: token[:20], "cut off or mistyped", id="short"),
        pytest.param(lambda token: "placet_" + token[7:].swapcase(), "cut off or mistyped", id="other case"),
        pytest.param(lambda _: new_token(), "unknown or was revoked", id="unknown"),
        pytest.param(lambda token: token + "x" * 9_000, "cut off or mistyped", id="long"),
        pytest.param(lambda token: f"{token} {token}", "cut off or mistyped", id="twice"),
        pytest.param(lambda token: token.replace("placet_", "Placet_"), "not accepted", id="other prefix"),
        pytest.param(lambda _: "", "not accepted", id="nothing"),
    ],
)
def test_wrong_tokens_are_refused(server: Server, runtime: tuple[TokenCaller, str], change: Any, text: str) -> None:
    with TokenCaller(server.address, change(runtime[0].token)) as caller:
        refusal = refused(caller)
    assert (refusal.code, refusal.reason) == (UNAUTHENTICATED, "CREDENTIAL_INVALID")
    assert text in refusal.text
    assert runtime[0].token[10:] not in refusal.text


def test_an_expired_token_is_refused(server: Server, admin: TokenCaller) -> None:
    made = admin.create("brief", RUNTIME_OF_ACME, expires_after_seconds=1)
    time.sleep(1.1)
    with TokenCaller(server.address, made.secret) as caller:
        assert refused(caller).reason == "CREDENTIAL_EXPIRED"
    assert [token.expired for token in admin.listed() if token.id == made.token.id] == [True]


def test_a_revoked_token_is_refused_at_once(admin: TokenCaller, runtime: tuple[TokenCaller, str]) -> None:
    caller, token_id = runtime
    assert caller.authorize().decision_id
    assert admin.revoke(token_id).id == token_id
    refusal = refused(caller)
    assert (refusal.code, refusal.reason) == (UNAUTHENTICATED, "CREDENTIAL_INVALID")
    assert token_id not in {token.id for token in admin.listed()}


def test_who_revokes_the_own_token_gets_the_answer(server: Server, admin: TokenCaller) -> None:
    made = admin.create("leaked", wire_grant("ADMIN", "acme"))
    with TokenCaller(server.address, made.secret) as caller:
        assert caller.revoke(made.token.id, tenant="acme").id == made.token.id
        with pytest.raises(Refusal, match="UNAUTHENTICATED"):
            caller.listed("acme")


def test_a_leaked_token_is_revoked_by_the_digest_of_its_text(
    admin: TokenCaller, runtime: tuple[TokenCaller, str]
) -> None:
    caller, token_id = runtime
    digest = digest_of(caller.token)
    assert caller.authorize().decision_id
    assert admin.revoke("", text_sha256=digest).id == token_id
    assert refused(caller).reason == "CREDENTIAL_INVALID"
    with pytest.raises(Refusal) as refusal:
        admin.revoke("", text_sha256=digest)
    assert refusal.value.reason == "NOT_FOUND"
    assert "no access token has this text" in refusal.value.text


def test_an_admin_finds_no_token_of_another_tenant_by_its_text(server: Server, admin: TokenCaller) -> None:
    other = admin.create("other", wire_grant("AUDITOR", "globex"))
    made = admin.create("admin of acme", wire_grant("ADMIN", "acme"))
    with TokenCaller(server.address, made.secret) as caller:
        for tenant, reason in (("", "TENANT_NOT_GRANTED"), ("acme", "NOT_FOUND")):
            with pytest.raises(Refusal) as refusal:
                caller.revoke("", tenant=tenant, text_sha256=digest_of(other.secret))
            assert refusal.value.reason == reason
    assert other.token.id in {token.id for token in admin.listed()}


@pytest.mark.parametrize(
    ("token_id", "digest", "text"),
    [
        ("", "", "token_id"),
        ("", "a" * 63, "64 lower-case hex digits"),
        ("", "A" * 64, "64 lower-case hex digits"),
        ("tok_0000000000000000", "a" * 64, "send one of the two"),
    ],
)
def test_a_revocation_names_one_token(admin: TokenCaller, token_id: str, digest: str, text: str) -> None:
    with pytest.raises(Refusal, match="INVALID_ARGUMENT") as refusal:
        admin.revoke(token_id, text_sha256=digest)
    assert text in refusal.value.text


@pytest.mark.parametrize(
    "grants",
    [
        pytest.param([wire_grant("OPERATOR", "globex")], id="another tenant"),
        pytest.param([wire_grant("OPERATOR", "acme", "globex")], id="another one too"),
        pytest.param([wire_grant("OPERATOR", "acme"), wire_grant("AUDITOR", "globex")], id="in a second grant"),
        pytest.param([wire_grant("ADMIN", "*")], id="every tenant"),
    ],
)
def test_an_admin_gives_only_its_own_tenants(server: Server, admin: TokenCaller, grants: list[Any]) -> None:
    made = admin.create("admin of acme", wire_grant("ADMIN", "acme"))
    with TokenCaller(server.address, made.secret) as caller:
        with pytest.raises(Refusal) as refusal:
            caller.create("more", *grants)
        assert refusal.value.reason == "TENANT_NOT_GRANTED"
        assert caller.create("allowed", APPROVER_OF_ACME, person={"id": "eve"}).token.grants == [APPROVER_OF_ACME]


@pytest.mark.parametrize("role", ["OPERATOR", "AUDITOR", "POLICY_AUTHOR", "APPROVER", "AGENT_RUNTIME", "TOOL_EXECUTOR"])
def test_only_admins_create_and_revoke(server: Server, admin: TokenCaller, role: str) -> None:
    agents = ("*",) if role == "AGENT_RUNTIME" else ()
    made = admin.create(role, wire_grant(role, "acme", agents=agents), person={"id": "eve"})
    with TokenCaller(server.address, made.secret) as caller:
        for attempt in (lambda: caller.create("x", RUNTIME_OF_ACME), lambda: caller.revoke(made.token.id)):
            with pytest.raises(Refusal) as refusal:
                attempt()
            assert refusal.value.reason == "ROLE_NOT_GRANTED"


def test_an_admin_of_a_tenant_sees_and_revokes_its_tokens_alone(server: Server, admin: TokenCaller) -> None:
    of_acme, of_both = admin.create("own", RUNTIME_OF_ACME), admin.create("both", wire_grant("AUDITOR", "acme", "b"))
    made = admin.create("admin of acme", wire_grant("ADMIN", "acme"))
    with TokenCaller(server.address, made.secret) as caller:
        seen = {token.id for token in caller.listed("acme")}
        assert of_acme.token.id in seen
        assert of_both.token.id not in seen
        for tenant, reason in (("", "TENANT_NOT_GRANTED"), ("b", "TENANT_NOT_GRANTED"), ("acme", "NOT_FOUND")):
            with pytest.raises(Refusal) as refusal:
                caller.revoke(of_both.token.id, tenant=tenant)
            assert refusal.value.reason == reason
        assert caller.revoke(of_acme.token.id, tenant="acme").id == of_acme.token.id


def test_the_person_who_creates_is_who_the_credential_says(server: Server, admin: TokenCaller) -> None:
    made = admin.create("admin of dana", wire_grant("ADMIN", "acme"), person={"id": "dana@example.com"})
    with TokenCaller(server.address, made.secret) as caller:
        assert caller.create("ci", RUNTIME_OF_ACME).token.created_by == "dana@example.com"
        with pytest.raises(Refusal) as refusal:
            caller.create("ci", RUNTIME_OF_ACME, actor={"id": "ann"})
        assert refusal.value.reason == "PERSON_MISMATCH"


def test_a_program_may_not_vote(admin: TokenCaller) -> None:
    with pytest.raises(Refusal) as refusal:
        admin.create("robot", APPROVER_OF_ACME)
    assert refusal.value.violations == {"person.id": "is required for the role approver: only people vote"}


def test_the_list_has_no_secret(admin: TokenCaller, runtime: tuple[TokenCaller, str]) -> None:
    raw = admin.call(SERVICE + "ListTokens", token_pb2.ListTokensRequest())
    assert runtime[0].token.encode() not in raw
    assert not any(name in {"secret", "hash", "digest"} for name in token_pb2.AccessToken.DESCRIPTOR.fields_by_name)


def test_nothing_on_disk_has_the_secret(server: Server, runtime: tuple[TokenCaller, str]) -> None:
    caller = runtime[0]
    caller.authorize()
    refused(caller, **{"identity.agent": caller.token})  # a token in the wrong place
    files = [file for file in server.data_dir.rglob("*") if file.is_file() and "rego" not in file.parts]
    assert files
    assert not [file for file in files if caller.token.encode() in file.read_bytes()]


def test_a_stream_answers_unauthenticated_and_ends(
    server: Server, admin: TokenCaller, runtime: tuple[TokenCaller, str]
) -> None:
    caller, token_id = runtime
    with StreamCall(server.address, bearer(caller.token)) as call:
        call.send(streamed("1"))
        assert call.wait(1)[0].HasField("decision")
        admin.revoke(token_id)
        call.send(streamed("2"), streamed("3"))
        end = call.wait_for_end()
        assert end is not None
        assert (end.code, end.reason) == (UNAUTHENTICATED, "CREDENTIAL_INVALID")
        later = call.answers[1:]
        assert {answer.error.code for answer in later} <= {UNAUTHENTICATED.value[0]}


def test_an_idle_stream_ends_as_well(server: Server, admin: TokenCaller, runtime: tuple[TokenCaller, str]) -> None:
    caller, token_id = runtime
    with StreamCall(server.address, bearer(caller.token)) as call:
        call.send(streamed("1"))
        call.wait(1)
        admin.revoke(token_id)
        end = call.wait_for_end(STREAM_ENDS_SECONDS + BUSY_SECONDS)
        assert end is not None
        assert end.code is UNAUTHENTICATED


def test_a_stream_without_a_credential_is_not_opened(server: Server) -> None:
    for metadata in ((), bearer(new_token())):
        with StreamCall(server.address, metadata) as call:
            end = call.wait_for_end()
            assert end is not None
            assert end.code is UNAUTHENTICATED
    assert [each for each in server.records("access.refused") if each["body"]["method"] == "AuthorizeStream"]


def test_a_wrong_user_token_does_not_end_the_stream(server: Server, runtime: tuple[TokenCaller, str]) -> None:
    with StreamCall(server.address, bearer(runtime[0].token)) as call:
        call.send(streamed("1", request({"identity.user": "", "identity.user_token": "e.y.j"})))
        assert call.wait(1)[0].error.code == UNAUTHENTICATED.value[0]
        call.send(streamed("2"))
        assert call.wait(2)[1].HasField("decision")


@pytest.mark.parametrize("ends", ["revoked", "expires"])
def test_a_watch_ends_with_its_credential(server: Server, admin: TokenCaller, ends: str) -> None:
    seconds = 1 if ends == "expires" else 0
    made = admin.create("watcher", APPROVER_OF_ACME, person={"id": "dana"}, expires_after_seconds=seconds)
    asked = approval_pb2.WatchApprovalsRequest(tenant="acme").SerializeToString()
    with grpc.insecure_channel(server.address) as channel:
        call: Any = channel.unary_stream(WATCH, None, None)(asked, metadata=bearer(made.secret), timeout=30)
        assert next(call) is not None
        if ends == "revoked":
            admin.revoke(made.token.id)
        began = time.monotonic()
        with pytest.raises(grpc.RpcError) as ended:
            for _ in call:
                pass
        assert time.monotonic() - began < seconds + STREAM_ENDS_SECONDS + BUSY_SECONDS
        assert ended.value.code() is UNAUTHENTICATED
        expected = "CREDENTIAL_EXPIRED" if ends == "expires" else "CREDENTIAL_INVALID"
        assert refusal_of(ended.value).reason == expected


def test_a_watch_of_a_decision_ends_with_its_credential(
    server: Server, admin: TokenCaller, runtime: tuple[TokenCaller, str]
) -> None:
    caller, token_id = runtime
    decision = caller.authorize()
    asked = authorization_pb2.WatchDecisionRequest(tenant="acme", decision_id=decision.decision_id)
    with grpc.insecure_channel(server.address) as channel:
        watch = channel.unary_stream(WATCH_DECISION, None, None)
        call: Any = watch(asked.SerializeToString(), metadata=bearer(caller.token), timeout=30)
        assert next(call) is not None
        admin.revoke(token_id)
        began = time.monotonic()
        with pytest.raises(grpc.RpcError) as ended:
            next(call)
        assert time.monotonic() - began < STREAM_ENDS_SECONDS + BUSY_SECONDS
    assert refusal_of(ended.value).reason == "CREDENTIAL_INVALID"


def test_a_cancelled_watch_is_no_failure(server: Server, admin: TokenCaller) -> None:
    made = admin.create("watcher", APPROVER_OF_ACME, person={"id": "dana"})
    asked = approval_pb2.WatchApprovalsRequest(tenant="acme").SerializeToString()
    with grpc.insecure_channel(server.address) as channel:
        call: Any = channel.unary_stream(WATCH, None, None)(asked, metadata=bearer(made.secret), timeout=30)
        assert next(call) is not None
        call.cancel()
        with pytest.raises(grpc.RpcError) as ended:
            next(call)
    assert ended.value.code() is grpc.StatusCode.CANCELLED


def test_two_headers_are_refused(server: Server, runtime: tuple[TokenCaller, str]) -> None:
    wire = Wire(server.address)
    try:
        with pytest.raises(Refusal, match="several authorization headers"):
            wire.raw(AUTHORIZE, request().SerializeToString(), bearer(runtime[0].token) * 2)
    finally:
        wire.close()


def test_without_authentication_no_token_can_be_made_for_later(tmp_path_factory: pytest.TempPathFactory) -> None:
    chosen = token_settings(tmp_path_factory.mktemp("open")).model_copy(update={"auth_file": ""})
    _, token_id = created(chosen, Grant(Role.AUDITOR, frozenset({"acme"})))
    with serving(chosen) as server, TokenCaller(server.address, "") as anyone:
        with pytest.raises(Refusal) as refusal:
            anyone.create("later", RUNTIME_OF_ACME, actor={"id": "eve"})
        assert refusal.value.reason == "AUTHENTICATION_OFF"
        assert [token.id for token in anyone.listed()] == [token_id]
        assert anyone.revoke(token_id, actor={"id": "ann"}).id == token_id


def test_a_token_that_is_created_offline_has_its_grants(tmp_path_factory: pytest.TempPathFactory) -> None:
    chosen = token_settings(tmp_path_factory.mktemp("offline"))
    text, token_id = created(chosen, RUNTIME)
    with serving(chosen) as server, TokenCaller(server.address, text) as caller:
        assert caller.authorize().decision_id
        [record] = server.records("token.created")
        assert record["body"]["token_id"] == token_id
        assert record["parts"]["control"]["actor"] == "ann"
