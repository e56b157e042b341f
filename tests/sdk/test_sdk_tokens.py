"""The token that a client presents, and the client of admins."""

from __future__ import annotations

import hashlib
import traceback
from typing import Any

import grpc
import pytest

from placet.sdk import (
    ApprovalClient,
    AuditClient,
    CallerRole,
    CallFailedError,
    Client,
    ControlClient,
    CreatedToken,
    InvalidRequestError,
    Person,
    TokenClient,
    TokenGrant,
    UserAssertion,
)
from placet.v1 import token_pb2
from tests.sdk.both import ACTION, IDENTITY
from tests.sdk.in_loop import connected
from tests.sdk.scripted_server import AUTHORIZE, ScriptedServer, allow

TOKEN = "placet_0123456789"  # noqa: S105 - a made-up one
CREATE, LIST, REVOKE = (f"/placet.v1.TokenService/{name}" for name in ("CreateToken", "ListTokens", "RevokeToken"))
CLIENTS = [Client, ApprovalClient, AuditClient, ControlClient, TokenClient]
KINDS = [(False, "unary"), (True, "unary"), (False, "stream"), (True, "stream")]


def sent(server: ScriptedServer) -> list[Any]:
    """Return the authorization header of each call."""
    return [metadata.get("authorization") for _, _, metadata in server.calls]


@pytest.mark.parametrize(("use_asyncio", "transport"), KINDS)
def test_each_call_presents_the_token(server: ScriptedServer, use_asyncio: bool, transport: str) -> None:  # noqa: FBT001
    server.script(AUTHORIZE, allow())
    with connected(Client, server.address, use_asyncio=use_asyncio, token=TOKEN, transport=transport) as client:
        assert client.authorize(ACTION, IDENTITY).allowed
    assert sent(server) == [f"Bearer {TOKEN}"]


@pytest.mark.parametrize("use_asyncio", [False, True])
def test_a_function_is_asked_for_each_call(server: ScriptedServer, use_asyncio: bool) -> None:  # noqa: FBT001
    server.script(AUTHORIZE, allow())
    tokens = iter(["one", "two"])
    with connected(Client, server.address, use_asyncio=use_asyncio, token=lambda: next(tokens)) as client:
        client.authorize(ACTION, IDENTITY)
        client.authorize(ACTION, IDENTITY)
    assert sent(server) == ["Bearer one", "Bearer two"]


def test_a_function_whose_token_has_a_line_break_is_told_so() -> None:
    with Client("127.0.0.1:1", token=lambda: f"{TOKEN}\n") as client:
        failure = client.authorize(ACTION, IDENTITY).failure
    assert failure is not None
    assert "without spaces and line breaks" in failure.detail
    assert TOKEN not in failure.detail


def test_the_variable_is_the_default(server: ScriptedServer, monkeypatch: pytest.MonkeyPatch) -> None:
    server.script(AUTHORIZE, allow())
    monkeypatch.setenv("PLACET_TOKEN", TOKEN)
    for given in (None, "another"):
        with Client(server.address, token=given) as client:
            client.authorize(ACTION, IDENTITY)
    monkeypatch.setenv("PLACET_TOKEN", "")
    with Client(server.address) as client:
        client.authorize(ACTION, IDENTITY)
    assert sent(server) == [f"Bearer {TOKEN}", "Bearer another", None]


@pytest.mark.parametrize("client", CLIENTS)
@pytest.mark.parametrize("address", ["placet.internal:7070", "10.0.0.1:7070", "[2001:db8::1]:7070"])
def test_no_token_goes_beyond_this_host_without_tls(client: Any, address: str) -> None:
    with pytest.raises(ValueError, match="without TLS") as refused:
        client(address, token=TOKEN)
    assert TOKEN not in str(refused.value)
    client(address, token=TOKEN, allow_plaintext_token=True).close()
    client(address, token=TOKEN, credentials=grpc.ssl_channel_credentials()).close()
    client(address).close()


@pytest.mark.parametrize("address", ["localhost:7070", "127.0.0.1:7070", "127.1.2.3:7070", "[::1]:7070"])
def test_this_host_needs_no_tls(address: str) -> None:
    with Client(address, token=TOKEN) as client:
        assert TOKEN not in repr(vars(client))


@pytest.mark.parametrize("token", ["", "two words", "line\nfeed", "é", "x" * 16_385, "a\r\nx-evil: 1"])
def test_texts_that_are_no_token(token: str) -> None:
    with pytest.raises(ValueError, match="token must be"):
        Client(token=token)


@pytest.mark.parametrize("token", [7, b"placet_", ["a"]])
def test_values_that_are_no_token(token: Any) -> None:
    with pytest.raises(TypeError, match="token must be text or a function"):
        Client(token=token)


def _raises() -> str:
    raise RuntimeError(f"cannot read {TOKEN}")


