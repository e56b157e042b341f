"""Failed calls: statuses, retries, deadlines, and servers that are not running."""

from __future__ import annotations

import asyncio
import re
import threading
import time
from typing import TYPE_CHECKING, Any

import grpc
import pytest

from placet.sdk import (
    Action,
    AsyncClient,
    CallFailedError,
    Client,
    Decision,
    Effect,
    InvalidRequestError,
)
from placet.sdk._transport.options import ANSWER_BYTES_MAX
from tests.sdk.both import ACTION, IDENTITY, Both
from tests.sdk.scripted_server import (
    AUTHORIZE,
    ScriptedServer,
    allow,
    late,
    plain_status,
    status,
)

if TYPE_CHECKING:
    from collections.abc import Callable


UNAVAILABLE = grpc.StatusCode.UNAVAILABLE


@pytest.mark.parametrize(
    ("code", "rule_id"),
    [
        (grpc.StatusCode.INVALID_ARGUMENT, "pdp.client_invalid_argument"),
        (grpc.StatusCode.ALREADY_EXISTS, "pdp.client_key_reused"),
        (grpc.StatusCode.RESOURCE_EXHAUSTED, "pdp.client_overloaded"),
        (grpc.StatusCode.UNAUTHENTICATED, "pdp.client_not_permitted"),
        (grpc.StatusCode.PERMISSION_DENIED, "pdp.client_not_permitted"),
        (grpc.StatusCode.NOT_FOUND, "pdp.client_not_found"),
        (grpc.StatusCode.DEADLINE_EXCEEDED, "pdp.client_timeout"),
        (grpc.StatusCode.INTERNAL, "pdp.client_error"),
        (grpc.StatusCode.UNKNOWN, "pdp.client_error"),
        (grpc.StatusCode.UNIMPLEMENTED, "pdp.client_error"),
    ],
)
def test_a_permanent_status_is_not_retried(
    both: Both, server: ScriptedServer, code: grpc.StatusCode, rule_id: str
) -> None:
    server.script(AUTHORIZE, plain_status(code, "what\nthe server says"))
    result = both.authorize()
    assert (result.effect, result.rule_id) == (Effect.DENY, rule_id)
    assert "what the server says" in result.reason
    assert len(server.calls) == 1


def test_field_violations_reach_the_caller(both: Both, server: ScriptedServer) -> None:
    server.script(
        AUTHORIZE, status(grpc.StatusCode.INVALID_ARGUMENT, violations=[("action.tool", "is required"), ("x", "y")])
    )
    result = both.authorize()
    assert result.failure is not None
    assert [(each.field, each.description) for each in result.failure.violations] == [
        ("action.tool", "is required"),
        ("x", "y"),
    ]
    assert "action.tool: is required; x: y" in result.reason
    with pytest.raises(InvalidRequestError, match=r"action\.tool: is required"):
        both.authorize(on_failure="raise")


@pytest.mark.parametrize("trailer", [b"\xff\xff", b"", b"\x1a\x02\xff\xff"])
def test_malformed_status_details_are_ignored(both: Both, server: ScriptedServer, trailer: bytes) -> None:
    server.script(AUTHORIZE, plain_status(grpc.StatusCode.INVALID_ARGUMENT, "no", trailer))
    assert both.authorize().rule_id == "pdp.client_invalid_argument"


def test_unavailable_is_retried_with_the_same_key(both: Both, server: ScriptedServer) -> None:
    server.script(AUTHORIZE, status(UNAVAILABLE), plain_status(UNAVAILABLE), allow())
    assert both.authorize().allowed
    sent = server.authorized()
    assert len(sent) == 3
    assert len({each.idempotency_key for each in sent}) == 1
    assert sent[0] == sent[2]


def test_a_call_that_a_stopping_server_drops_is_retried_with_the_same_key(both: Both, server: ScriptedServer) -> None:
    server.script(AUTHORIZE, plain_status(grpc.StatusCode.CANCELLED, "CANCELLED"), allow())
    assert both.authorize().allowed
    assert len({each.idempotency_key for each in server.authorized()}) == 1
    server.script(AUTHORIZE, plain_status(grpc.StatusCode.CANCELLED, "CANCELLED"))
    assert both.authorize(timeout=0.5).reason == "Placet cannot be reached: the server ended the call without an answer"


def test_a_violation_of_the_whole_request_names_no_field(both: Both, server: ScriptedServer) -> None:
    server.script(AUTHORIZE, status(grpc.StatusCode.INVALID_ARGUMENT, violations=[("", "is 900000 bytes")]))
    assert both.authorize().reason == "The request is invalid: it is 900000 bytes"


def test_the_delay_that_the_server_requests_is_kept(both: Both, server: ScriptedServer) -> None:
    server.script(AUTHORIZE, status(grpc.StatusCode.RESOURCE_EXHAUSTED, retry_after=0.4), allow())
    started = time.monotonic()
    assert both.authorize().allowed
    assert 0.4 <= time.monotonic() - started < 5
    assert len(server.calls) == 2


