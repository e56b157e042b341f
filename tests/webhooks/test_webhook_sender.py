"""Deliveries are signed, sent at least once, retried, and given up at last, whatever the receiver does."""

from __future__ import annotations

import asyncio
import contextlib
import json
import threading
from typing import TYPE_CHECKING

import pytest

from placet.kernel.errors import LedgerUnavailableError
from placet.kernel.limits import WEBHOOK_AGE_SECONDS_MAX, WEBHOOK_AT_ONCE_MAX, WEBHOOK_BYTES_MAX, WEBHOOK_CLAIM_SECONDS
from placet.notifications.delivery import new_delivery
from placet.notifications.payload import webhook_payload
from placet.sdk import WebhookReason, verify_webhook
from placet.webhooks.sender import TryResult
from tests.support.replacing import replace
from tests.webhooks.receiving import NOW_US, OTHER_SECRET, SECRET, dripping, event, receiving, unreachable
from tests.webhooks.sending import TIMEOUT_SECONDS, SenderEnv

if TYPE_CHECKING:
    from collections.abc import Callable

    from placet.webhooks.sender import WebhookSender
    from tests.webhooks.receiving import ReceivedRequest, Reply

NOW = NOW_US / 1e6
BROKEN: Reply = (500, {}, b"")


def ids(requests: list[ReceivedRequest]) -> list[str]:
    return [request.headers["webhook-id"] for request in requests]


async def test_an_event_is_delivered_once_and_its_receiver_can_verify_it() -> None:
    with receiving() as receiver:
        env = SenderEnv(receiver.url)
        env.rows.add(event())
        assert await env.sender().deliver_due() == 1
        assert await env.sender().deliver_due() == 0
    [request] = receiver.requests
    assert request.path == "/hook?from=placet"
    assert request.body == webhook_payload(event())
    assert request.headers["Host"] == f"127.0.0.1:{receiver.server_port}"
    assert request.headers["Content-Type"] == "application/json"
    assert request.headers["User-Agent"].startswith("placet/")
    assert verify_webhook(request.headers, request.body, SECRET, now=NOW).id == event().id
    assert env.row.status == "sent"
    assert [(report.result, report.tries) for report in env.reports] == [(TryResult.SENT, 1)]
    assert not env.errors


async def test_with_two_secrets_both_verify() -> None:
    with receiving() as receiver:
        env = SenderEnv(receiver.url, secrets=f"{OTHER_SECRET} {SECRET}")
        env.rows.add(event())
        await env.sender().deliver_due()
    [request] = receiver.requests
    for secret in (SECRET, OTHER_SECRET, f"{SECRET} {OTHER_SECRET}"):
        assert verify_webhook(request.headers, request.body, secret, now=NOW).tenant == "acme"


async def test_a_failed_delivery_is_tried_again_later() -> None:
    with receiving(BROKEN) as receiver:
        env = SenderEnv(receiver.url)
        env.rows.add(event())
        sender = env.sender()
        assert await sender.deliver_due() == 1
        assert env.row.status == "pending"
        assert json.loads(env.row.body)["error"] == "status 500"
        assert await sender.deliver_due() == 0
        env.clock.forward(5)
        assert await sender.deliver_due() == 1
    assert env.row.status == "sent"
    assert ids(receiver.requests) == [event().id] * 2
    times = [int(request.headers["webhook-timestamp"]) for request in receiver.requests]
    assert times == [int(NOW), int(NOW) + 5]
    assert [report.result for report in env.reports] == [TryResult.FAILED, TryResult.SENT]


async def test_retry_after_is_respected() -> None:
    with receiving((503, {"Retry-After": "120"}, b"")) as receiver:
        env = SenderEnv(receiver.url)
        env.rows.add(event())
        await env.sender().deliver_due()
    assert env.row.due_at_us == NOW_US + 120_000_000


@pytest.mark.parametrize("status", [301, 302, 303, 307, 308])
async def test_a_redirect_is_not_followed(status: int) -> None:
    with receiving() as elsewhere, receiving((status, {"Location": elsewhere.url}, b"")) as receiver:
        env = SenderEnv(receiver.url)
        env.rows.add(event())
        await env.sender().deliver_due()
    assert len(receiver.requests) == 1
    assert elsewhere.requests == []
    assert env.row.status == "pending"
    assert env.reports[0].cause == f"status {status}; redirects are not followed"


@pytest.mark.parametrize("status", [204, 400, 404, 410, 429])
async def test_only_2xx_counts_as_sent(status: int) -> None:
    with receiving((status, {}, b"")) as receiver:
        env = SenderEnv(receiver.url)
        env.rows.add(event())
        await env.sender().deliver_due()
    assert env.row.status == ("sent" if status == 204 else "pending")


