"""Who may read and push bundles: those who know a token of the server, or authenticated callers by their roles."""

from __future__ import annotations

import contextlib
import hmac
from collections.abc import Awaitable, Callable
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

from starlette.responses import PlainTextResponse

from placet.identity.access import PUSH_BUNDLE, READ_BUNDLE
from placet.identity.permissions import require_access
from placet.identity.ports import Credentials
from placet.kernel.errors import LedgerUnavailableError, PermissionDeniedError, UnauthenticatedError
from placet.revisions.pushed import Pusher

if TYPE_CHECKING:
    from collections.abc import AsyncIterator

    from starlette.requests import Request
    from starlette.responses import Response

    from placet.identity.access import Access
    from placet.identity.model import Principal
    from placet.identity.ports import Authenticator

OpenAuthenticator = Callable[[contextlib.AsyncExitStack], Awaitable["Authenticator"]]


class CallerRefusedError(Exception):
    """The caller may not do this. `reason` is a word for the log, or a stable id as in the reference of errors."""

    def __init__(self, reason: str, response: Response) -> None:
        self.reason = reason
        self.response = response
        super().__init__(reason)


@dataclass(slots=True)
class BundleCallers:
    """The callers of a bundle server."""

    pull_token: str = field(default="", repr=False)  # needed to read; "" lets everybody read
    push_token: str = field(default="", repr=False)  # needed to write; "" takes no bundle
    open_authenticator: OpenAuthenticator | None = None
    """Starts what proves who calls. Who pushes then needs a role, and the push token must be empty."""
    _authenticator: Authenticator | None = None

    @contextlib.asynccontextmanager
    async def authenticated(self) -> AsyncIterator[None]:
        """Authenticate callers for the duration of the block."""
        async with contextlib.AsyncExitStack() as stack:
            if self.open_authenticator is not None:
                self._authenticator = await self.open_authenticator(stack)
            yield

    async def pusher(self, request: Request) -> Pusher:
        """Return who pushes. Raises CallerRefusedError when the caller may not."""
        if self.open_authenticator is not None:
            principal = await self._caller(request, PUSH_BUNDLE)
            return Pusher(principal.caller.name, principal.person)
        if not self.push_token:
            text = "this server takes no bundles: start it with --auth-file or --push-token-file\n"
            raise CallerRefusedError("takes none", PlainTextResponse(text, 403))
        if not _has_token(request, self.push_token):
            raise CallerRefusedError("no valid token", _unauthorized("a valid bearer token is needed"))
        return Pusher()

    async def require_reader(self, request: Request) -> None:
        """Raise CallerRefusedError when the caller may not read."""
        if not self.pull_token or _has_token(request, self.pull_token, self.push_token):
            return
        if self.open_authenticator is None:
            raise CallerRefusedError("no valid token", _unauthorized("a valid bearer token is needed"))
        await self._caller(request, READ_BUNDLE)

    async def _caller(self, request: Request, access: Access) -> Principal:
        """Return the authenticated caller. Raises CallerRefusedError unless it has the access."""
        if self._authenticator is None:
            raise AssertionError("requests are served within `authenticated`")
        headers = tuple(request.headers.getlist("authorization"))
        peer = request.client.host if request.client is not None else ""
        try:
            principal = await self._authenticator.authenticate(Credentials(headers, peer=peer))
            require_access(principal, access, ())
        except UnauthenticatedError as error:
            raise CallerRefusedError(error.reason, _unauthorized(str(error))) from error
        except PermissionDeniedError as error:
            raise CallerRefusedError(error.reason, PlainTextResponse(f"{error}\n", 403)) from error
        except LedgerUnavailableError as error:
            text = "the database of access tokens cannot be read; try again\n"
            raise CallerRefusedError("database unavailable", PlainTextResponse(text, 503)) from error
        return principal


def _has_token(request: Request, *accepted: str) -> bool:
    scheme, _, token = request.headers.get("authorization", "").partition(" ")
    given = token.strip().encode()
    matches = [hmac.compare_digest(given, each.encode()) for each in accepted if each]
    return scheme.lower() == "bearer" and any(matches)


def _unauthorized(text: str) -> Response:
    return PlainTextResponse(f"{text}\n", 401, headers={"WWW-Authenticate": "Bearer"})
