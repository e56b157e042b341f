"""Serves the files of a folder as policy bundles, with ETag and long polling as OPA's bundle plugin asks for it.

    GET /NAME    the file; 304 when `If-None-Match` is its ETag. With `Prefer: wait=N` the answer waits up to N seconds
                 for a change.
    PUT /NAME    replaces the file in one step. Needs a token, or the credential of a policy_author.

NAME is a plain name that ends with .tar.gz: no folders, no name that begins with a dot.
"""

from __future__ import annotations

import asyncio
import contextlib
import hashlib
import re
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Final

from starlette.applications import Starlette
from starlette.requests import ClientDisconnect, Request
from starlette.responses import PlainTextResponse, Response
from starlette.routing import Route

from placet.kernel.errors import Diagnostic, PolicyInvalidError
from placet.policy.bundles.bundle_files import put_bundle
from placet.policy.bundles.pushes import PUSHED_BY, header_of, note_push, noted_push
from placet.policy.bundles.release import RELEASE_BYTES_MAX, read_release
from placet.revisions.pushed import Pusher
from placet.transport.http.bundle_callers import BundleCallers, CallerRefusedError

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Callable, Sequence
    from pathlib import Path

    from placet.policy.bundles.signatures import VerificationKey

BUNDLE_TYPE: Final = "application/vnd.openpolicyagent.bundles"
"""Content type by which clients know that long polling works."""
WAIT_SECONDS_MAX: Final = 60
LOOK_SECONDS: Final = 0.1
"""Interval at which a waiting request looks at the file."""
_NAME: Final = re.compile(r"[A-Za-z0-9][A-Za-z0-9._-]{0,127}\.tar\.gz")
_WAIT: Final = re.compile(r"(?:^|[;,\s])wait=(\d{1,6})")


@dataclass(frozen=True, slots=True)
class Push:
    """A bundle that was pushed, or that was refused."""

    name: str
    revision: str  # "" when it was refused
    pusher: Pusher
    refused: str = ""  # why it was refused


@dataclass(frozen=True, slots=True)
class BundleFolder:
    """The folder that is served, and who may read and write it."""

    folder: Path
    callers: BundleCallers = field(default_factory=BundleCallers)
    keys: Sequence[VerificationKey] = ()  # with keys, a pushed bundle must be signed by one of them
    on_pushed: Callable[[Push], None] = lambda _push: None
    """Receives each push, taken or refused."""


def bundle_app(served: BundleFolder) -> Starlette:
    """Return the ASGI application that serves the folder. Callers are authenticated during its lifespan."""
    site = _Site(served)

    @contextlib.asynccontextmanager
    async def lifespan(_app: Starlette) -> AsyncIterator[None]:
        async with served.callers.authenticated():
            yield

    reads = Route("/{name}", site.get, methods=["GET"])
    return Starlette(routes=[reads, Route("/{name}", site.put, methods=["PUT"])], lifespan=lifespan)


