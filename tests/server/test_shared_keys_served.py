"""A server whose permit keys are in the database, or in a mounted folder: its start, its calls, its HTTP server."""

from __future__ import annotations

import contextlib
import json
import socket
import ssl
import subprocess
import time
import urllib.error
import urllib.request
from pathlib import Path
from typing import TYPE_CHECKING, Any

import grpc
import pytest

from placet import sdk
from placet.kernel.errors import ConfigurationError
from placet.kernel.limits import JWKS_CACHE_SECONDS
from placet.v1 import key_pb2
from tests.faults.serving import eventually
from tests.keys.key_env import kek
from tests.server.test_tls import AUTH_FILE, Certificates
from tests.serving import serving, settings
from tests.transport.wire import Refusal, Wire, request

if TYPE_CHECKING:
    from collections.abc import Iterator

    from tests.serving import Server

ACTION = sdk.Action("kb.search", {"query": "refunds"})
IDENTITY = sdk.Identity("support-agent", "acme", user="u_1")
PATH = "/.well-known/jwks.json"


def served(tmp_path: Path, **changes: Any) -> Any:
    chosen = settings(tmp_path, **{"http_listen": "127.0.0.1:0", "permit_key_encryption_key": kek(), **changes})
    (chosen.rego_dir / "config/always.yaml").write_text(
        "agent_policy:\n  permits: always\n  allowed_tools: [kb.search]\n"
    )
    return chosen


@pytest.fixture(scope="module")
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Server]:
    with serving(served(tmp_path_factory.mktemp("shared"))) as running:
        yield running


def get(url: str, method: str = "GET", **headers: str) -> tuple[int, dict[str, str], bytes]:
    """Return status, headers and body."""
    asked = urllib.request.Request(url, method=method, headers={key.replace("_", "-"): headers[key] for key in headers})  # noqa: S310 - the test's server
    try:
        with urllib.request.urlopen(asked, timeout=30) as answer:  # noqa: S310 - likewise
            return answer.status, {key.lower(): value for key, value in answer.headers.items()}, answer.read()
    except urllib.error.HTTPError as error:
        return error.code, {key.lower(): value for key, value in error.headers.items()}, error.read()


def test_permits_verify_with_the_keys_over_http(server: Server) -> None:
    keys = sdk.PermitKeys.from_url(server.running.http_address + PATH)
    with sdk.Client(server.address, timeout=30) as client:
        permit = client.authorize(ACTION, IDENTITY, include_permit=True).permit
    assert sdk.verify_permit(permit, ACTION, keys, identity=IDENTITY).tool == "kb.search"
    assert not (server.data_dir / "keys/permits").exists()


def test_the_address_file_says_where_the_keys_are(server: Server) -> None:
    document = (server.data_dir / "serve.json").read_text()
    assert json.loads(document)["settings"]["permit_keys_in_database"] is True
    assert kek() not in document


def test_http_and_grpc_answer_the_same_set(server: Server) -> None:
    status, headers, body = get(server.running.http_address + PATH)
    with sdk.ControlClient(server.address, timeout=30) as control:
        assert (status, body.decode()) == (200, control.permit_keys())
    assert headers["content-type"] == "application/jwk-set+json"
    assert headers["cache-control"] == f"public, max-age={JWKS_CACHE_SECONDS}"
    assert "server" not in headers
    assert all(key.keys() == {"alg", "crv", "kid", "kty", "use", "x"} for key in json.loads(body)["keys"])


def test_a_set_that_the_client_has_is_not_sent_again(server: Server) -> None:
    url = server.running.http_address + PATH
    _, headers, _ = get(url)
    status, again, body = get(url, if_none_match=headers["etag"])
    assert (status, body, again["etag"]) == (304, b"", headers["etag"])
    assert get(url, if_none_match='"other"')[0] == 200


def test_head_answers_without_a_body(server: Server) -> None:
    status, headers, body = get(server.running.http_address + PATH, "HEAD")
    assert (status, body) == (200, b"")
    assert int(headers["content-length"]) > 0


