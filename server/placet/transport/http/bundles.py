"""Serves the files of a folder as policy bundles, with ETag and long polling as OPA's bundle plugin asks for it.

    GET /NAME    the file; 304 when `If-None-Match` is its ETag. With `Prefer: wait=N` the answer waits up to N seconds
                 for a change.
    PUT /NAME    replaces the file in one step. Needs a token.

NAME is a plain name that ends with .tar.gz: no folders, no name that begins with a dot.
"""

from __future__ import annotations

import asyncio
import hashlib
import hmac
import re
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Final

from starlette.applications import Starlette
from starlette.requests import ClientDisconnect, Request
from starlette.responses import PlainTextResponse, Response
from starlette.routing import Route

from placet.kernel.errors import Diagnostic, PolicyInvalidError
from placet.policy.bundles.bundle_files import put_bundle
from placet.policy.bundles.release import RELEASE_BYTES_MAX, read_release

if TYPE_CHECKING:
    from collections.abc import Sequence
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
class BundleFolder:
    """The folder that is served, and who may read and write it."""

    folder: Path
    pull_token: str = field(default="", repr=False)  # needed to read; "" lets everybody read
    push_token: str = field(default="", repr=False)  # needed to write; "" takes no bundle
    keys: Sequence[VerificationKey] = ()  # with keys, a pushed bundle must be signed by one of them


def bundle_app(served: BundleFolder) -> Starlette:
    """Return the ASGI application that serves the folder."""
    site = _Site(served)
    reads = Route("/{name}", site.get, methods=["GET"])
    return Starlette(routes=[reads, Route("/{name}", site.put, methods=["PUT"])])


class _Site:
    """The two methods of the address of a bundle."""

    def __init__(self, served: BundleFolder) -> None:
        self._served = served
        self._tags: dict[str, tuple[object, str]] = {}  # by name: the state of the file, and its ETag

    async def get(self, request: Request) -> Response:
        """Answer with the bundle, or with 304 when the client has it and it did not change in time."""
        served, name = self._served, request.path_params["name"]
        if served.pull_token and not _has_token(request, served.pull_token, served.push_token):
            return _unauthorized()
        if not _NAME.fullmatch(name):
            return _not_found()
        known = request.headers.get("if-none-match", "")
        tag = await self._changed(request, served.folder / name, known)
        if tag and tag == known:
            return Response(status_code=304, headers={"ETag": tag, "Content-Type": BUNDLE_TYPE})
        content = await asyncio.to_thread(_content, served.folder / name) if tag else None
        if content is None:
            return _not_found()
        return Response(content, media_type=BUNDLE_TYPE, headers={"ETag": _tag_of(content)})

    async def put(self, request: Request) -> Response:
        """Take a bundle that can be read, and that a trusted key signed if there are keys."""
        served, name = self._served, request.path_params["name"]
        if not served.push_token:
            return PlainTextResponse("this server takes no bundles: start it with --push-token-file\n", 403)
        if not _has_token(request, served.push_token):
            return _unauthorized()
        if not _NAME.fullmatch(name):
            return PlainTextResponse("the name must be plain and end with .tar.gz\n", 400)
        try:
            content = await _body(request)
            release = await asyncio.to_thread(read_release, content, served.keys)
        except ClientDisconnect:  # half of it: nothing is written
            return Response(status_code=400)
        except PolicyInvalidError as error:
            return PlainTextResponse(f"{error}\n", 422)
        await asyncio.to_thread(put_bundle, served.folder / name, content)
        return PlainTextResponse(f"{release.revision}\n", headers={"ETag": _tag_of(content)})

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


def _has_token(request: Request, *accepted: str) -> bool:
    scheme, _, token = request.headers.get("authorization", "").partition(" ")
    given = token.strip().encode()
    matches = [hmac.compare_digest(given, each.encode()) for each in accepted if each]
    return scheme.lower() == "bearer" and any(matches)


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
        content = _content(path)
        if content is None:
            return ""
        tags[path.name] = (state, _tag_of(content))
    return tags[path.name][1]


def _content(path: Path) -> bytes | None:
    try:
        return path.read_bytes()
    except OSError:
        return None


def _tag_of(content: bytes) -> str:
    return f'"{hashlib.sha256(content).hexdigest()}"'


def _unauthorized() -> Response:
    return PlainTextResponse("a valid bearer token is needed\n", 401, headers={"WWW-Authenticate": "Bearer"})


def _not_found() -> Response:
    return PlainTextResponse("no such bundle\n", 404)
