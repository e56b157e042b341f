"""The stream transport: many callers share one stream, which ends and opens again without a caller noticing."""

from __future__ import annotations

import asyncio
import gc
import threading
import time
from concurrent.futures import ThreadPoolExecutor
from typing import TYPE_CHECKING, Any

import grpc
import pytest

from placet.sdk import Action, AsyncClient, Client, Effect, Request
from placet.sdk._transport import blocking_stream
from placet.sdk._transport.stream_messages import PAUSE_SECONDS, REQUEST_BYTES_MAX
from tests.sdk.both import ACTION, IDENTITY
from tests.sdk.in_loop import connected
from tests.sdk.scripted_server import AUTHORIZE, allow, late, plain_status, status

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from placet.sdk import Decision
    from tests.sdk.scripted_server import ScriptedServer

CALLERS = 32
UNAVAILABLE = grpc.StatusCode.UNAVAILABLE
CLOSED = "this client is closed"


def ending(answer: Callable[[bytes, Any], bytes]) -> Callable[[Any], None]:
    """Return a function that ends a stream with the status of an answer."""

    def end(context: Any) -> None:
        answer(b"", context)

    return end


def end_with_ok(_context: object) -> None:
    """End a stream without an error."""


@pytest.fixture(params=["blocking", "asyncio"])
def stream_client(request: pytest.FixtureRequest, server: ScriptedServer) -> Iterator[Client]:
    """A client over a stream."""
    server.script(AUTHORIZE, allow())
    use_asyncio = request.param == "asyncio"
    with connected(Client, server.address, use_asyncio=use_asyncio, timeout=10, transport="stream") as client:
        yield client


def together(server: ScriptedServer, asking: str, calls: int = CALLERS, **keywords: Any) -> list[Decision]:
    """Return the decisions of calls at the same time: each in a thread, or each in a task."""
    if asking == "blocking":
        with Client(server.address, timeout=20, transport="stream") as client, ThreadPoolExecutor(calls) as threads:
            return list(threads.map(lambda _: client.authorize(ACTION, IDENTITY, **keywords), range(calls)))

    async def ask() -> list[Decision]:
        async with AsyncClient(server.address, timeout=20, transport="stream") as client:
            return await asyncio.gather(*[client.authorize(ACTION, IDENTITY, **keywords) for _ in range(calls)])

    return asyncio.run(ask())


@pytest.mark.parametrize("asking", ["blocking", "asyncio"])
def test_callers_share_one_stream(server: ScriptedServer, asking: str) -> None:
    server.script(AUTHORIZE, allow())
    decisions = together(server, asking)
    assert all(decision.allowed for decision in decisions)
    assert (server.streams, len(server.calls)) == (1, CALLERS)
    assert {decision.idempotency_key for decision in decisions} == {
        each.idempotency_key for each in server.authorized()
    }


@pytest.mark.parametrize("asking", ["blocking", "asyncio"])
@pytest.mark.parametrize("end", [ending(status(UNAVAILABLE)), ending(plain_status(UNAVAILABLE)), end_with_ok])
def test_requests_of_a_stream_that_ended_are_sent_again(
    server: ScriptedServer, asking: str, end: Callable[[Any], None]
) -> None:
    server.script(AUTHORIZE, allow())
    server.stream_ends, server.stream_requests_max = [end] * 3, 5
    decisions = together(server, asking)
    assert all(decision.allowed for decision in decisions)
    assert server.streams >= 2
    assert {each.idempotency_key for each in server.authorized()} == {each.idempotency_key for each in decisions}


def test_a_request_is_sent_again_with_its_key(stream_client: Client, server: ScriptedServer) -> None:
    server.stream_ends = [ending(status(UNAVAILABLE))]
    server.script(AUTHORIZE, status(UNAVAILABLE), allow())
    assert stream_client.authorize(ACTION, IDENTITY, idempotency_key="k").allowed
    assert server.streams == 2
    assert [each.idempotency_key for each in server.authorized()] == ["k", "k"]


@pytest.mark.parametrize(
    "end",
    [
        plain_status(grpc.StatusCode.UNIMPLEMENTED, "Method not found!"),
        status(grpc.StatusCode.RESOURCE_EXHAUSTED, retry_after=0.25, reason="OVERLOADED"),
        plain_status(grpc.StatusCode.INTERNAL, "RST_STREAM"),
    ],
)
def test_unary_calls_replace_a_refused_stream(
    stream_client: Client, server: ScriptedServer, end: Callable[[bytes, Any], bytes]
) -> None:
    server.stream_ends = [ending(end)]
    for _ in range(3):
        assert stream_client.authorize(ACTION, IDENTITY).allowed
    assert (server.streams, len(server.calls)) == (1, 3)


