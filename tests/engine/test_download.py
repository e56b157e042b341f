"""Downloads of releases: complete, bounded, and only from the address that was named."""

from __future__ import annotations

import contextlib
import ssl
import threading
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import TYPE_CHECKING

import pytest

from placet.authentication.dev_certificates import CertificateAuthority
from placet.engine import download
from placet.engine.download import DownloadError, releases_at
from placet.kernel.errors import ConfigurationError

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

CONTENT = b"release" * 100


class Site:
    """A web server that gives one answer."""

    def __init__(self) -> None:
        self.status, self.headers, self.content = 200, {"ETag": '"a"', "Content-Length": str(len(CONTENT))}, CONTENT
        self.requests: list[dict[str, str]] = []
        self.url = ""
        self.handler: type[BaseHTTPRequestHandler] = BaseHTTPRequestHandler


@pytest.fixture
def site() -> Iterator[Site]:
    it = Site()

    class Handler(BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            it.requests.append({name.lower(): value for name, value in self.headers.items()})
            self.send_response(it.status)
            for name, value in it.headers.items():
                self.send_header(name, value)
            self.end_headers()
            with contextlib.suppress(OSError):
                self.wfile.write(it.content)

        def log_message(self, *_: object) -> None:
            pass

    with _serving(Handler) as port:
        it.handler, it.url = Handler, f"http://127.0.0.1:{port}/bundle.tar.gz"
        yield it


@pytest.fixture
def tls(site: Site, tmp_path: Path) -> Iterator[tuple[CertificateAuthority, str]]:
    """The same site over TLS: who signs its certificate, and its address."""
    authority = CertificateAuthority()
    certificate, key = authority.server(["localhost"])
    (tmp_path / "tls.pem").write_bytes(certificate + key)
    context = ssl.create_default_context(ssl.Purpose.CLIENT_AUTH)
    context.load_cert_chain(tmp_path / "tls.pem")
    with _serving(site.handler, context) as port:
        yield authority, f"https://localhost:{port}/bundle.tar.gz"


@contextlib.contextmanager
def _serving(handler: type[BaseHTTPRequestHandler], context: ssl.SSLContext | None = None) -> Iterator[int]:
    with _Server(("127.0.0.1", 0), handler) as server:
        if context is not None:
            server.socket = context.wrap_socket(server.socket, server_side=True, do_handshake_on_connect=False)
        thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.01})
        thread.start()
        try:
            yield server.server_port
        finally:
            server.shutdown()
            thread.join()


class _Server(ThreadingHTTPServer):
    def handle_error(self, *_: object) -> None:
        """Clients leave during the handshake."""


def test_a_download_and_one_that_is_not_needed(site: Site, tmp_path: Path) -> None:
    token = tmp_path / "token"
    token.write_text("secret\n")
    releases = releases_at(site.url, token)
    first = releases.get("", 0.0)
    assert (first.content, first.tag, first.waits) == (CONTENT, '"a"', False)
    site.status, site.headers, site.content = 304, {"Content-Type": download.LONG_POLL_TYPE}, b""
    again = releases.get(first.tag, 5.0)
    assert (again.content, again.tag, again.waits) == (None, '"a"', True)
    assert [request.get("prefer") for request in site.requests] == [None, "modes=snapshot;wait=5"]
    assert [request.get("if-none-match") for request in site.requests] == [None, '"a"']
    assert {request["authorization"] for request in site.requests} == {"Bearer secret"}
    token.write_text("two words")
    with pytest.raises(ConfigurationError, match="one bearer token"):
        releases.get("", 0.0)


@pytest.mark.parametrize(
    ("status", "headers", "why"),
    [
        (200, {"Content-Length": str(len(CONTENT) + 1)}, "cannot be read: ProtocolError"),
        (302, {"Location": "http://127.0.0.1:1/", "Content-Length": str(len(CONTENT))}, "status 302"),
        (304, {}, "status 304"),
        (500, {"Content-Length": str(len(CONTENT))}, "status 500"),
    ],
)
def test_anything_but_a_whole_release_is_an_error(site: Site, status: int, headers: dict[str, str], why: str) -> None:
    site.status, site.headers = status, headers
    with pytest.raises(DownloadError, match=why):
        releases_at(site.url).get("", 0.0)


def test_a_release_that_is_too_large(site: Site, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(download, "RELEASE_BYTES_MAX", len(CONTENT) - 1)
    file = tmp_path / "bundle.tar.gz"
    file.write_bytes(CONTENT)
    for url in (site.url, file.as_uri()):
        with pytest.raises(DownloadError, match="is larger than"):
            releases_at(url).get("", 0.0)


def test_nobody_answers() -> None:
    with pytest.raises(DownloadError, match="cannot be read: NewConnectionError"):
        releases_at("http://127.0.0.1:1/bundle.tar.gz").get("", 0.0)


def test_a_file(tmp_path: Path) -> None:
    file = tmp_path / "a bundle.tar.gz"
    releases = releases_at(file.as_uri())
    with pytest.raises(DownloadError, match="No such file"):
        releases.get("", 0.0)
    file.write_bytes(CONTENT)
    first = releases.get("", 0.0)
    assert first.content == CONTENT
    assert releases.get(first.tag, 0.0).content is None
    file.write_bytes(b"other")
    assert releases.get(first.tag, 0.0).content == b"other"


def test_a_private_ca_is_read_for_each_request(
    site: Site, tls: tuple[CertificateAuthority, str], tmp_path: Path
) -> None:
    authority, url = tls
    ca_file = tmp_path / "ca.pem"
    releases = releases_at(url, ca_file=ca_file)
    with pytest.raises(ConfigurationError, match=r"ca\.pem: cannot be read"):
        releases.get("", 0.0)
    ca_file.write_text("no certificate")
    with pytest.raises(ConfigurationError, match=r"ca\.pem: has no CA certificate in PEM"):
        releases.get("", 0.0)
    ca_file.write_bytes(CertificateAuthority().certificate)
    with pytest.raises(DownloadError, match="certificate verify failed"):
        releases.get("", 0.0)
    ca_file.write_bytes(authority.certificate)
    assert releases.get("", 0.0).content == CONTENT
    with pytest.raises(DownloadError, match="certificate verify failed"):
        releases_at(url).get("", 0.0)
    assert len(site.requests) == 1