async def test_the_body_of_the_response_is_not_read() -> None:
    endless: Reply = (200, {"Content-Length": str(1 << 40)}, b"x" * 1_000_000)
    with receiving(endless) as receiver:
        env = SenderEnv(receiver.url)
        env.rows.add(event())
        await env.sender().deliver_due()
    assert env.row.status == "sent"


@pytest.mark.parametrize(
    "drop",
    [b"", b"H", b"HTTP/1.1 100 Continue\r\n\r\n", b"HTTP/1.1 200 OK\r\nx: " + b"y" * 100],
    ids=["silent", "never a line", "interim answers", "endless head"],
)
async def test_a_receiver_that_never_finishes_is_disconnected(drop: bytes) -> None:
    with dripping(drop) as receiver:
        env = SenderEnv(receiver.url, timeout_seconds=0.3)
        env.rows.add(event())
        async with asyncio.timeout(TIMEOUT_SECONDS):
            await env.sender().deliver_due()
        assert await asyncio.to_thread(receiver.hung_up.wait, TIMEOUT_SECONDS)
    assert env.row.status == "pending"
    assert env.reports[0].result is TryResult.FAILED


@pytest.mark.parametrize("answer", [b"nonsense\r\n\r\n", b"HTTP/1.1 2000 OK\r\n\r\n", b"\x00" * 100_000])
async def test_an_answer_that_is_no_http_is_a_failure(answer: bytes) -> None:
    with dripping(answer) as receiver:
        env = SenderEnv(receiver.url)
        env.rows.add(event())
        await env.sender().deliver_due()
    assert env.row.status == "pending"
    assert not env.errors


async def test_a_refused_connection_is_a_failure() -> None:
    env = SenderEnv(unreachable())
    env.rows.add(event())
    await env.sender().deliver_due()
    assert env.reports[0].cause.startswith("ConnectionRefusedError: ")


async def test_a_sender_that_dies_before_it_stores_the_result_is_replaced_and_the_event_sent_twice() -> None:
    with receiving() as receiver:
        env = SenderEnv(receiver.url)
        env.rows.add(event())
        receiver.on_request = lambda: setattr(env.rows, "error", LedgerUnavailableError("killed"))
        with pytest.raises(LedgerUnavailableError):
            await env.sender().deliver_due()
        receiver.on_request = env.rows.error = None
        assert env.row.status == "pending"
        other = env.sender()
        assert await other.deliver_due() == 0
        env.clock.forward(TIMEOUT_SECONDS + WEBHOOK_CLAIM_SECONDS)
        assert await other.deliver_due() == 1
    assert ids(receiver.requests) == [event().id] * 2
    assert env.row.status == "sent"


async def test_a_cancelled_sender_disconnects_and_loses_nothing() -> None:
    with dripping(b"") as receiver:
        env = SenderEnv(receiver.url)
        env.rows.add(event())
        run = asyncio.create_task(env.sender().run())
        await until(lambda: env.row.version == 2)
        run.cancel()
        with contextlib.suppress(asyncio.CancelledError):
            await run
        assert await asyncio.to_thread(receiver.hung_up.wait, TIMEOUT_SECONDS)
    assert env.row.status == "pending"
    assert env.row.due_at_us > NOW_US


async def test_two_replicas_deliver_each_event_once() -> None:
    events = [event(number) for number in range(1, 41)]
    with receiving() as receiver:
        env = SenderEnv(receiver.url)
        env.rows.add(*events)
        await asyncio.gather(*(drain(env.sender()) for _ in range(2)))
    assert {report.cause for report in env.reports} == {""}
    assert sorted(ids(receiver.requests)) == sorted(sent.id for sent in events)
    assert set(env.rows.statuses()) == {"sent"}


async def drain(sender: WebhookSender) -> None:
    while await sender.deliver_due():
        pass


async def test_a_delivery_that_another_replica_claimed_is_left_to_it() -> None:
    with receiving() as receiver:
        env = SenderEnv(receiver.url)
        env.rows.add(event(1), event(2))
        [first, _] = env.rows.rows

        def claim() -> None:
            env.rows.rows[first] = replace(env.rows.rows[first], version=2)

        env.rows.before_write = claim
        assert await env.sender().deliver_due() == 1
    assert ids(receiver.requests) == [event(2).id]


async def test_a_delivery_that_took_too_long_keeps_the_result_of_the_other_replica() -> None:
    with receiving() as receiver:
        env = SenderEnv(receiver.url)
        env.rows.add(event())
        slow, quick = env.sender(), env.sender()
        receiver.guard.acquire()
        waiting = asyncio.create_task(slow.deliver_due())
        await until(lambda: env.row.version == 2)
        env.clock.forward(TIMEOUT_SECONDS + WEBHOOK_CLAIM_SECONDS)
        second = asyncio.create_task(quick.deliver_due())
        await until(lambda: env.row.version == 3)
        receiver.guard.release()
        await asyncio.gather(waiting, second)
    assert env.row.status == "sent"
    assert env.row.version == 4