@pytest.mark.parametrize("error", [RuntimeError("can't start new thread"), MemoryError()])
@pytest.mark.parametrize(("pause", "streams"), [(PAUSE_SECONDS, 0), (0.0, 1)])
def test_unary_calls_replace_a_stream_without_a_thread(
    server: ScriptedServer, monkeypatch: pytest.MonkeyPatch, error: Exception, pause: float, streams: int
) -> None:
    """After the pause a stream is opened again."""
    start = threading.Thread.start

    def fail(thread: threading.Thread) -> None:
        if thread.name == "placet-stream":
            raise error
        start(thread)

    server.script(AUTHORIZE, allow())
    monkeypatch.setattr(blocking_stream, "PAUSE_SECONDS", pause)
    with Client(server.address, timeout=2, transport="stream") as client:
        with monkeypatch.context() as patched:
            patched.setattr(threading.Thread, "start", fail)
            assert client.authorize(ACTION, IDENTITY).allowed
        assert client.authorize(ACTION, IDENTITY).allowed
    assert (server.streams, len(server.calls)) == (streams, 2)


def test_a_server_without_streams_that_denies_the_call(stream_client: Client, server: ScriptedServer) -> None:
    server.stream_ends = [ending(status(grpc.StatusCode.PERMISSION_DENIED))]
    server.script(AUTHORIZE, status(grpc.StatusCode.PERMISSION_DENIED))
    decision = stream_client.authorize(ACTION, IDENTITY)
    assert (decision.effect, decision.rule_id) == (Effect.DENY, "pdp.client_not_permitted")


def test_a_large_request_is_a_unary_call(stream_client: Client, server: ScriptedServer) -> None:
    params = {"q": "x" * REQUEST_BYTES_MAX}
    assert stream_client.authorize(Action("jira.search", params), IDENTITY).allowed
    assert server.streams == 0


def test_a_timeout_ends_one_call_and_not_the_stream(stream_client: Client, server: ScriptedServer) -> None:
    seen: list[int] = []

    def answer(_raw: bytes, context: Any) -> bytes:
        seen.append(context.timeout_ms)
        return bytes(allow().SerializeToString())

    server.script(AUTHORIZE, late(3), answer)
    started = time.monotonic()
    decision = stream_client.authorize(ACTION, IDENTITY, timeout=0.3)
    assert (decision.effect, decision.rule_id) == (Effect.DENY, "pdp.client_timeout")
    assert 0.25 <= time.monotonic() - started < 2
    assert stream_client.authorize(ACTION, IDENTITY, timeout=7).allowed
    assert 5_000 < seen[0] <= 7_000
    assert server.streams == 1


def test_an_answer_without_decision_is_a_deny(stream_client: Client, server: ScriptedServer) -> None:
    server.script(AUTHORIZE, b"")
    decision = stream_client.authorize(ACTION, IDENTITY)
    assert (decision.effect, decision.rule_id) == (Effect.DENY, "pdp.client_answer_invalid")


def test_a_message_that_is_no_response_denies_and_the_next_call_opens_a_stream(
    stream_client: Client, server: ScriptedServer
) -> None:
    server.script(AUTHORIZE, b"\xff" * 9, allow())
    decision = stream_client.authorize(ACTION, IDENTITY)
    assert (decision.effect, decision.rule_id) == (Effect.DENY, "pdp.client_answer_invalid")
    assert stream_client.authorize(ACTION, IDENTITY).allowed
    assert server.streams == 2


def test_a_server_that_cannot_be_reached(unused_address: str) -> None:
    for use_asyncio in (False, True):
        with connected(Client, unused_address, use_asyncio=use_asyncio, timeout=1, transport="stream") as client:
            started = time.monotonic()
            decision = client.authorize(ACTION, IDENTITY)
            assert decision.effect is Effect.DENY
            # On a busy machine the last try, just before the deadline, may have no result.
            assert decision.rule_id in {"pdp.client_unavailable", "pdp.client_timeout"}
            assert 0.8 <= time.monotonic() - started < 3


def test_close_waits_for_answers(server: ScriptedServer) -> None:
    arrived, over = threading.Event(), threading.Event()

    def slow(_raw: bytes, _context: object) -> bytes:
        arrived.set()
        over.wait(20)
        return bytes(allow().SerializeToString())

    server.script(AUTHORIZE, slow)
    client = Client(server.address, timeout=20, transport="stream")
    with ThreadPoolExecutor(2) as threads:
        asked = threads.submit(client.authorize, ACTION, IDENTITY)
        assert arrived.wait(20)
        closed = threads.submit(client.close)
        time.sleep(0.2)
        assert not closed.done()
        over.set()
        closed.result(20)
        assert asked.result(20).allowed
    failure = client.authorize(ACTION, IDENTITY).failure
    assert failure is not None
    assert failure.detail == CLOSED