def test_a_request_larger_than_the_server_accepts_is_invalid(both: Both) -> None:
    small = ScriptedServer().start(message_bytes_max=1_000)
    small.script(AUTHORIZE, allow())
    try:
        result = Both(small.address, both.use_asyncio).authorize(Action("t", {"a": "x" * 5_000}))
    finally:
        small.stop()
    assert (result.effect, result.rule_id) == (Effect.DENY, "pdp.client_invalid_argument")
    assert re.search(r"the request is larger than the maximum size of a message \(5\d\d\d vs\. 1000\)", result.reason)
    assert small.calls == []


def test_a_response_larger_than_a_client_accepts_is_invalid(both: Both, server: ScriptedServer) -> None:
    server.script(AUTHORIZE, b"x" * (ANSWER_BYTES_MAX + 1))
    result = both.authorize()
    assert (result.effect, result.rule_id) == (Effect.DENY, "pdp.client_answer_invalid")
    assert "larger than a client accepts" in result.reason
    assert len(server.calls) == 1


def test_retries_end_at_the_deadline(both: Both, server: ScriptedServer) -> None:
    server.script(AUTHORIZE, status(UNAVAILABLE, "the ledger is away"))
    started = time.monotonic()
    result = both.authorize(timeout=2)
    assert (result.effect, result.rule_id) == (Effect.DENY, "pdp.client_unavailable")
    assert "the ledger is away" in result.reason
    assert 1.8 <= time.monotonic() - started < 5
    assert 5 <= len(server.calls) <= 16
    assert len({each.idempotency_key for each in server.authorized()}) == 1


def test_no_retry_if_the_delay_exceeds_the_deadline(both: Both, server: ScriptedServer) -> None:
    server.script(AUTHORIZE, status(grpc.StatusCode.RESOURCE_EXHAUSTED, retry_after=60))
    started = time.monotonic()
    result = both.authorize(timeout=30)
    assert result.rule_id == "pdp.client_overloaded"
    assert result.failure is not None
    assert result.failure.retry_after_seconds == 60
    assert time.monotonic() - started < 30
    assert len(server.calls) == 1


def test_a_server_that_does_not_answer(both: Both, server: ScriptedServer) -> None:
    server.script(AUTHORIZE, late())
    started = time.monotonic()
    result = both.authorize(timeout=0.3)
    assert (result.effect, result.rule_id) == (Effect.DENY, "pdp.client_timeout")
    assert 0.3 <= time.monotonic() - started < 5


def test_a_call_can_have_its_own_timeout(both: Both, server: ScriptedServer) -> None:
    server.script(AUTHORIZE, late())
    if both.use_asyncio:

        async def ask() -> Decision:
            async with AsyncClient(both.address, timeout=60) as client:
                return await client.authorize(ACTION, IDENTITY, timeout=0.2)

        result = asyncio.run(ask())
    else:
        with Client(both.address, timeout=60) as client:
            result = client.authorize(ACTION, IDENTITY, timeout=0.2)
    assert result.rule_id == "pdp.client_timeout"


def test_a_server_that_is_not_running(unused_address: str) -> None:
    for use_asyncio in (False, True):
        both = Both(unused_address, use_asyncio)
        result = both.authorize(timeout=2)
        assert (result.effect, result.rule_id) == (Effect.DENY, "pdp.client_unavailable")
        with pytest.raises(CallFailedError, match=r"pdp\.client_unavailable"):
            both.authorize(timeout=2, on_failure="raise")


def test_a_host_name_that_is_invalid() -> None:
    for use_asyncio in (False, True):
        result = Both("not a host:7070", use_asyncio).authorize(timeout=1)
        assert result.effect is Effect.DENY
        assert result.rule_id.startswith("pdp.client_")


def test_a_server_that_restarts_is_found_by_a_retry(both: Both, server: ScriptedServer) -> None:
    server.stop()
    again = ScriptedServer()
    again.script(AUTHORIZE, allow())
    starter = threading.Timer(1.5, again.start, [server.address])
    starter.start()
    try:
        result = both.authorize(timeout=8)
    finally:
        starter.join()
        again.stop()
    assert result.allowed


def test_a_server_that_stops_during_a_call(both: Both, server: ScriptedServer) -> None:
    def die(raw: bytes, context: grpc.ServicerContext) -> bytes:
        del raw, context
        threading.Thread(target=server.stop).start()
        return late()(b"", _context_that_ends())

    server.script(AUTHORIZE, die)
    result = both.authorize(timeout=3)
    assert result.effect is Effect.DENY
    assert result.rule_id in {"pdp.client_unavailable", "pdp.client_timeout"}  # the last try may not end in time


def _context_that_ends() -> Any:
    class Context:
        def add_callback(self, callback: Callable[[], None]) -> bool:
            threading.Timer(1, callback).start()
            return True

    return Context()
