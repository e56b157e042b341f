"""The client that lists and rotates keys, and keys that are fetched from a URL."""

from __future__ import annotations

import contextlib
import threading
from datetime import UTC, datetime
from http.server import BaseHTTPRequestHandler, HTTPServer
from typing import TYPE_CHECKING

import pytest

from placet.sdk import InvalidRequestError, Key, KeyClient, KeyState, PermitError, PermitKeys, PermitReason
from placet.v1 import key_pb2
from tests.sdk.in_loop import connected

if TYPE_CHECKING:
    from collections.abc import Iterator

    from tests.sdk.scripted_server import ScriptedServer

LIST, ROTATE = (f"/placet.v1.KeyService/{name}" for name in ("ListKeys", "RotateKey"))
SIGNS_FROM = datetime(2026, 4, 24, tzinfo=UTC)


def key(state: int = key_pb2.KEY_STATE_WAITS) -> key_pb2.Key:
    made = key_pb2.Key(id="k1", use=key_pb2.KEY_USE_PERMIT, state=state)  # type: ignore[arg-type] # a number
    made.signs_from.FromDatetime(SIGNS_FROM)
    return made


@pytest.mark.parametrize("use_asyncio", [False, True])
def test_list(server: ScriptedServer, use_asyncio: bool) -> None:  # noqa: FBT001 - a parameter
    old = key(key_pb2.KEY_STATE_VERIFIES)
    old.signs_until.FromDatetime(SIGNS_FROM)
    server.script(LIST, key_pb2.ListKeysResponse(keys=[old, key(77)]))
    with connected(KeyClient, server.address, use_asyncio=use_asyncio) as client:
        assert client.list() == (
            Key("k1", KeyState.VERIFIES, SIGNS_FROM, SIGNS_FROM, None),
            Key("k1", KeyState.UNSPECIFIED, SIGNS_FROM, None, None),
        )


@pytest.mark.parametrize("use_asyncio", [False, True])
def test_rotate(server: ScriptedServer, use_asyncio: bool) -> None:  # noqa: FBT001 - a parameter
    server.script(ROTATE, *[key_pb2.RotateKeyResponse(key=key())] * 3)
    with connected(KeyClient, server.address, use_asyncio=use_asyncio) as client:
        made = client.rotate_permit_key(actor="ann", reason="yearly")
        client.rotate_permit_key(reason="now", after_seconds=0)
        client.rotate_permit_key(reason="stolen", withdraw=True)
    assert made == Key("k1", KeyState.WAITS, SIGNS_FROM, None, None)
    default, now, stolen = [key_pb2.RotateKeyRequest.FromString(raw) for _, raw, _ in server.calls]
    assert (default.use, default.actor.id, default.reason) == (key_pb2.KEY_USE_PERMIT, "ann", "yearly")
    assert not default.HasField("after_seconds")
    assert now.HasField("after_seconds")
    assert (stolen.withdraw, now.withdraw, stolen.HasField("after_seconds")) == (True, False, False)


def test_a_wrong_value_is_named() -> None:
    with KeyClient("127.0.0.1:1") as client, pytest.raises(InvalidRequestError, match="after_seconds"):
        client.rotate_permit_key(reason="now", after_seconds=2**70)


@contextlib.contextmanager
def answering(status: int, body: str, location: str = "") -> Iterator[str]:
    """Run an HTTP server that gives one answer, and yield its URL."""

    class Handler(BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            self.send_response(status)
            if location:
                self.send_header("location", location)
            self.end_headers()
            self.wfile.write(body.encode())

        def log_message(self, *_: object) -> None:
            """Say nothing."""

    server = HTTPServer(("127.0.0.1", 0), Handler)
    thread = threading.Thread(target=server.serve_forever)
    thread.start()
    try:
        yield f"http://127.0.0.1:{server.server_port}/.well-known/jwks.json"
    finally:
        server.shutdown()
        thread.join()
        server.server_close()


@pytest.mark.parametrize(
    ("status", "body", "location", "cause"),
    [
        (503, "", "", "503"),
        (200, "no set", "", "JWK set"),
        (302, "", "http://127.0.0.1:1/elsewhere", "redirects to http://127.0.0.1:1/elsewhere"),
    ],
)
def test_an_answer_without_keys(status: int, body: str, location: str, cause: str) -> None:
    with answering(status, body, location) as url, pytest.raises(PermitError, match=cause) as refused:
        PermitKeys.from_url(url).find("k")
    assert refused.value.reason == PermitReason.KEYS_UNAVAILABLE


def test_a_set_without_the_key() -> None:
    with answering(200, '{"keys":[]}') as url:
        assert PermitKeys.from_url(url).find("k") is None


@pytest.mark.parametrize(
    "url", ["http://placet.internal/keys", "file:///etc/passwd", "ftp://127.0.0.1/keys", "", "http://127.0.0.1.evil/"]
)
def test_a_url_where_others_could_replace_the_keys(url: str) -> None:
    with pytest.raises(ValueError, match="must begin with https://"):
        PermitKeys.from_url(url)


def test_a_file_of_cas_that_is_missing() -> None:
    with pytest.raises(FileNotFoundError):
        PermitKeys.from_url("https://placet.internal/keys", ca_file="missing.pem")
