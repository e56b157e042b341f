"""The addresses that webhooks may be sent to."""

from __future__ import annotations

import socket
import ssl
import subprocess
from typing import TYPE_CHECKING

import pytest

from placet.webhooks.addresses import why_refused
from placet.webhooks.attempt import SocketAddress, resolve
from placet.webhooks.target import Target
from tests.webhooks.receiving import event, receiving
from tests.webhooks.sending import SenderEnv

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence
    from pathlib import Path

PUBLIC = ["93.184.216.34", "2606:2800:220:1::1", "::ffff:93.184.216.34", "64:ff9b::5db8:d822"]
PRIVATE = [
    "127.0.0.1",
    "127.8.9.10",
    "10.1.2.3",
    "172.16.0.1",
    "172.31.255.255",
    "192.168.1.1",
    "100.64.0.1",
    "::1",
    "fd00::1",
    "::ffff:127.0.0.1",
    "::ffff:10.0.0.1",
    "64:ff9b::7f00:1",
    "64:ff9b::a00:1",
]
NEVER = [
    "0.0.0.0",  # noqa: S104 - that it is refused is the test
    "0.1.2.3",
    "169.254.169.254",
    "::ffff:169.254.169.254",
    "64:ff9b::a9fe:a9fe",
    "224.0.0.1",
    "239.255.255.250",
    "240.0.0.1",
    "255.255.255.255",
    "192.0.2.1",
    "198.18.0.1",
    "::",
    "::127.0.0.1",
    "fe80::1",
    "fe80::1%lo",
    "fec0::1",
    "ff02::1",
    "ff0e::1",
    "2001:db8::1",
    "2001:0:4136:e378:8000:63bf:3fff:fdd2",
    "2002:7f00:1::1",
    "2002:5db8:d822::1",
    "64:ff9b:1::7f00:1",
    "100::1",
]


@pytest.mark.parametrize("address", PUBLIC)
def test_public_addresses_are_reached_only_by_https(address: str) -> None:
    for allow_private in (False, True):
        assert why_refused(address, allow_private=allow_private, encrypted=True) == ""
        assert "https" in why_refused(address, allow_private=allow_private, encrypted=False)


@pytest.mark.parametrize("address", PRIVATE)
def test_private_addresses_need_the_setting(address: str) -> None:
    for encrypted in (False, True):
        assert "webhook_allow_private_networks" in why_refused(address, allow_private=False, encrypted=encrypted)
        assert why_refused(address, allow_private=True, encrypted=encrypted) == ""


@pytest.mark.parametrize("address", NEVER)
def test_other_addresses_are_always_refused(address: str) -> None:
    assert (
        why_refused(address, allow_private=True, encrypted=True)
        == f"{address} is neither public nor private; use another address in webhook_url"
    )


@pytest.mark.parametrize(
    ("url", "target"),
    [
        ("https://a.example", ("a.example", 443, "/", True)),
        ("https://A.example./x/y?z=1&t=%20", ("a.example", 443, "/x/y?z=1&t=%20", True)),
        ("https://a.example:8443?q", ("a.example", 8443, "/?q", True)),
        ("https://[2606:2800:220:1::1]:444/", ("2606:2800:220:1::1", 444, "/", True)),
        ("http://127.0.0.1:8080/hook", ("127.0.0.1", 8080, "/hook", False)),
        ("http://localhost/", ("localhost", 80, "/", False)),
    ],
)
def test_urls_are_parsed(url: str, target: tuple[str, int, str, bool]) -> None:
    parsed = Target.parse(url, allow_private=True)
    assert (parsed.host, parsed.port, parsed.path, parsed.encrypted) == target


@pytest.mark.parametrize(
    "url",
    [
        "",
        "a.example",
        "ftp://a.example/",
        "https://",
        "https:///x",
        "https://user:word@a.example/",
        "https://token@a.example/",
        "https://a.example/#x",
        "https://a.example/a b",
        "https://a.example/\r\nHost: b",
        "https://bücher.example/",
        "https://a.example:99999/",
        "https://a.example:x/",
        "https://a.example:0/",
        "https://[::1/",
        "https://./",
        "unix:///run/x",
        "file:///etc/passwd",
    ],
)
def test_other_urls_are_refused(url: str) -> None:
    with pytest.raises(ValueError, match=r"\w"):
        Target.parse(url, allow_private=True)


def test_http_needs_the_setting() -> None:
    with pytest.raises(ValueError, match="must be https"):
        Target.parse("http://127.0.0.1/", allow_private=False)


@pytest.mark.parametrize("host", ["localhost", "127.0.0.1", "127.1", "2130706433", "0x7f.1", "0177.0.0.1"])
async def test_a_name_or_number_that_leads_to_loopback_is_not_connected_to(host: str) -> None:
    with receiving() as receiver:
        env = SenderEnv(f"https://{host}:{receiver.server_port}/", allow_private=False)
        env.rows.add(event())
        await env.sender().deliver_due()
    assert receiver.requests == []
    assert "is a private address" in env.reports[0].cause


async def test_a_name_that_leads_to_loopback_is_reached_with_the_setting() -> None:
    with receiving() as receiver:
        env = SenderEnv(f"http://localhost:{receiver.server_port}/")
        env.rows.add(event())
        await env.sender().deliver_due()
    assert receiver.requests[0].headers["Host"] == f"localhost:{receiver.server_port}"


