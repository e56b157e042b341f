"""The server of policy bundles over HTTP: ETag, long polling, tokens, and nothing but whole bundles."""

from __future__ import annotations

import asyncio
import http.client
import threading
import time
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import pytest
import uvicorn
from cryptography.hazmat.primitives.asymmetric import ed25519

from placet.engine import policy_url
from placet.engine.download import releases_at
from placet.engine.policy_url import PolicyUrl, Published
from placet.engine.source import Source
from placet.identity.model import Grant, Principal, Role
from placet.kernel.errors import LedgerUnavailableError, UnauthenticatedError
from placet.kernel.model import Caller
from placet.policy.bundles.bundle import Bundle
from placet.policy.bundles.bundle_files import put_bundle
from placet.policy.bundles.pushes import PUSHED_BY, pusher_of
from placet.revisions.pushed import UNKNOWN_PUSHER, Pusher
from placet.transport.http import bundles
from placet.transport.http.bundle_callers import BundleCallers
from placet.transport.http.bundles import BundleFolder, Push, bundle_app
from tests.policy.releases import small_release

if TYPE_CHECKING:
    import contextlib
    from collections.abc import Callable, Iterator
    from pathlib import Path

    from placet.identity.ports import Credentials
    from placet.policy.bundles.release import Release

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
        server = uvicorn.Server(uvicorn.Config(bundle_app(served), port=0, log_config=None))
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


async def test_no_interval_passes_between_a_push_and_the_download(
    open_site: Site, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(policy_url, "POLL_SECONDS", 3_600.0)
    put_bundle(open_site.folder / NAME, release(1))

    def named(read: Release, *_: object) -> Bundle:
        return Bundle(tmp_path, read.revision, {}, b"")

    async def unused(_path: Path) -> None:
        raise AssertionError("nothing is cached")

    published = Published(open_site.url, releases_at(open_site.url), None)
    reader = PolicyUrl(published, Source(tmp_path, tmp_path, 3_600.0), named, unused)
    changes = aiter(reader.changes(lambda error: pytest.fail(str(error))))
    async with asyncio.timeout(WAIT_SECONDS):  # of an hour that an interval would take
        for version in range(1, 5):
            await anext(changes)  # a request that waits from now on ends with the next push
            assert (await reader.bundle(())).revision == str(version)
            put_bundle(open_site.folder / NAME, release(version + 1))


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
    site = start(BundleFolder(tmp_path, BundleCallers(PULL, PUSH)))
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
    site = start(BundleFolder(tmp_path, BundleCallers(push_token=PUSH), [KEY.public_key()]))

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


class Known:
    """An authenticator that knows some bearers."""

    def __init__(self) -> None:
        self.broken = False

    async def authenticate(self, credentials: Credentials) -> Principal:
        if self.broken:
            raise LedgerUnavailableError("away")
        [header] = credentials.authorization or ("",)
        name = header.removeprefix("Bearer ")
        if name not in GRANTS:
            raise UnauthenticatedError("CREDENTIAL_INVALID", "the access token is unknown")
        person = "" if name == "ci" else f"{name}@example.com"
        return Principal(Caller(f"token:{name}", person=person, is_program=not person), GRANTS[name], person)


GRANTS = {
    name: (Grant(role, frozenset({tenant})),)
    for name, role, tenant in (
        ("ann", Role.POLICY_AUTHOR, "*"),
        ("ci", Role.ADMIN, "*"),
        ("joe", Role.POLICY_AUTHOR, "acme"),
        ("runtime", Role.AGENT_RUNTIME, "acme"),
        ("auditor", Role.AUDITOR, "acme"),
    )
}


def test_who_pushes_needs_the_role_and_is_named(start: Callable[[BundleFolder], Site], tmp_path: Path) -> None:
    known, pushes = Known(), list[Push]()

    async def opened(_stack: contextlib.AsyncExitStack) -> Any:
        return known

    site = start(BundleFolder(tmp_path, BundleCallers(PULL, open_authenticator=opened), on_pushed=pushes.append))

    def put(name: str, version: int) -> tuple[int, bytes]:
        return site.ask("PUT", f"/{NAME}", release(version), Authorization=f"Bearer {name}")[:2]

    def got() -> dict[str, str]:
        return site.ask("GET", f"/{NAME}", Authorization="Bearer pull")[2]

    assert put("nobody", 1) == (401, b"the access token is unknown\n")
    assert put("push", 1)[0] == 401
    assert put("runtime", 1)[0] == put("auditor", 1)[0] == put("joe", 1)[0] == 403
    known.broken = True
    assert put("ann", 1)[0] == 503
    known.broken = False
    assert [push.refused for push in pushes] == [
        *["CREDENTIAL_INVALID"] * 2,
        *["ROLE_NOT_GRANTED"] * 2,
        "TENANT_NOT_GRANTED",
        "database unavailable",
    ]
    assert list(tmp_path.iterdir()) == []
    assert put("ann", 1)[0] == 200
    assert pushes[-1] == Push(NAME, "1", Pusher("token:ann", "ann@example.com"))
    assert releases_at(site.url, write(tmp_path / "token", PULL)).get("", 0.0).pusher == pushes[-1].pusher
    assert put("ci", 1)[0] == 200  # the same content stays the one that ann published
    assert pusher_of(got()[PUSHED_BY.lower()]) == Pusher("token:ann", "ann@example.com")
    assert put("ci", 2)[0] == 200
    assert pusher_of(got()[PUSHED_BY.lower()]) == Pusher("token:ci")
    put_bundle(tmp_path / NAME, release(3))  # by somebody else
    assert PUSHED_BY.lower() not in got()
    assert site.ask("GET", f"/{NAME}", Authorization="Bearer auditor")[0] == 200
    assert site.ask("GET", f"/{NAME}", Authorization="Bearer runtime")[0] == 403
    assert site.ask("GET", f"/{NAME}")[0] == 401
    assert site.ask("GET", f"/.{NAME}.pushed.json", Authorization="Bearer pull")[0] == 404


@pytest.mark.parametrize(
    "header", ["", "{", "[]", '"ann"', '{"person": 7}', '{"person": "a\\nb"}', '{"person": "%s"}' % ("x" * 5_000)]
)
def test_nobody_is_known_from_a_damaged_header(header: str) -> None:
    assert pusher_of(header) == UNKNOWN_PUSHER


def write(path: Path, text: str) -> Path:
    path.write_text(text)
    return path
