"""Providers are asked over HTTPS, or HTTP to this machine, and cannot hold the server by what they answer."""

from __future__ import annotations

import asyncio
import contextlib
import json
import ssl
import time
from datetime import UTC, datetime, timedelta
from ipaddress import ip_address
from typing import TYPE_CHECKING

import pytest
from cryptography import x509
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.hazmat.primitives.serialization import Encoding, NoEncryption, PrivateFormat
from cryptography.x509.oid import NameOID

from placet.authentication.fetch import FetchError, ProviderClient
from placet.authentication.key_sources import DiscoveredAddress, KeyFile
from placet.authentication.urls import url_error
from placet.kernel.limits import PROVIDER_ANSWER_BYTES_MAX

if TYPE_CHECKING:
    from collections.abc import AsyncIterator
    from pathlib import Path

BODY = b'{"keys":[]}'


def answer(body: bytes = BODY, status: str = "200 OK", *headers: str) -> bytes:
    lines = (f"HTTP/1.1 {status}", f"Content-Length: {len(body)}", *headers, "", "")
    return "\r\n".join(lines).encode() + body


class Answering:
    """A server on this machine that sends fixed bytes, and then closes the connection or keeps it open."""

    def __init__(self, text: bytes, *, closes: bool = True) -> None:
        self.text = text
        self.closes = closes
        self.requests: list[bytes] = []
        self.handlers: list[asyncio.Task[None]] = []
        self.url = ""

    def accept(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self.handlers.append(asyncio.create_task(self.handle(reader, writer)))

    async def handle(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        with contextlib.suppress(ConnectionError, asyncio.IncompleteReadError):
            self.requests.append(await reader.readuntil(b"\r\n\r\n"))
            writer.write(self.text)
            await writer.drain()
            if not self.closes:
                await reader.read()
        writer.close()
        with contextlib.suppress(ConnectionError):
            await writer.wait_closed()


@contextlib.asynccontextmanager
async def answering(
    text: bytes, *, closes: bool = True, context: ssl.SSLContext | None = None
) -> AsyncIterator[Answering]:
    answers = Answering(text, closes=closes)
    async with await asyncio.start_server(answers.accept, "127.0.0.1", 0, ssl=context) as server:
        port, scheme = server.sockets[0].getsockname()[1], "https" if context else "http"
        answers.url = f"{scheme}://127.0.0.1:{port}/keys?a=b"
        try:
            yield answers
        finally:
            await asyncio.gather(*answers.handlers)


async def fetched(text: bytes, *, closes: bool = True, seconds_max: float = 5) -> bytes:
    async with answering(text, closes=closes) as server:
        return await ProviderClient(seconds_max=seconds_max)(server.url)


@pytest.mark.parametrize(
    "text",
    [
        answer(),
        b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n4\r\n"
        + BODY[:4]
        + b"\r\n7\r\n"
        + BODY[4:]
        + b"\r\n0\r\n\r\n",
        b"HTTP/1.0 200 OK\r\nContent-Type: application/json\r\n\r\n" + BODY,
    ],
)
async def test_an_answer_is_returned(text: bytes) -> None:
    assert await fetched(text) == BODY


async def test_the_request_names_host_and_path() -> None:
    async with answering(answer()) as server:
        await ProviderClient()(server.url)
        host = server.url.split("/")[2]
        assert server.requests[0].startswith(b"GET /keys?a=b HTTP/1.1\r\nHost: " + host.encode() + b"\r\n")


@pytest.mark.parametrize(
    ("text", "found"),
    [
        (answer(status="404 Not Found"), "status 404"),
        (answer(b"", "302 Found", "Location: http://169.254.169.254/"), "redirects to .*, which is not followed"),
        (answer(b"x" * (PROVIDER_ANSWER_BYTES_MAX + 1)), "longer than"),
        (b"HTTP/1.1 200 OK\r\n\r\n" + b"x" * (PROVIDER_ANSWER_BYTES_MAX + 1), "longer than"),
        (b"HTTP/1.1 200 OK\r\n" + b"A: b\r\n" * 100_000, "longer than|HttpParser"),
        (answer()[:-1], "closed before"),
        (b"", "closed before"),
        (b"SSH-2.0-OpenSSH_9.2\r\n", "HttpParser"),
    ],
)
async def test_another_answer_is_an_error(text: bytes, found: str) -> None:
    with pytest.raises(FetchError, match=found):
        await fetched(text)


@pytest.mark.parametrize("text", [b"", b"HTTP/1.1 200 OK\r\nContent-Length: 9\r\n\r\n{"])
async def test_an_answer_that_does_not_end_is_given_up(text: bytes) -> None:
    begun = time.monotonic()
    with pytest.raises(FetchError, match=r"no answer within 0\.2 s"):
        await fetched(text, closes=False, seconds_max=0.2)
    assert time.monotonic() - begun < 5


async def test_a_provider_that_is_gone_is_an_error() -> None:
    async with answering(answer()) as server:
        url = server.url
    with pytest.raises(FetchError, match=r"refused|Connect"):
        await ProviderClient()(url)


def certified(folder: Path) -> tuple[ssl.SSLContext, Path]:
    """Return the TLS context of a server with a certificate for 127.0.0.1 that signs itself, and that certificate."""
    key, name = (
        ec.generate_private_key(ec.SECP256R1()),
        x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, "provider")]),
    )
    now = datetime.now(UTC)
    certificate = (
        x509.CertificateBuilder()
        .subject_name(name)
        .issuer_name(name)
        .public_key(key.public_key())
        .serial_number(1)
        .not_valid_before(now - timedelta(days=1))
        .not_valid_after(now + timedelta(days=1))
        .add_extension(x509.SubjectAlternativeName([x509.IPAddress(ip_address("127.0.0.1"))]), critical=False)
        .add_extension(x509.BasicConstraints(ca=True, path_length=None), critical=True)
        .sign(key, hashes.SHA256())
    )
    pem = certificate.public_bytes(Encoding.PEM)
    (folder / "ca.pem").write_bytes(pem)
    secret = key.private_bytes(Encoding.PEM, PrivateFormat.PKCS8, NoEncryption())
    (folder / "server.pem").write_bytes(secret + pem)
    context = ssl.create_default_context(ssl.Purpose.CLIENT_AUTH)
    context.load_cert_chain(folder / "server.pem")
    return context, folder / "ca.pem"