async def test_close_waits_for_answers_of_an_asyncio_client(server: ScriptedServer) -> None:
    def slow(_raw: bytes, _context: object) -> bytes:
        time.sleep(0.5)
        return bytes(allow().SerializeToString())

    server.script(AUTHORIZE, slow)
    client = AsyncClient(server.address, timeout=20, transport="stream")
    asked = asyncio.create_task(client.authorize(ACTION, IDENTITY))
    await asyncio.sleep(0.2)
    await client.close()
    assert (await asked).allowed
    failure = (await client.authorize(ACTION, IDENTITY)).failure
    assert failure is not None
    assert failure.detail == CLOSED


def test_close_does_not_wait_for_ever(stream_client: Client, server: ScriptedServer) -> None:
    server.script(AUTHORIZE, late(20))
    with Client(server.address, timeout=20, transport="stream") as client, ThreadPoolExecutor(1) as threads:
        asked = threads.submit(client.authorize, ACTION, IDENTITY)
        time.sleep(0.3)
        started = time.monotonic()
        client.close()
        assert time.monotonic() - started < 6
        failure = asked.result(20).failure
    assert failure is not None
    assert failure.detail == CLOSED
    stream_client.close()


async def test_a_cancelled_caller_does_not_disturb_the_others(server: ScriptedServer) -> None:
    server.script(AUTHORIZE, late(1), allow())
    async with AsyncClient(server.address, timeout=20, transport="stream") as client:
        cancelled = asyncio.create_task(client.authorize(ACTION, IDENTITY))
        await asyncio.sleep(0.2)
        cancelled.cancel()
        with pytest.raises(asyncio.CancelledError):
            await cancelled
        assert (await client.authorize(ACTION, IDENTITY)).allowed
    assert server.streams == 1


def test_one_asyncio_client_in_several_loops(server: ScriptedServer) -> None:
    server.script(AUTHORIZE, allow())
    client = AsyncClient(server.address, timeout=10, transport="stream")
    for _ in range(3):
        assert asyncio.run(client.authorize(ACTION, IDENTITY)).allowed
    asyncio.run(client.close())
    assert server.streams == 3


def test_a_dropped_client_ends_its_stream(server: ScriptedServer) -> None:
    server.script(AUTHORIZE, allow())
    client = Client(server.address, timeout=10, transport="stream")
    assert client.authorize(ACTION, IDENTITY).allowed
    [thread] = [each for each in threading.enumerate() if each.name == "placet-stream"]
    del client
    gc.collect()
    thread.join(10)
    assert not thread.is_alive()


async def test_a_dropped_asyncio_client_ends_its_stream(server: ScriptedServer) -> None:
    server.script(AUTHORIZE, allow())
    client = AsyncClient(server.address, timeout=10, transport="stream")
    assert (await client.authorize(ACTION, IDENTITY)).allowed
    [task] = [each for each in asyncio.all_tasks() if each.get_name() == "placet-stream"]
    del client
    gc.collect()
    await asyncio.wait([task], timeout=10)
    assert task.done()


def test_threads_on_streams_that_end(server: ScriptedServer) -> None:
    server.script(AUTHORIZE, allow())
    server.stream_ends, server.stream_requests_max = [ending(status(UNAVAILABLE))] * 8, 40
    with Client(server.address, timeout=30, transport="stream") as client, ThreadPoolExecutor(16) as threads:
        asked = [
            threads.submit(client.authorize, ACTION, IDENTITY, idempotency_key=f"k{number}") for number in range(600)
        ]
        decisions = [each.result(60) for each in asked]
    assert all(decision.allowed for decision in decisions)
    assert server.streams == 9
    assert {each.idempotency_key for each in server.authorized()} == {f"k{number}" for number in range(600)}


def test_a_batch_is_a_unary_call_and_an_outcome_too(stream_client: Client, server: ScriptedServer) -> None:
    stream_client.authorize_batch([Request(ACTION, IDENTITY)], timeout=1)
    assert server.streams == 0


@pytest.mark.parametrize("made", [Client, AsyncClient])
def test_an_unknown_transport_raises(made: type[Client]) -> None:
    with pytest.raises(ValueError, match="transport must be 'unary' or 'stream', not 'http'"):
        made(transport="http")  # type: ignore[arg-type] # wrong on purpose