class _Site:
    """The two methods of the address of a bundle."""

    def __init__(self, served: BundleFolder) -> None:
        self._served = served
        self._tags: dict[str, tuple[object, str]] = {}  # by name: the state of the file, and its ETag

    async def get(self, request: Request) -> Response:
        """Answer with the bundle, or with 304 when the client has it and it did not change in time."""
        served, name = self._served, request.path_params["name"]
        path = served.folder / name
        try:
            await served.callers.require_reader(request)
        except CallerRefusedError as refused:
            return refused.response
        if not _NAME.fullmatch(name):
            return _not_found()
        known = request.headers.get("if-none-match", "")
        tag = await self._changed(request, path, known)
        if tag and tag == known:
            return Response(status_code=304, headers={"ETag": tag, "Content-Type": BUNDLE_TYPE})
        read = await asyncio.to_thread(_read, path) if tag else None
        if read is None:
            return _not_found()
        content, digest = read
        headers = {"ETag": _tag_of(digest)}
        if (pusher := await asyncio.to_thread(noted_push, path, digest)).name:
            headers[PUSHED_BY] = header_of(pusher)
        return Response(content, media_type=BUNDLE_TYPE, headers=headers)

    async def put(self, request: Request) -> Response:
        """Take a bundle that can be read, and that a trusted key signed if there are keys."""
        name = request.path_params["name"]
        try:
            pusher = await self._served.callers.pusher(request)
        except CallerRefusedError as refused:
            self._served.on_pushed(Push(name, "", Pusher(), refused.reason))
            return refused.response
        answer, revision, problem = await self._take(request, name, pusher)
        self._served.on_pushed(Push(name, revision, pusher, problem))
        return answer

    async def _take(self, request: Request, name: str, pusher: Pusher) -> tuple[Response, str, str]:
        """Return the answer, the revision that was taken, and why none was."""
        if not _NAME.fullmatch(name):
            problem = "the name must be plain and end with .tar.gz"
            return PlainTextResponse(f"{problem}\n", 400), "", problem
        try:
            content = await _body(request)
            release = await asyncio.to_thread(read_release, content, self._served.keys)
        except ClientDisconnect:  # half of it: nothing is written
            return Response(status_code=400), "", "the bundle was not complete"
        except PolicyInvalidError as error:
            return PlainTextResponse(f"{error}\n", 422), "", str(error)
        digest = await asyncio.to_thread(_put, self._served.folder / name, content, pusher)
        return PlainTextResponse(f"{release.revision}\n", headers={"ETag": _tag_of(digest)}), release.revision, ""

    async def _changed(self, request: Request, path: Path, known: str) -> str:
        """Return the ETag of the file, "" without a file. Waits until it is another one, as long as the client asks."""
        loop = asyncio.get_running_loop()
        deadline = loop.time() + _wait_seconds(request)
        while True:
            tag = await asyncio.to_thread(_tag, path, self._tags)
            if tag != known or loop.time() >= deadline or await request.is_disconnected():
                return tag
            await asyncio.sleep(LOOK_SECONDS)


async def _body(request: Request) -> bytes:
    """Return the body. Stops to read, and raises PolicyInvalidError, when it is too large."""
    content = bytearray()
    async for chunk in request.stream():
        content += chunk
        if len(content) > RELEASE_BYTES_MAX:
            raise PolicyInvalidError([Diagnostic("the bundle", f"is larger than {RELEASE_BYTES_MAX} bytes")])
    return bytes(content)


def _wait_seconds(request: Request) -> int:
    found = _WAIT.search(request.headers.get("prefer", ""))
    return min(int(found[1]), WAIT_SECONDS_MAX) if found else 0


def _tag(path: Path, tags: dict[str, tuple[object, str]]) -> str:
    """Return the ETag of the file; "" when there is none. Reads the file only when it was changed."""
    try:
        stat = path.stat()
    except OSError:
        return ""
    state = (stat.st_ino, stat.st_size, stat.st_mtime_ns, stat.st_ctime_ns)
    if tags.get(path.name, ("", ""))[0] != state:
        read = _read(path)
        if read is None:
            return ""
        tags[path.name] = (state, _tag_of(read[1]))
    return tags[path.name][1]


def _read(path: Path) -> tuple[bytes, str] | None:
    """Return the content of the file, and its SHA-256; None without a file."""
    try:
        content = path.read_bytes()
    except OSError:
        return None
    return content, _digest_of(content)


def _put(path: Path, content: bytes, pusher: Pusher) -> str:
    """Put the content in the file. Returns its SHA-256."""
    digest = _digest_of(content)
    note_push(path, digest, pusher)
    put_bundle(path, content)
    return digest


def _digest_of(content: bytes) -> str:
    return hashlib.sha256(content).hexdigest()


def _tag_of(digest: str) -> str:
    return f'"{digest}"'


def _not_found() -> Response:
    return PlainTextResponse("no such bundle\n", 404)
