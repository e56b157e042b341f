"""The HTTP application of a server: what needs no credential. More protocols are added here as routes.

    GET /.well-known/jwks.json    the public keys that verify permits, as a JWK set (RFC 7517)

Errors are problem documents (RFC 9457).
"""

from __future__ import annotations

import hashlib
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Final

import orjson
from starlette.applications import Starlette
from starlette.exceptions import HTTPException
from starlette.responses import Response
from starlette.routing import Route

from placet.kernel.errors import PermitKeysUnavailableError
from placet.kernel.limits import JWKS_CACHE_SECONDS

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

    from starlette.requests import Request

JWKS_PATH: Final = "/.well-known/jwks.json"
JWKS_TYPE: Final = "application/jwk-set+json"
PROBLEM_TYPE: Final = "application/problem+json"
_TITLES: Final = {
    404: "Nothing is at this address",
    405: "This method is not for this address",
    500: "Internal error; the server's log has the cause",
}


def public_app(jwks: Callable[[], str], on_error: Callable[[BaseException], None]) -> Starlette:
    """Return the ASGI application. `jwks` returns the JWK set, or raises PermitKeysUnavailableError."""
    site = _Site(jwks, on_error)
    handlers: Any = {HTTPException: _refused}
    app = Starlette(routes=[Route(JWKS_PATH, site.answer, methods=["GET"])], exception_handlers=handlers)
    app.router.redirect_slashes = False
    return app


@dataclass(frozen=True, slots=True)
class _Site:
    """The answers."""

    jwks: Callable[[], str]
    on_error: Callable[[BaseException], None]

    async def answer(self, request: Request) -> Response:
        """Answer with the public keys. An unexpected error is reported, and its text is not sent."""
        try:
            return self._keys(request)
        except PermitKeysUnavailableError as error:
            return problem(503, "The public keys are not available", str(error), {"Retry-After": "5"})
        except Exception as error:  # noqa: BLE001 - reported once; Starlette would raise it again after its answer
            self.on_error(error)
            return problem(500, _TITLES[500])

    def _keys(self, request: Request) -> Response:
        """Return the keys, or 304 when the client has them."""
        content = self.jwks().encode()
        tag = f'"{hashlib.sha256(content).hexdigest()}"'
        headers = {"Cache-Control": f"public, max-age={JWKS_CACHE_SECONDS}", "ETag": tag}
        if tag in request.headers.get("if-none-match", ""):
            return Response(status_code=304, headers=headers)
        return Response(content, media_type=JWKS_TYPE, headers=headers)


def problem(status: int, title: str, detail: str = "", headers: Mapping[str, str] | None = None) -> Response:
    """Return a problem document. Caches do not keep it."""
    document: dict[str, object] = {"status": status, "title": title}
    if detail:
        document["detail"] = detail
    no_store = {"Cache-Control": "no-store", **(headers or {})}
    return Response(orjson.dumps(document), status, media_type=PROBLEM_TYPE, headers=no_store)


async def _refused(_request: Request, error: HTTPException) -> Response:
    return problem(error.status_code, _TITLES.get(error.status_code, error.detail), headers=error.headers)
