"""Downloads of releases: complete, bounded, and only from the address that was named."""

from __future__ import annotations

import contextlib
import threading
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import TYPE_CHECKING

import pytest

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

    with ThreadingHTTPServer(("127.0.0.1", 0), Handler) as server:
        thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.01})
        thread.start()
        it.url = f"http://127.0.0.1:{server.server_port}/bundle.tar.gz"
        yield it
        server.shutdown()
        thread.join()


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