def leads_to(*answers: Sequence[str]) -> Callable[[str, int], Sequence[SocketAddress]]:
    """Return a resolver whose look-ups return the answers in order."""
    left = list(answers)

    def look_up(_host: str, port: int) -> Sequence[SocketAddress]:
        return [found for address in left.pop(0) for found in resolve(address, port)]

    return look_up


async def test_the_name_is_resolved_once_so_rebinding_gains_nothing() -> None:
    with receiving() as receiver:
        url = f"https://rebinding.test:{receiver.server_port}/"
        env = SenderEnv(url, allow_private=False, more={"resolve": leads_to(["127.0.0.1"], ["93.184.216.34"])})
        env.rows.add(event())
        await env.sender().deliver_due()
    assert receiver.requests == []
    assert "127.0.0.1 is a private address" in env.reports[0].cause


async def test_an_address_that_is_not_permitted_is_skipped() -> None:
    with receiving() as receiver:
        more = {"resolve": leads_to(["169.254.169.254", "127.0.0.1"])}
        env = SenderEnv(f"http://some.test:{receiver.server_port}/", more=more)
        env.rows.add(event())
        await env.sender().deliver_due()
    assert len(receiver.requests) == 1


async def test_a_name_without_addresses_is_a_failure() -> None:
    env = SenderEnv("http://none.test/", more={"resolve": leads_to([])})
    env.rows.add(event())
    await env.sender().deliver_due()
    assert env.reports[0].cause == "AddressRefusedError: none.test has no address"


async def test_a_name_that_does_not_exist_is_a_failure() -> None:
    env = SenderEnv("https://does-not-exist.invalid/")
    env.rows.add(event())
    await env.sender().deliver_due()
    assert env.reports[0].cause.startswith("gaierror: ")


async def test_proxies_and_netrc_of_the_environment_are_ignored(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    (tmp_path / ".netrc").write_text("default login user password word\n")
    (tmp_path / ".netrc").chmod(0o600)
    monkeypatch.setenv("HOME", str(tmp_path))
    with receiving() as proxy, receiving((200, {"Set-Cookie": "a=b"}, b"")) as receiver:
        for name in ("http_proxy", "HTTP_PROXY", "https_proxy", "all_proxy", "ALL_PROXY"):
            monkeypatch.setenv(name, f"http://127.0.0.1:{proxy.server_port}")
        monkeypatch.delenv("no_proxy", raising=False)
        env = SenderEnv(receiver.url)
        env.rows.add(event(1), event(2))
        await env.sender().deliver_due()
    assert proxy.requests == []
    assert len(receiver.requests) == 2
    assert not {"Authorization", "Cookie", "Proxy-Authorization"} & {
        name for c in receiver.requests for name in c.headers
    }


@pytest.fixture(scope="module")
def certificate(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, Path]:
    """A certificate for receiver.test, and its key."""
    folder = tmp_path_factory.mktemp("tls")
    made, key = folder / "made.pem", folder / "key.pem"
    command = (
        "openssl req -x509 -newkey ec -pkeyopt ec_paramgen_curve:prime256v1 -nodes -days 2 -subj /CN=receiver.test"
    )
    more = ["-addext", "subjectAltName=DNS:receiver.test", "-keyout", str(key), "-out", str(made)]
    subprocess.run([*command.split(), *more], check=True, capture_output=True)
    return made, key


@pytest.fixture
def asked_for() -> list[str | None]:
    return []


@pytest.fixture
def server_context(certificate: tuple[Path, Path], asked_for: list[str | None]) -> ssl.SSLContext:
    made, key = certificate
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(made, key)
    context.sni_callback = lambda _socket, name, _context: asked_for.append(name)
    return context


async def test_https_goes_to_the_address_under_the_receivers_name(
    certificate: tuple[Path, Path], server_context: ssl.SSLContext, asked_for: list[str | None]
) -> None:
    with receiving(context=server_context) as receiver:
        client = ssl.create_default_context(cafile=str(certificate[0]))
        more = {"context": client, "resolve": leads_to(["127.0.0.1"])}
        env = SenderEnv(f"https://receiver.test:{receiver.server_port}/", more=more)
        env.rows.add(event())
        await env.sender().deliver_due()
    assert asked_for == ["receiver.test"]
    assert [request.headers["Host"] for request in receiver.requests] == [f"receiver.test:{receiver.server_port}"]
    assert env.row.status == "sent"


@pytest.mark.parametrize("trusted", [True, False])
async def test_another_name_and_an_unknown_issuer_are_failures(
    certificate: tuple[Path, Path],
    server_context: ssl.SSLContext,
    trusted: bool,  # noqa: FBT001 - pytest's
) -> None:
    with receiving(context=server_context) as receiver:
        client = ssl.create_default_context(cafile=str(certificate[0]) if trusted else None)
        more = {"context": client, "resolve": leads_to(["127.0.0.1"])}
        host = "other.test" if trusted else "receiver.test"
        env = SenderEnv(f"https://{host}:{receiver.server_port}/", more=more)
        env.rows.add(event())
        await env.sender().deliver_due()
    assert receiver.requests == []
    assert env.reports[0].cause.startswith("SSLCertVerificationError: ")


async def test_a_handshake_that_hangs_is_ended() -> None:
    with socket.create_server(("127.0.0.1", 0)) as silent:
        env = SenderEnv(f"https://127.0.0.1:{silent.getsockname()[1]}/", timeout_seconds=0.2)
        env.rows.add(event())
        await env.sender().deliver_due()
    assert env.row.status == "pending"
