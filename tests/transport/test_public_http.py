"""The HTTP application without a server."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Any

import pytest

from placet.kernel.errors import PermitKeysUnavailableError
from placet.transport.http.public import JWKS_PATH, problem, public_app

if TYPE_CHECKING:
    from collections.abc import Callable

    from starlette.applications import Starlette


def unexpected() -> str:
    raise RuntimeError("s3cret cause")


def unavailable() -> str:
    raise PermitKeysUnavailableError("not now")


async def answer_of(app: Starlette) -> tuple[int, dict[bytes, bytes], bytes]:
    """Return status, headers and body of the answer to a request for the keys."""
    scope = {"type": "http", "method": "GET", "path": JWKS_PATH, "headers": [], "query_string": b""}
    sent: list[Any] = []

    async def receive() -> dict[str, str]:
        return {"type": "http.disconnect"}

    async def send(message: Any) -> None:
        sent.append(message)

    await app(scope, receive, send)  # raises what the application raises
    start, *bodies = sent
    return start["status"], dict(start["headers"]), b"".join(each["body"] for each in bodies)


@pytest.mark.parametrize(
    ("jwks", "status", "reported"),
    [(lambda: '{"keys":[]}', 200, 0), (unavailable, 503, 0), (unexpected, 500, 1)],
)
async def test_each_failure_has_its_answer(jwks: Callable[[], str], status: int, reported: int) -> None:
    errors: list[BaseException] = []
    found, headers, body = await answer_of(public_app(jwks, errors.append))
    assert (found, len(errors)) == (status, reported)
    assert b"s3cret" not in body
    if status != 200:
        assert headers[b"content-type"] == b"application/problem+json"
        assert headers[b"cache-control"] == b"no-store"
        assert json.loads(body)["status"] == status


def test_a_problem_without_detail_has_none() -> None:
    assert json.loads(bytes(problem(404, "Nothing").body)) == {"status": 404, "title": "Nothing"}