async def test_only_a_trusted_certificate_is_believed(tmp_path: Path) -> None:
    context, ca_file = certified(tmp_path)
    async with answering(answer(), context=context) as server:
        assert await ProviderClient(ca_file)(server.url) == BODY
        with pytest.raises(FetchError, match="CERTIFICATE_VERIFY_FAILED"):
            await ProviderClient()(server.url)
        with pytest.raises(FetchError, match="CERTIFICATE_VERIFY_FAILED"):
            await ProviderClient(ca_file)(server.url.replace("127.0.0.1", "localhost"))
    ca_file.write_text("")
    with pytest.raises(FetchError, match="ca_file"):
        await ProviderClient(ca_file)("https://127.0.0.1:1/")


@pytest.mark.parametrize("url", ["https://id.example.com/keys", "http://localhost:9491/jwks", "http://[::1]/jwks"])
def test_an_address_is_right(url: str) -> None:
    assert url_error(url) == ""


@pytest.mark.parametrize(
    "url",
    [
        *("", "keys.json", "/etc/keys", "file:///etc/keys", "ftp://id.example.com/", "http://id.example.com/keys"),
        *(
            "http://localhost.example.com/",
            "http://127.0.0.1.example.com/",
            "http://10.0.0.1/",
            "http://169.254.169.254/",
        ),
        *("https://user:password@id.example.com/", "https://id.example.com/#keys", "https://id.example.com/a b"),
        *("https://id.example.com:0/", "https://id.example.com:x/", "https:///keys", "https://id.example.com/\r\nX: y"),
        *("https://id.ex\u0430mple.com/", "https://id.example.com/" + "k" * 3_000),
    ],
)
async def test_an_address_is_wrong(url: str) -> None:
    assert url_error(url)
    with pytest.raises(FetchError):
        await ProviderClient()(url)


class Documents:
    """Answers of a provider by address."""

    def __init__(self, **documents: object) -> None:
        self.documents = {name.replace("_", "-"): json.dumps(document).encode() for name, document in documents.items()}
        self.asked: list[str] = []

    async def __call__(self, url: str) -> bytes:
        name = url.rpartition("/")[2]
        self.asked.append(url)
        if name not in self.documents:
            raise FetchError(f"{url}: answered with status 404")
        return self.documents[name]


def discovery(**changes: object) -> dict[str, object]:
    return {"issuer": "https://id.example.com/", "jwks_uri": "https://keys.example.com/v1", **changes}


async def test_the_address_of_the_keys_is_discovered_once() -> None:
    documents = Documents(openid_configuration=discovery(), v1={"keys": []})
    source = DiscoveredAddress("https://id.example.com/", documents)
    assert [await source.read(), await source.read()] == [b'{"keys": []}'] * 2
    place = "https://id.example.com/.well-known/openid-configuration"
    assert documents.asked == [place, "https://keys.example.com/v1", "https://keys.example.com/v1"]


async def test_another_address_is_discovered_after_a_failure() -> None:
    documents = Documents(openid_configuration=discovery(), v1={"keys": []})
    source = DiscoveredAddress("https://id.example.com/", documents)
    await source.read()
    moved = Documents(openid_configuration=discovery(jwks_uri="https://keys.example.com/v2"), v2={"keys": [1]})
    documents.documents = moved.documents
    with pytest.raises(FetchError):
        await source.read()
    assert await source.read() == b'{"keys": [1]}'


@pytest.mark.parametrize(
    ("document", "found"),
    [
        (discovery(issuer="https://evil.example"), "names another issuer"),
        (discovery(issuer="https://id.example.com"), "names another issuer"),
        (discovery(issuer=None), "names another issuer"),
        (discovery(jwks_uri="http://keys.example.com/v1"), "jwks_uri: must be https"),
        (discovery(jwks_uri="file:///etc/passwd"), "jwks_uri: must be https"),
        (discovery(jwks_uri="http://127.0.0.1:8181/v1/data"), "jwks_uri: leads to this machine"),
        (discovery(jwks_uri=["https://keys.example.com/v1"]), "jwks_uri: is missing"),
        (discovery(jwks_uri=None), "jwks_uri: is missing"),
        ([], "is no JSON object"),
    ],
)
async def test_a_discovery_document_leads_nowhere_else(document: object, found: str) -> None:
    source = DiscoveredAddress("https://id.example.com/", Documents(openid_configuration=document))
    with pytest.raises(FetchError, match=found):
        await source.read()


async def test_keys_in_a_file(tmp_path: Path) -> None:
    path = tmp_path / "keys.json"
    with pytest.raises(FetchError, match=r"keys\.json: No such file"):
        await KeyFile(path).read()
    path.write_bytes(BODY)
    assert await KeyFile(path).read() == BODY
    path.write_bytes(b" " * (PROVIDER_ANSWER_BYTES_MAX + 1))
    with pytest.raises(FetchError, match="is longer than"):
        await KeyFile(path).read()