@pytest.mark.parametrize("function", [_raises, lambda: f"{TOKEN}\n", lambda: 7, lambda: ""])
@pytest.mark.parametrize(("use_asyncio", "transport"), KINDS)
def test_a_function_that_fails_is_a_deny(
    server: ScriptedServer,
    function: Any,
    use_asyncio: bool,  # noqa: FBT001
    transport: str,
) -> None:
    with connected(Client, server.address, use_asyncio=use_asyncio, token=function, transport=transport) as client:
        decision = client.authorize(ACTION, IDENTITY)
        assert not decision.allowed
        assert decision.failure is not None
        assert "the token cannot be used" in str(decision.failure)
        with pytest.raises(CallFailedError) as failed:
            client.authorize(ACTION, IDENTITY, on_failure="raise")
    text = "".join(traceback.format_exception(failed.value))
    assert TOKEN not in text + str(decision)
    assert not server.calls


@pytest.mark.parametrize("use_asyncio", [False, True])
def test_a_stream_whose_token_ended_goes_on_with_the_next_one(server: ScriptedServer, use_asyncio: bool) -> None:  # noqa: FBT001
    server.script(AUTHORIZE, allow())
    server.stream_ends.append(lambda context: context.abort(grpc.StatusCode.UNAUTHENTICATED, "expired"))
    tokens = iter(["old", "new", "newer"])
    with connected(
        Client, server.address, use_asyncio=use_asyncio, token=lambda: next(tokens), transport="stream", timeout=10
    ) as client:
        assert client.authorize(ACTION, IDENTITY).allowed
    assert sent(server)[-1] == "Bearer new"


def test_a_token_is_created(server: ScriptedServer) -> None:
    token = token_pb2.AccessToken(id="tok_1", name="ci", created_by="ann")
    token.grants.add(role="CALLER_ROLE_AGENT_RUNTIME", tenants=["acme"], agents=["a"], user="USER_ASSERTION_TRUSTED")
    token.grants.add(role="CALLER_ROLE_ADMIN", tenants=["*"])
    token.person.id = "dana"
    server.script(CREATE, token_pb2.CreateTokenResponse(token=token, secret=TOKEN))
    grants = [
        TokenGrant(CallerRole.AGENT_RUNTIME, ("acme",), ("a",), UserAssertion.TRUSTED),
        TokenGrant(CallerRole.ADMIN, ("*",)),
    ]
    with TokenClient(server.address) as client:
        created = client.create("ci", grants, person=Person("dana", ("lead",)), expires_after_seconds=60, actor="ann")
    [raw] = server.requests(CREATE)
    asked = token_pb2.CreateTokenRequest.FromString(raw)
    assert (asked.name, asked.person.id, list(asked.person.roles)) == ("ci", "dana", ["lead"])
    assert (asked.expires_after_seconds, asked.actor.id) == (60, "ann")
    assert asked.grants == token.grants
    assert created.token.grants == tuple(grants)
    assert (created.secret, created.token.person) == (TOKEN, Person("dana", ()))
    assert TOKEN not in repr(created)
    assert isinstance(created, CreatedToken)


def test_tokens_are_listed_and_revoked(server: ScriptedServer) -> None:
    token = token_pb2.AccessToken(id="tok_1", name="ci", expired=True)
    token.expires_at.FromJsonString("2026-04-24T18:33:01Z")
    server.script(LIST, token_pb2.ListTokensResponse(tokens=[token]))
    server.script(REVOKE, token_pb2.RevokeTokenResponse(token=token))
    with TokenClient(server.address) as client:
        [listed] = client.list("acme")
        assert client.revoke("tok_1", reason="lost", tenant="acme") == listed
    assert (listed.person, listed.last_used_at, listed.expired) == (None, None, True)
    assert listed.expires_at is not None
    [raw] = server.requests(REVOKE)
    asked = token_pb2.RevokeTokenRequest.FromString(raw)
    assert (asked.token_id, asked.reason, asked.tenant, asked.actor.id) == ("tok_1", "lost", "acme", "")


@pytest.mark.parametrize("use_asyncio", [False, True])
def test_a_token_is_revoked_by_its_text_which_is_not_sent(server: ScriptedServer, use_asyncio: bool) -> None:  # noqa: FBT001
    server.script(REVOKE, token_pb2.RevokeTokenResponse(token=token_pb2.AccessToken(id="tok_1")))
    with connected(TokenClient, server.address, use_asyncio=use_asyncio) as client:
        assert client.revoke_text(TOKEN, reason="in a log", tenant="acme", actor="ann").id == "tok_1"
        wrong: Any
        for wrong in ("", None, 7):
            with pytest.raises(InvalidRequestError, match="secret: must be the text of a token"):
                client.revoke_text(wrong, reason="in a log")
    [raw] = server.requests(REVOKE)
    asked = token_pb2.RevokeTokenRequest.FromString(raw)
    assert (asked.token_id, asked.tenant, asked.reason, asked.actor.id) == ("", "acme", "in a log", "ann")
    assert asked.text_sha256 == hashlib.sha256(TOKEN.encode()).hexdigest()
    assert TOKEN.encode() not in raw


@pytest.mark.parametrize("grant", ["admin", TokenGrant("root", ["a"]), TokenGrant(CallerRole.ADMIN, ["a"], (), "x")])  # type: ignore[arg-type] # the test's point
def test_wrong_grants_are_refused(server: ScriptedServer, grant: Any) -> None:
    with TokenClient(server.address) as client, pytest.raises(InvalidRequestError, match=r"grants\[0\]"):
        client.create("ci", [grant])
    assert not server.calls
