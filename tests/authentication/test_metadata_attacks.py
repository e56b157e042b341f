"""Headers that say who calls in unusual ways prove nothing, and do not harm the server."""

from __future__ import annotations

from typing import TYPE_CHECKING

import grpc
import pytest

from placet.kernel.limits import MESSAGE_BYTES_MAX
from tests.authentication import raw_http2
from tests.authentication.token_servers import RUNTIME, TokenCaller, created, token_settings
from tests.serving import serving
from tests.transport.wire import AUTHORIZE, Refusal, Wire, request

if TYPE_CHECKING:
    from collections.abc import Iterator

    from tests.serving import Server

MIB = 1_048_576
Metadata = tuple[tuple[str, str | bytes], ...]


@pytest.fixture(scope="module")
def started(tmp_path_factory: pytest.TempPathFactory) -> Iterator[tuple[Server, str]]:
    chosen = token_settings(tmp_path_factory.mktemp("metadata"))
    token, _ = created(chosen, RUNTIME)
    with serving(chosen) as server:
        yield server, token


@pytest.fixture
def server(started: tuple[Server, str]) -> Server:
    return started[0]


@pytest.fixture
def token(started: tuple[Server, str]) -> str:
    return started[1]


def decided(server: Server) -> int:
    return len(server.records("decision.made"))


@pytest.fixture(autouse=True)
def _still_serving(server: Server, token: str) -> Iterator[None]:
    """After each attack the next caller is answered."""
    yield
    with TokenCaller(server.address, token) as caller:
        assert caller.authorize().decision_id


ATTACKS = {
    "two headers": ((("authorization", "Bearer {}"), ("authorization", "Bearer x")), "CREDENTIAL_INVALID"),
    "the right one last": ((("authorization", "Bearer x"), ("authorization", "Bearer {}")), "CREDENTIAL_INVALID"),
    "the right one twice": ((("authorization", "Bearer {}"),) * 2, "CREDENTIAL_INVALID"),
    "an empty one beside": ((("authorization", ""), ("authorization", "Bearer {}")), "CREDENTIAL_INVALID"),
    "two in one header": ((("authorization", "Bearer {}, Bearer {}"),), "CREDENTIAL_INVALID"),
    "two schemes": ((("authorization", "Basic eA==, Bearer {}"),), "CREDENTIAL_INVALID"),
    "another scheme": ((("authorization", "Basic {}"),), "CREDENTIAL_INVALID"),
    "no scheme": ((("authorization", "{}"),), "CREDENTIAL_INVALID"),
    "no credential": ((("authorization", "Bearer "),), "CREDENTIAL_INVALID"),
    "a binary header": ((("authorization-bin", b"Bearer {}"),), "CREDENTIAL_MISSING"),
    "another header": ((("proxy-authorization", "Bearer {}"), ("x-authorization", "Bearer {}")), "CREDENTIAL_MISSING"),
    "a cookie": ((("cookie", "authorization=Bearer {}"),), "CREDENTIAL_MISSING"),
    "who the caller would like to be": (
        (("x-forwarded-client-cert", "URI=spiffe://example.org/admin"), ("x-forwarded-user", "root")),
        "CREDENTIAL_MISSING",
    ),
}


def filled(metadata: Metadata, token: str) -> Metadata:
    return tuple(
        (key, value.replace(b"{}", token.encode()) if isinstance(value, bytes) else value.replace("{}", token))
        for key, value in metadata
    )


@pytest.mark.parametrize("name", ATTACKS)
def test_unusual_headers_prove_nothing(server: Server, token: str, name: str) -> None:
    metadata, reason = ATTACKS[name]
    before, wire = decided(server), Wire(server.address)
    with pytest.raises(Refusal) as refusal:
        wire.raw(AUTHORIZE, request().SerializeToString(), filled(metadata, token))  # type: ignore[arg-type]
    wire.close()
    assert (refusal.value.code, refusal.value.reason) == (grpc.StatusCode.UNAUTHENTICATED, reason)
    assert token not in refusal.value.text
    assert decided(server) == before


@pytest.mark.parametrize("scheme", ["Bearer", "bearer", "BEARER"])
def test_the_case_of_the_scheme_does_not_matter(server: Server, token: str, scheme: str) -> None:
    wire = Wire(server.address)
    assert wire.raw(AUTHORIZE, request().SerializeToString(), (("authorization", f"{scheme} {token}"),))
    wire.close()


@pytest.mark.parametrize("key", ["authorization", "user-agent-too", "traceparent", "large-bin"])
def test_a_mebibyte_of_headers_is_refused_unread(server: Server, token: str, key: str) -> None:
    value: str | bytes = b"x" * MIB if key.endswith("-bin") else "x" * MIB
    right: Metadata = () if key == "authorization" else (("authorization", f"Bearer {token}"),)
    before = decided(server)
    wire = Wire(server.address)
    with pytest.raises(Refusal) as refusal:
        wire.raw(AUTHORIZE, request().SerializeToString(), (*right, (key, value)))  # type: ignore[arg-type]
    wire.close()
    assert refusal.value.code is grpc.StatusCode.RESOURCE_EXHAUSTED
    assert decided(server) == before


def test_a_message_beside_wrong_headers_is_not_read(server: Server) -> None:
    before, wire = decided(server), Wire(server.address)
    with pytest.raises(Refusal) as refusal:
        wire.raw(AUTHORIZE, bytes(MESSAGE_BYTES_MAX - 1), ())
    wire.close()
    assert refusal.value.reason == "CREDENTIAL_MISSING", "and not that the message is malformed"
    assert decided(server) == before


RAW = {
    "a name in capitals": [(b"Authorization", b"Bearer {}")],
    "a name in capitals beside": [(b"authorization", b"Bearer {}"), (b"AUTHORIZATION", b"Bearer x")],
    "a name with a blank": [(b"authorization ", b"Bearer {}")],
    "a line end in the value": [(b"authorization", b"Bearer {}\r\nx: y")],
    "a zero in the value": [(b"authorization", b"Bearer {}\0")],
    "no text": [(b"authorization", b"Bearer {}\xff")],
    "a second path": [(b"authorization", b"Bearer {}"), (b":path", b"/placet.v1.TokenService/ListTokens")],
}


@pytest.mark.parametrize("name", RAW)
def test_headers_that_http_forbids_prove_nothing(server: Server, token: str, name: str) -> None:
    before = decided(server)
    headers = [(key, value.replace(b"{}", token.encode())) for key, value in RAW[name]]
    assert raw_http2.call(server.address, AUTHORIZE, request().SerializeToString(), headers) != "answered"
    assert decided(server) == before


def test_the_same_client_is_answered_with_right_headers(server: Server, token: str) -> None:
    """Proves that the attacks reach the server."""
    before = decided(server)
    headers = [(b"authorization", f"Bearer {token}".encode())]
    assert raw_http2.call(server.address, AUTHORIZE, request().SerializeToString(), headers) == "answered"
    assert decided(server) == before + 1