@pytest.mark.parametrize(
    ("method", "path", "status"),
    [
        ("POST", PATH, 405),
        ("PUT", PATH, 405),
        ("DELETE", PATH, 405),
        ("OPTIONS", PATH, 405),
        ("GET", "/", 404),
        ("GET", "/.well-known/", 404),
        ("GET", f"{PATH}/", 404),
        ("GET", "/.well-known/../.well-known/keys", 404),
        ("POST", "/placet.v1.ControlService/GetPermitKeys", 404),
    ],
)
def test_anything_else_is_a_problem(server: Server, method: str, path: str, status: int) -> None:
    found, headers, body = get(server.running.http_address + path, method)
    assert (found, headers["content-type"]) == (status, "application/problem+json")
    assert headers["cache-control"] == "no-store"
    document = json.loads(body)
    assert (document["status"], bool(document["title"])) == (status, True)
    if status == 405:
        assert set(headers["allow"].replace(" ", "").split(",")) == {"GET", "HEAD"}


def address_of(server: Server) -> tuple[str, int]:
    host, port = server.running.http_address.removeprefix("http://").split(":")
    return host, int(port)


def test_a_client_that_says_nothing_is_let_go(server: Server, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("placet.transport.http.serving.CONNECTION_SECONDS_MAX", 0.2)
    for begun in (b"", b"GET /.well-known/jwks.json HTTP/1.1\r\nhost: x\r\n"):
        with socket.create_connection(address_of(server), timeout=30) as connection:
            connection.sendall(begun)
            assert connection.recv(100) == b""


def test_more_connections_than_the_limit_are_refused(server: Server, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("placet.transport.http.serving.CONNECTIONS_MAX", 0)
    with pytest.raises((urllib.error.URLError, ConnectionError)):
        get(server.running.http_address + PATH)
    monkeypatch.undo()
    assert get(server.running.http_address + PATH)[0] == 200


@pytest.mark.parametrize("sent", [b"\x00\xff\r\n\r\n", b"GET / HTTP/1.1\r\n" + b"a: b\r\n" * 20_000 + b"\r\n"])
def test_what_is_no_request_is_refused_and_not_logged(
    server: Server, sent: bytes, capfd: pytest.CaptureFixture[str]
) -> None:
    with socket.create_connection(address_of(server), timeout=30) as connection, contextlib.suppress(ConnectionError):
        connection.sendall(sent)
        assert connection.recv(100).startswith(b"HTTP/1.1 400")
    assert "Invalid HTTP" not in "".join(capfd.readouterr())


def test_keys_are_listed_and_rotated_by_a_call(server: Server) -> None:
    with sdk.KeyClient(server.address, timeout=30) as keys:
        before = keys.list()
        made = keys.rotate_permit_key(actor="ann", reason="a test", after_seconds=3_600)
        assert [key.id for key in keys.list()] == [*(key.id for key in before), made.id]
    assert made.state is sdk.KeyState.WAITS
    assert (made.signs_until, made.verifies_until) == (None, None)
    assert made.signs_from is not None
    assert 3_500 < made.signs_from.timestamp() - time.time() < 3_700
    [*_, record] = server.records("permit_key.created")
    assert (record["body"]["key_id"], record["parts"]["control"]["actor"]) == (made.id, "ann")
    assert made.id in get(server.running.http_address + PATH)[2].decode()


def rotate(server: Server, **fields: Any) -> Any:
    message = key_pb2.RotateKeyRequest(**fields)
    wire = Wire(server.address)
    try:
        return wire.raw("/placet.v1.KeyService/RotateKey", message.SerializeToString())
    finally:
        wire.close()


@pytest.mark.parametrize(
    ("fields", "violated"),
    [
        ({}, {"use", "actor.id", "reason"}),
        ({"use": 1, "reason": "r", "actor": {"id": "ann"}, "after_seconds": -1}, {"after_seconds"}),
        ({"use": 1, "reason": "r", "actor": {"id": "ann"}, "after_seconds": 86_401}, {"after_seconds"}),
        ({"use": 1, "reason": "r", "actor": {"id": "ann"}, "after_seconds": 5, "withdraw": True}, {"after_seconds"}),
        ({"use": 7, "reason": "r", "actor": {"id": "ann"}}, {"use"}),
    ],
)
def test_an_invalid_rotation(server: Server, fields: dict[str, Any], violated: set[str]) -> None:
    with pytest.raises(Refusal) as refused:
        rotate(server, **fields)
    assert (refused.value.code, set(refused.value.violations)) == (grpc.StatusCode.INVALID_ARGUMENT, violated)


@pytest.fixture
def stale(server: Server, monkeypatch: pytest.MonkeyPatch) -> Server:
    """The server, as when it could not read its keys for too long."""
    monkeypatch.setattr("placet.keys.shared.SHARED_KEYS_AGE_SECONDS_MAX", -1)
    return server


def test_without_usable_keys_permits_are_refused_and_decisions_made(stale: Server) -> None:
    wire = Wire(stale.address)
    try:
        decisions = len(stale.records("decision.made"))
        for asked in (
            request({"action.tool": "kb.search", "include_permit": True}),
            request({"action.tool": "kb.search", "identity.tenant": "always"}),
        ):
            with pytest.raises(Refusal) as refused:
                wire.authorize(asked)
            assert (refused.value.code, refused.value.reason) == (
                grpc.StatusCode.UNAVAILABLE,
                "PERMIT_KEYS_UNAVAILABLE",
            )
            assert refused.value.retry_after_seconds
        assert len(stale.records("decision.made")) == decisions, "nothing was decided, and nothing is reserved"
        assert wire.authorize(request({"action.tool": "kb.search"})).decision_id
        with pytest.raises(Refusal) as refused:
            wire.raw("/placet.v1.ControlService/GetPermitKeys", b"")
        assert refused.value.reason == "PERMIT_KEYS_UNAVAILABLE"
    finally:
        wire.close()
    status, headers, body = get(stale.running.http_address + PATH)
    assert (status, headers["content-type"], headers["retry-after"]) == (503, "application/problem+json", "5")
    assert "could not be read for an hour" in json.loads(body)["detail"]


def test_a_restart_keeps_the_keys_and_another_key_encryption_key_stops_it(tmp_path: Path) -> None:
    with serving(served(tmp_path)) as first:
        before = get(first.running.http_address + PATH)[2]
    with serving(served(tmp_path)) as again:
        assert get(again.running.http_address + PATH)[2] == before
    another = served(tmp_path, permit_key_encryption_key=kek(2))
    complaint = r"^permit_key_encryption_key: the permit key .* add that key after"
    with pytest.raises(ConfigurationError, match=complaint), serving(another):
        pass


def test_keys_of_the_folder_verify_on_when_they_move_into_the_database(tmp_path: Path) -> None:
    with serving(served(tmp_path, permit_key_encryption_key="")) as before, sdk.Client(before.address) as client:
        permit = client.authorize(ACTION, IDENTITY, include_permit=True).permit
        [old] = [key["kid"] for key in json.loads(get(before.running.http_address + PATH)[2])["keys"]]
    with serving(served(tmp_path)) as after:
        keys = sdk.PermitKeys.from_url(after.running.http_address + PATH)
        assert sdk.verify_permit(permit, ACTION, keys, identity=IDENTITY).key_id == old
        with sdk.Client(after.address) as client:
            new = client.authorize(ACTION, IDENTITY, include_permit=True).permit
        assert sdk.verify_permit(new, ACTION, keys, identity=IDENTITY).key_id != old


def test_keys_in_files_are_not_rotated_by_a_call(tmp_path: Path) -> None:
    with serving(served(tmp_path, permit_key_encryption_key="", http_listen="")) as files:
        with sdk.KeyClient(files.address) as keys:
            [key] = keys.list()
            assert key.state is sdk.KeyState.SIGNS
        with pytest.raises(Refusal) as refused:
            rotate(files, use=1, reason="r", actor={"id": "ann"})
        assert (refused.value.code, refused.value.reason) == (grpc.StatusCode.FAILED_PRECONDITION, "KEYS_IN_FILES")


def mounted_key(folder: Path, second: int, mode: int = 0o440) -> None:
    """Write a key as a mounted secret has it: a link to a file that its group may read."""
    data = folder / "..data"
    data.mkdir(parents=True, exist_ok=True)
    made = data / f"{second}.pem"
    subprocess.run(["openssl", "genpkey", "-algorithm", "ed25519", "-out", str(made)], check=True)
    made.chmod(mode)
    (folder / made.name).symlink_to(Path("..data") / made.name)


def test_a_mounted_folder_is_read_and_read_again(tmp_path: Path) -> None:
    folder = tmp_path / "mounted"
    now = int(time.time())
    mounted_key(folder, now - 10)
    chosen = served(tmp_path / "data", permit_key_encryption_key="", permit_keys_dir=str(folder))
    with serving(chosen) as running:
        url = running.running.http_address + PATH
        assert len(json.loads(get(url)[2])["keys"]) == 1
        mounted_key(folder, now + 3_600)
        eventually(lambda: len(json.loads(get(url)[2])["keys"]) == 2, 60)
    assert not (tmp_path / "data/keys/permits").exists()
    assert sorted(path.name for path in folder.iterdir()) == ["..data", f"{now - 10}.pem", f"{now + 3_600}.pem"]


@pytest.mark.parametrize(
    ("prepare", "complaint"),
    [
        (lambda _: None, "permit_keys_dir: .* has no keys; each is a file named by the second"),
        (lambda folder: mounted_key(folder, 1, 0o444), "others can read or write the signing key"),
        (lambda folder: (folder / "1.pem").write_text("no key"), "is no private key in PEM"),
        (lambda folder: (folder / "permit.pem").write_text("any"), "has no keys"),
    ],
)
def test_a_mounted_folder_that_cannot_be_used(tmp_path: Path, prepare: Any, complaint: str) -> None:
    folder = tmp_path / "mounted"
    folder.mkdir()
    prepare(folder)
    for path in folder.glob("*.pem"):
        if not path.is_symlink():
            path.chmod(0o400)
    chosen = served(tmp_path / "data", permit_key_encryption_key="", permit_keys_dir=str(folder))
    with pytest.raises(ConfigurationError, match=complaint), serving(chosen):
        pass


def test_a_key_of_another_algorithm_stops_the_start(tmp_path: Path) -> None:
    folder = tmp_path / "mounted"
    folder.mkdir()
    subprocess.run(
        ["openssl", "ecparam", "-name", "prime256v1", "-genkey", "-noout", "-out", str(folder / "1.pem")],
        check=True,
    )
    (folder / "1.pem").chmod(0o400)
    chosen = served(tmp_path / "data", permit_key_encryption_key="", permit_keys_dir=str(folder))
    with pytest.raises(ConfigurationError, match="is no Ed25519 key"), serving(chosen):
        pass


def test_the_http_server_presents_the_current_certificate_and_asks_for_none(tmp_path: Path) -> None:
    certificates = Certificates(tmp_path / "certificates")
    (tmp_path / "auth.toml").write_text(AUTH_FILE)
    chosen = served(tmp_path / "data", **certificates.settings, auth_file=str(tmp_path / "auth.toml"))
    with serving(chosen) as running:
        url = running.running.http_address + PATH
        assert url.startswith("https://")
        trusting = ssl.create_default_context(cafile=certificates.path("ca.crt"))

        def presented() -> int:
            host, port = url.removeprefix("https://").removesuffix(PATH).rsplit(":", 1)
            pem = ssl.get_server_certificate((host, int(port)))
            return hash(pem)

        with urllib.request.urlopen(url, timeout=30, context=trusting) as answer:  # noqa: S310 - as above
            assert answer.status == 200
        first = presented()
        certificates.issue_server()
        eventually(lambda: presented() != first, 60)
        keys = sdk.PermitKeys.from_url(url, ca_file=certificates.path("ca.crt"))
        assert keys.find("unknown") is None
        with pytest.raises(sdk.PermitError, match="certificate verify failed"):
            sdk.PermitKeys.from_url(url).find("unknown")


def test_an_address_in_use_is_named_before_anything_starts(tmp_path: Path, server: Server) -> None:
    taken = server.running.http_address.removeprefix("http://")
    complaint = f"cannot listen on {taken}: .*; choose another with --http-listen"
    with pytest.raises(ConfigurationError, match=complaint), serving(served(tmp_path, http_listen=taken)):
        pass
    assert not (tmp_path / "placet.db").exists()