async def test_deliveries_in_progress_are_limited() -> None:
    events = [event(number) for number in range(1, 3 * WEBHOOK_AT_ONCE_MAX)]
    with receiving() as receiver:
        env = SenderEnv(receiver.url)
        env.rows.add(*events)
        assert await env.sender().deliver_due() == WEBHOOK_AT_ONCE_MAX
        assert len(receiver.requests) == WEBHOOK_AT_ONCE_MAX


async def test_a_delivery_is_given_up_after_a_day_and_its_row_stays() -> None:
    env = SenderEnv(unreachable())
    env.rows.add(event())
    sender = env.sender()
    while env.row.status == "pending":
        env.clock.now_us = env.row.due_at_us
        assert await sender.deliver_due() == 1
    assert env.row.status == "gave_up"
    assert env.row.due_at_us == 0
    assert env.clock.now_us - NOW_US < (WEBHOOK_AGE_SECONDS_MAX + 3_700) * 1_000_000
    assert [report.result for report in env.reports[-2:]] == [TryResult.FAILED, TryResult.GAVE_UP]
    body = json.loads(env.row.body)
    assert body["payload"]["id"] == event().id
    assert body["tries"] == len(env.reports)


async def test_run_delivers_when_woken_and_continues_after_errors() -> None:
    with receiving(BROKEN) as receiver:
        env = SenderEnv(receiver.url)
        env.rows.error = LedgerUnavailableError("no disk")
        sender = env.sender()
        run = asyncio.create_task(sender.run())
        try:
            await asyncio.sleep(0)
            env.rows.error = ValueError("a defect")
            sender.wake()
            await until(lambda: bool(env.errors))
            env.rows.error = None
            env.rows.add(event())
            sender.wake()
            await until(lambda: len(env.reports) == 1)
            env.clock.forward(5)
            sender.wake()
            await until(lambda: env.row.status == "sent")
        finally:
            run.cancel()
            await asyncio.wait({run})
    assert [str(error) for error in env.errors] == ["a defect"]


async def until(holds: Callable[[], bool]) -> None:
    async with asyncio.timeout(TIMEOUT_SECONDS):
        while not holds():  # noqa: ASYNC110 - the condition changes in other threads
            await asyncio.sleep(0.005)


TOO_LONG = b'{"tries":0,"first_try_at_us":0,"error":"","payload":"%b"}' % (b"x" * WEBHOOK_BYTES_MAX)


@pytest.mark.parametrize(
    "body", [b"", b"{}", b"[]", b'{"payload":1}', b"\xff", TOO_LONG], ids=lambda body: str(len(body))
)
async def test_an_unreadable_row_is_reported_and_not_tried_again(body: bytes) -> None:
    with receiving() as receiver:
        env = SenderEnv(receiver.url)
        row = replace(new_delivery(event(1)), body=body, version=1)
        env.rows.rows[row.key] = row
        env.rows.add(event(2))
        assert await env.sender().deliver_due() == 1
    assert env.rows.statuses() == ["gave_up", "sent"]
    assert env.rows.rows[row.key].body == body
    assert len(env.errors) == 1


async def test_an_internal_error_is_reported_and_the_delivery_tried_again() -> None:
    def resolve(_host: str, _port: int) -> list[object]:
        raise RuntimeError("a defect")

    env = SenderEnv("http://127.0.0.1:1/", more={"resolve": resolve})
    env.rows.add(event())
    await env.sender().deliver_due()
    assert [str(error) for error in env.errors] == ["a defect"]
    assert env.row.status == "pending"


async def test_a_hanging_name_look_up_neither_blocks_the_sender_nor_sends_later() -> None:
    looked_up, ended = threading.Event(), threading.Event()

    def resolve(_host: str, _port: int) -> list[object]:
        looked_up.wait(TIMEOUT_SECONDS)
        ended.set()
        return []

    env = SenderEnv("http://receiver.test/", timeout_seconds=0.1, more={"resolve": resolve})
    env.rows.add(event())
    await env.sender().deliver_due()
    assert env.reports[0].cause == "no answer in 0.1 s"
    assert not ended.is_set()
    looked_up.set()
    assert await asyncio.to_thread(ended.wait, TIMEOUT_SECONDS)


async def test_a_modified_delivery_does_not_verify() -> None:
    with receiving() as receiver:
        env = SenderEnv(receiver.url)
        env.rows.add(event())
        await env.sender().deliver_due()
    [request] = receiver.requests
    with pytest.raises(Exception, match=WebhookReason.BAD_SIGNATURE):
        verify_webhook(request.headers, request.body.replace(b"acme", b"evil"), SECRET, now=NOW)
