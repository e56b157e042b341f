"""The server of policy bundles over HTTP: ETag, long polling, tokens, and nothing but whole bundles."""

from __future__ import annotations

import http.client
import threading
import time
from dataclasses import dataclass
from typing import TYPE_CHECKING

import pytest
import uvicorn
from cryptography.hazmat.primitives.asymmetric import ed25519

from placet.engine.download import releases_at
from placet.policy.bundles.bundle_files import put_bundle
from placet.transport.http import bundles
from placet.transport.http.bundles import BundleFolder, bundle_app
from tests.policy.releases import small_release

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator
    from pathlib import Path

NAME = "bundle.tar.gz"
WAIT_SECONDS = 20
PULL, PUSH = "pull", "push"
KEY = ed25519.Ed25519PrivateKey.generate()


@dataclass
class Site:
    folder: Path
    port: int

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self.port}/{NAME}"

    def ask(self, method: str, path: str, content: bytes = b"", **headers: str) -> tuple[int, bytes, dict[str, str]]:
        connection = http.client.HTTPConnection("127.0.0.1", self.port, timeout=60)
        try:
            connection.request(method, path, content, {name.replace("_", "-"): text for name, text in headers.items()})
            answer = connection.getresponse()
            return answer.status, answer.read(), {name.lower(): text for name, text in answer.getheaders()}
        finally:
            connection.close()


@pytest.fixture
def start(tmp_path: Path) -> Iterator[Callable[[BundleFolder], Site]]:
    servers: list[tuple[uvicorn.Server, threading.Thread]] = []

    def started(served: BundleFolder) -> Site:
        server = uvicorn.Server(uvicorn.Config(bundle_app(served), port=0, log_config=None, lifespan="off"))
        thread = threading.Thread(target=server.run)
        thread.start()
        servers.append((server, thread))
        while not server.started:
            time.sleep(0.01)
        return Site(tmp_path, server.servers[0].sockets[0].getsockname()[1])

    yield started
    for server, thread in servers:
        server.should_exit = server.force_exit = True
        thread.join()


@pytest.fixture
def open_site(start: Callable[[BundleFolder], Site], tmp_path: Path) -> Site:
    """A server that everybody reads."""
    return start(BundleFolder(tmp_path))


def release(version: int = 0, key: ed25519.Ed25519PrivateKey | None = None) -> bytes:
    """A release whose policy is not read here."""
    return small_release(version, key)


def test_an_etag_saves_the_download(open_site: Site) -> None:
    put_bundle(open_site.folder / NAME, b"one")
    status, content, headers = open_site.ask("GET", f"/{NAME}")
    assert (status, content, headers["content-type"]) == (200, b"one", bundles.BUNDLE_TYPE)
    status, content, again = open_site.ask("GET", f"/{NAME}", If_None_Match=headers["etag"])
    assert (status, content, again["etag"]) == (304, b"", headers["etag"])
    put_bundle(open_site.folder / NAME, b"two")
    assert open_site.ask("GET", f"/{NAME}", If_None_Match=headers["etag"])[:2] == (200, b"two")


def test_a_long_poll_ends_with_the_change(open_site: Site) -> None:
    put_bundle(open_site.folder / NAME, b"one")
    releases = releases_at(open_site.url)
    first = releases.get("", 0.0)
    assert first.waits
    change = threading.Timer(0.5, put_bundle, (open_site.folder / NAME, b"two"))
    change.start()
    began = time.monotonic()
    assert releases.get(first.tag, WAIT_SECONDS).content == b"two"
    assert 0.4 < time.monotonic() - began < WAIT_SECONDS
    change.join()
    assert releases.get(releases.get("", 0.0).tag, 1.0).content is None


@pytest.mark.parametrize(
    "path",
    [
        "/",
        "/none.tar.gz",
        "/..%2Fsecret.tar.gz",
        "/../secret.tar.gz",
        "/a/../../secret.tar.gz",
        "/%2e%2e/secret.tar.gz",
        "/%2e%2e%2fsecret.tar.gz",
        "//secret.tar.gz",
        "/..%5Csecret.tar.gz",
        "/secret.tar.gz%00",
        "/bundle%00.tar.gz",
        "/bundle.tar.gz%0A",
        "/.bundle.tar.gz",
        "/a/b.tar.gz",
        "/x.txt",
    ],
)
def test_only_plain_names_are_served(open_site: Site, path: str) -> None:
    (open_site.folder.parent / "secret.tar.gz").write_bytes(b"secret")
    (open_site.folder / ".bundle.tar.gz").write_bytes(b"draft")
    (open_site.folder / "x.txt").write_bytes(b"text")
    assert open_site.ask("GET", path)[0] == 404


def test_tokens(start: Callable[[BundleFolder], Site], tmp_path: Path) -> None:
    site = start(BundleFolder(tmp_path, pull_token=PULL, push_token=PUSH))
    bundle = release()
    assert site.ask("PUT", f"/{NAME}", bundle)[0] == 401
    assert site.ask("PUT", f"/{NAME}", bundle, Authorization="Bearer pull")[0] == 401
    assert site.ask("PUT", f"/{NAME}", bundle, Authorization="Bearer push")[0] == 200
    assert site.ask("GET", f"/{NAME}")[0] == 401
    assert site.ask("GET", f"/{NAME}", Authorization="Basic pull")[0] == 401
    assert site.ask("GET", f"/{NAME}", Authorization="Bearer pull")[1] == bundle
    assert [path.name for path in tmp_path.iterdir()] == [NAME]


def test_without_a_token_nobody_writes(open_site: Site) -> None:
    assert open_site.ask("PUT", f"/{NAME}", release())[0] == 403
    assert list(open_site.folder.iterdir()) == []


def test_only_whole_signed_bundles_are_taken(
    start: Callable[[BundleFolder], Site], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    site = start(BundleFolder(tmp_path, push_token=PUSH, keys=[KEY.public_key()]))

    def put(content: bytes, path: str = f"/{NAME}", **headers: str) -> int:
        return site.ask("PUT", path, content, Authorization="Bearer push", **headers)[0]

    whole = release(1, KEY)
    assert put(whole[:-20]) == 422
    assert put(release(1)) == 422
    assert put(release(1, ed25519.Ed25519PrivateKey.generate())) == 422
    assert put(whole, "/.hidden.tar.gz") == 400
    assert put(whole, "/..%2Foutside.tar.gz") in {400, 404}
    assert put(whole, "/%2e%2e/outside.tar.gz") in {400, 404}
    assert not (tmp_path.parent / "outside.tar.gz").exists()
    with monkeypatch.context() as patch:
        patch.setattr(bundles, "RELEASE_BYTES_MAX", len(whole) - 1)
        assert put(whole) == 422
    connection = http.client.HTTPConnection("127.0.0.1", site.port)
    connection.putrequest("PUT", f"/{NAME}")
    connection.putheader("Authorization", "Bearer push")
    connection.putheader("Content-Length", str(len(whole)))
    connection.endheaders(whole[:100])
    connection.close()  # half of it
    time.sleep(0.2)
    assert list(tmp_path.iterdir()) == []
    assert put(whole) == 200
    assert (tmp_path / NAME).read_bytes() == whole
