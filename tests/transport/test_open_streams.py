"""Answers and streams of callers whose credential ends or is revoked meanwhile."""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING, Any, cast

import pytest

from placet.identity.model import Principal
from placet.identity.ports import Credentials
from placet.kernel.errors import LedgerUnavailableError, UnauthenticatedError
from placet.kernel.model import Caller
from placet.transport.grpc.interceptors import open_streams
from placet.transport.grpc.interceptors.authentication import AuthenticationInterceptor
from placet.transport.grpc.interceptors.base import Method
from placet.transport.grpc.interceptors.open_streams import OpenStreams

if TYPE_CHECKING:
    from placet.identity.ports import Delegation, User

REVOKED = UnauthenticatedError("CREDENTIAL_INVALID", "it was revoked")
CREDENTIALS = Credentials(("Bearer t",), peer="ipv4:10.0.0.1:5")


class OneCaller:
    """Authenticates one caller while `error` is None."""

    def __init__(self) -> None:
        self.error: Exception | None = None
        self.asked = 0

    async def authenticate(self, credentials: Credentials) -> Principal:
        self.asked += 1
        if self.error is not None:
            raise self.error
        return Principal(Caller("c", credentials.peer), (), token_id="tok_1")  # noqa: S106 - an id

    async def asked_again(self) -> None:
        """Wait until a caller is authenticated twice more."""
        asked = self.asked
        async with asyncio.timeout(30):
            while self.asked < asked + 2:  # noqa: ASYNC110 - the task that asks reports nothing
                await asyncio.sleep(0.001)

    async def require_current(self, principal: Principal) -> None:
        assert principal.token_id == "tok_1"  # noqa: S105 - an id
        if self.error is not None:
            raise self.error

    async def user_of(self, token: str) -> User:
        raise NotImplementedError

    async def delegation_of(self, token: str) -> Delegation:
        raise NotImplementedError(token)


class Context:
    def peer(self) -> str:
        return "ipv4:10.0.0.1:5"

    def invocation_metadata(self) -> tuple[tuple[str, str], ...]:
        return (("authorization", "Bearer t"),)

    def auth_context(self) -> dict[str, Any]:
        return {}


@pytest.fixture(autouse=True)
def _quick(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(open_streams, "CHECK_SECONDS", 0.01)


@pytest.mark.parametrize(("method", "answered"), [("ApproveAction", False), ("RevokeToken", True)])
async def test_an_answer_that_a_revocation_overtook_is_withheld(method: str, answered: bool) -> None:  # noqa: FBT001
    caller = OneCaller()

    async def answer(_request: object, _context: object) -> str:
        caller.error = REVOKED
        return "answer"

    interceptor = AuthenticationInterceptor(caller, OpenStreams(caller))
    behavior = interceptor.intercept(answer, Method("placet.v1.S", method))
    if answered:
        assert await behavior(None, cast("Any", Context())) == "answer"
    else:
        with pytest.raises(UnauthenticatedError, match="it was revoked"):
            await behavior(None, cast("Any", Context()))


async def stream(streams: OpenStreams, begun: asyncio.Event, cleaned: list[str]) -> None:
    with streams.cancelling(CREDENTIALS):
        try:
            begun.set()
            await asyncio.sleep(60)
        finally:
            cleaned.append("closed")


@pytest.mark.parametrize("error", [REVOKED, LedgerUnavailableError("down"), ValueError("a fault")])
async def test_a_stream_ends_with_the_error_of_its_check(error: Exception) -> None:
    caller, begun, cleaned = OneCaller(), asyncio.Event(), list[str]()
    streams = OpenStreams(caller)
    task = asyncio.create_task(stream(streams, begun, cleaned))
    await begun.wait()
    await caller.asked_again()
    assert not task.done()
    caller.error = error
    with pytest.raises(type(error), match=str(error)):
        await asyncio.wait_for(task, 5)
    assert cleaned == ["closed"]
    assert not task.cancelled()


async def test_a_cancelled_stream_stays_cancelled() -> None:
    caller, begun, cleaned = OneCaller(), asyncio.Event(), list[str]()
    task = asyncio.create_task(stream(OpenStreams(caller), begun, cleaned))
    await begun.wait()
    task.cancel()
    with pytest.raises(asyncio.CancelledError):
        await task
    assert cleaned == ["closed"]


async def test_nothing_is_checked_without_streams_and_each_new_one_is() -> None:
    caller, cleaned = OneCaller(), list[str]()
    streams = OpenStreams(caller)
    for _ in range(3):
        begun = asyncio.Event()
        task = asyncio.create_task(stream(streams, begun, cleaned))
        await begun.wait()
        await caller.asked_again()
        task.cancel()
        await asyncio.wait({task})
        asked = caller.asked
        await asyncio.sleep(0.05)
        assert caller.asked == asked


async def test_one_stream_ends_and_the_others_go_on() -> None:
    caller, ended = OneCaller(), list[Exception]()
    streams = OpenStreams(caller)
    with streams.checked(CREDENTIALS, ended.append) as check, streams.checked(CREDENTIALS, ended.append):
        caller.error = REVOKED
        await check()
        assert ended == [REVOKED]
        await check()
        assert ended == [REVOKED]
        caller.error = None
        await caller.asked_again()
        assert ended == [REVOKED]
