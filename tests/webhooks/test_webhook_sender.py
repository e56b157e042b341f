"""Deliveries: at least once, signed, tried again, given up at last; whatever the receiver does."""

from __future__ import annotations

import asyncio
import contextlib
import json
import threading
from dataclasses import replace
from typing import TYPE_CHECKING

import pytest

from placet.kernel.errors import LedgerUnavailableError
from placet.kernel.limits import WEBHOOK_AGE_SECONDS_MAX, WEBHOOK_AT_ONCE_MAX, WEBHOOK_BYTES_MAX, WEBHOOK_CLAIM_SECONDS
from placet.notifications.delivery import new_delivery
from placet.notifications.payload import webhook_payload
from placet.sdk import WebhookReason, verify_webhook
from placet.webhooks.sender import TryResult
from tests.webhooks.receiving import NOW_US, OTHER_SECRET, SECRET, dripping, event, nobody, receiving
from tests.webhooks.sending import TIMEOUT_SECONDS, Bench

if TYPE_CHECKING:
    from collections.abc import Callable

    from placet.webhooks.sender import WebhookSender
    from tests.webhooks.receiving import Came, Reply

NOW = NOW_US / 1e6
BROKEN: Reply = (500, {}, b"")


def ids(came: list[Came]) -> list[str]:
    return [each.headers["webhook-id"] for each in came]


async def test_an_event_is_delivered_once_and_its_receiver_can_verify_it() -> None:
    with receiving() as receiver:
        bench = Bench(receiver.url)
        bench.rows.add(event())
        assert await bench.sender().deliver_due() == 1
        assert await bench.sender().deliver_due() == 0
    [came] = receiver.came
    assert came.path == "/hook?from=placet"
    assert came.body == webhook_payload(event())
    assert came.headers["Host"] == f"127.0.0.1:{receiver.server_port}"
    assert came.headers["Content-Type"] == "application/json"
    assert came.headers["User-Agent"].startswith("placet/")
    assert verify_webhook(came.headers, came.body, SECRET, now=NOW).id == event().id
    assert bench.row.status == "sent"
    assert [(each.result, each.tries) for each in bench.tried] == [(TryResult.SENT, 1)]
    assert not bench.faults


async def test_while_secrets_change_both_verify() -> None:
    with receiving() as receiver:
        bench = Bench(receiver.url, secrets=f"{OTHER_SECRET} {SECRET}")
        bench.rows.add(event())
        await bench.sender().deliver_due()
    [came] = receiver.came
    for secret in (SECRET, OTHER_SECRET, f"{SECRET} {OTHER_SECRET}"):
        assert verify_webhook(came.headers, came.body, secret, now=NOW).tenant == "acme"


async def test_a_receiver_that_fails_is_asked_again_after_a_while() -> None:
    with receiving(BROKEN) as receiver:
        bench = Bench(receiver.url)
        bench.rows.add(event())
        sender = bench.sender()
        assert await sender.deliver_due() == 1
        assert bench.row.status == "pending"
        assert json.loads(bench.row.body)["error"] == "status 500"
        assert await sender.deliver_due() == 0
        bench.clock.forward(5)
        assert await sender.deliver_due() == 1
    assert bench.row.status == "sent"
    assert ids(receiver.came) == [event().id] * 2
    times = [each.headers["webhook-timestamp"] for each in receiver.came]
    assert [int(each) for each in times] == [int(NOW), int(NOW) + 5]
    assert [each.result for each in bench.tried] == [TryResult.FAILED, TryResult.SENT]


async def test_retry_after_is_heeded() -> None:
    with receiving((503, {"Retry-After": "120"}, b"")) as receiver:
        bench = Bench(receiver.url)
        bench.rows.add(event())
        await bench.sender().deliver_due()
    assert bench.row.due_at_us == NOW_US + 120_000_000


@pytest.mark.parametrize("status", [301, 302, 303, 307, 308])
async def test_a_redirection_is_not_followed(status: int) -> None:
    with receiving() as elsewhere, receiving((status, {"Location": elsewhere.url}, b"")) as receiver:
        bench = Bench(receiver.url)
        bench.rows.add(event())
        await bench.sender().deliver_due()
    assert len(receiver.came) == 1
    assert elsewhere.came == []
    assert bench.row.status == "pending"
    assert bench.tried[0].cause == f"status {status}; redirects are not followed"


@pytest.mark.parametrize("status", [204, 400, 404, 410, 429])
async def test_only_2xx_is_taken(status: int) -> None:
    with receiving((status, {}, b"")) as receiver:
        bench = Bench(receiver.url)
        bench.rows.add(event())
        await bench.sender().deliver_due()
    assert bench.row.status == ("sent" if status == 204 else "pending")


async def test_what_the_receiver_says_beside_its_status_is_not_read() -> None:
    endless: Reply = (200, {"Content-Length": str(1 << 40)}, b"x" * 1_000_000)
    with receiving(endless) as receiver:
        bench = Bench(receiver.url)
        bench.rows.add(event())
        await bench.sender().deliver_due()
    assert bench.row.status == "sent"


@pytest.mark.parametrize(
    "drop",
    [b"", b"H", b"HTTP/1.1 100 Continue\r\n\r\n", b"HTTP/1.1 200 OK\r\nx: " + b"y" * 100],
    ids=["silent", "never a line", "interim answers", "endless head"],
)
async def test_a_receiver_that_never_ends_is_hung_up_on(drop: bytes) -> None:
    with dripping(drop) as receiver:
        bench = Bench(receiver.url, timeout_seconds=0.3)
        bench.rows.add(event())
        async with asyncio.timeout(TIMEOUT_SECONDS):
            await bench.sender().deliver_due()
        assert await asyncio.to_thread(receiver.hung_up.wait, TIMEOUT_SECONDS)
    assert bench.row.status == "pending"
    assert bench.tried[0].result is TryResult.FAILED


@pytest.mark.parametrize("said", [b"nonsense\r\n\r\n", b"HTTP/1.1 2000 OK\r\n\r\n", b"\x00" * 100_000])
async def test_an_answer_that_is_no_http_is_a_failure(said: bytes) -> None:
    with dripping(said) as receiver:
        bench = Bench(receiver.url)
        bench.rows.add(event())
        await bench.sender().deliver_due()
    assert bench.row.status == "pending"
    assert not bench.faults


async def test_nobody_there_is_a_failure() -> None:
    bench = Bench(nobody())
    bench.rows.add(event())
    await bench.sender().deliver_due()
    assert bench.tried[0].cause.startswith("ConnectionRefusedError: ")


async def test_one_that_died_between_sending_and_keeping_it_is_replaced_so_it_comes_twice_and_is_never_lost() -> None:
    with receiving() as receiver:
        bench = Bench(receiver.url)
        bench.rows.add(event())
        receiver.on_request = lambda: setattr(bench.rows, "fault", LedgerUnavailableError("killed"))
        with pytest.raises(LedgerUnavailableError):
            await bench.sender().deliver_due()
        receiver.on_request = bench.rows.fault = None
        assert bench.row.status == "pending"
        other = bench.sender()
        assert await other.deliver_due() == 0
        bench.clock.forward(TIMEOUT_SECONDS + WEBHOOK_CLAIM_SECONDS)
        assert await other.deliver_due() == 1
    assert ids(receiver.came) == [event().id] * 2
    assert bench.row.status == "sent"


async def test_a_sender_that_is_cancelled_hangs_up_and_loses_nothing() -> None:
    with dripping(b"") as receiver:
        bench = Bench(receiver.url)
        bench.rows.add(event())
        run = asyncio.create_task(bench.sender().run())
        await until(lambda: bench.row.version == 2)
        run.cancel()
        with contextlib.suppress(asyncio.CancelledError):
            await run
        assert await asyncio.to_thread(receiver.hung_up.wait, TIMEOUT_SECONDS)
    assert bench.row.status == "pending"
    assert bench.row.due_at_us > NOW_US


async def test_two_replicas_deliver_each_event_once() -> None:
    events = [event(number) for number in range(1, 41)]
    with receiving() as receiver:
        bench = Bench(receiver.url)
        bench.rows.add(*events)
        await asyncio.gather(*(drained(bench.sender()) for _ in range(2)))
    assert {each.cause for each in bench.tried} == {""}
    assert sorted(ids(receiver.came)) == sorted(each.id for each in events)
    assert set(bench.rows.statuses()) == {"sent"}


async def drained(sender: WebhookSender) -> None:
    while await sender.deliver_due():
        pass


async def test_what_another_replica_took_meanwhile_is_left_to_it() -> None:
    with receiving() as receiver:
        bench = Bench(receiver.url)
        bench.rows.add(event(1), event(2))
        [first, _] = bench.rows.rows

        def taken() -> None:
            bench.rows.rows[first] = replace(bench.rows.rows[first], version=2)

        bench.rows.meanwhile = taken
        assert await bench.sender().deliver_due() == 1
    assert ids(receiver.came) == [event(2).id]


async def test_a_delivery_that_took_too_long_is_left_as_the_other_replica_wants_it() -> None:
    with receiving() as receiver:
        bench = Bench(receiver.url)
        bench.rows.add(event())
        slow, quick = bench.sender(), bench.sender()
        receiver.guard.acquire()
        waiting = asyncio.create_task(slow.deliver_due())
        await until(lambda: bench.row.version == 2)
        bench.clock.forward(TIMEOUT_SECONDS + WEBHOOK_CLAIM_SECONDS)
        second = asyncio.create_task(quick.deliver_due())
        await until(lambda: bench.row.version == 3)
        receiver.guard.release()
        await asyncio.gather(waiting, second)
    assert bench.row.status == "sent"
    assert bench.row.version == 4


async def test_at_most_so_many_are_under_way_at_once() -> None:
    events = [event(number) for number in range(1, 3 * WEBHOOK_AT_ONCE_MAX)]
    with receiving() as receiver:
        bench = Bench(receiver.url)
        bench.rows.add(*events)
        assert await bench.sender().deliver_due() == WEBHOOK_AT_ONCE_MAX
        assert len(receiver.came) == WEBHOOK_AT_ONCE_MAX


async def test_it_is_given_up_after_a_day_and_kept() -> None:
    bench = Bench(nobody())
    bench.rows.add(event())
    sender = bench.sender()
    while bench.row.status == "pending":
        bench.clock.now_us = bench.row.due_at_us
        assert await sender.deliver_due() == 1
    assert bench.row.status == "gave_up"
    assert bench.row.due_at_us == 0
    assert bench.clock.now_us - NOW_US < (WEBHOOK_AGE_SECONDS_MAX + 3_700) * 1_000_000
    assert [each.result for each in bench.tried[-2:]] == [TryResult.FAILED, TryResult.GAVE_UP]
    said = json.loads(bench.row.body)
    assert said["payload"]["id"] == event().id
    assert said["tries"] == len(bench.tried)


async def test_run_delivers_what_it_is_woken_for_and_goes_on_after_what_went_wrong() -> None:
    with receiving(BROKEN) as receiver:
        bench = Bench(receiver.url)
        bench.rows.fault = LedgerUnavailableError("no disk")
        sender = bench.sender()
        run = asyncio.create_task(sender.run())
        try:
            await asyncio.sleep(0)
            bench.rows.fault = ValueError("a defect")
            sender.wake()
            await until(lambda: bool(bench.faults))
            bench.rows.fault = None
            bench.rows.add(event())
            sender.wake()
            await until(lambda: len(bench.tried) == 1)
            bench.clock.forward(5)
            sender.wake()
            await until(lambda: bench.row.status == "sent")
        finally:
            run.cancel()
            await asyncio.wait({run})
    assert [str(fault) for fault in bench.faults] == ["a defect"]


async def until(holds: Callable[[], bool]) -> None:
    async with asyncio.timeout(TIMEOUT_SECONDS):
        while not holds():  # noqa: ASYNC110 - what is waited for happens in a server and its threads
            await asyncio.sleep(0.005)


TOO_LONG = b'{"tries":0,"first_try_at_us":0,"error":"","payload":"%b"}' % (b"x" * WEBHOOK_BYTES_MAX)


@pytest.mark.parametrize(
    "body", [b"", b"{}", b"[]", b'{"payload":1}', b"\xff", TOO_LONG], ids=lambda body: str(len(body))
)
async def test_a_row_that_is_no_delivery_is_told_and_tried_no_more(body: bytes) -> None:
    with receiving() as receiver:
        bench = Bench(receiver.url)
        row = replace(new_delivery(event(1)), body=body, version=1)
        bench.rows.rows[row.key] = row
        bench.rows.add(event(2))
        assert await bench.sender().deliver_due() == 1
    assert bench.rows.statuses() == ["gave_up", "sent"]
    assert bench.rows.rows[row.key].body == body
    assert len(bench.faults) == 1


async def test_a_defect_is_told_and_the_delivery_tried_again() -> None:
    def resolve(_host: str, _port: int) -> list[object]:
        raise RuntimeError("a defect")

    bench = Bench("http://127.0.0.1:1/", more={"resolve": resolve})
    bench.rows.add(event())
    await bench.sender().deliver_due()
    assert [str(fault) for fault in bench.faults] == ["a defect"]
    assert bench.row.status == "pending"


async def test_a_name_whose_look_up_hangs_holds_up_neither_the_sender_nor_is_it_sent_later() -> None:
    looked_up, ended = threading.Event(), threading.Event()

    def resolve(_host: str, _port: int) -> list[object]:
        looked_up.wait(TIMEOUT_SECONDS)
        ended.set()
        return []

    bench = Bench("http://receiver.test/", timeout_seconds=0.1, more={"resolve": resolve})
    bench.rows.add(event())
    await bench.sender().deliver_due()
    assert bench.tried[0].cause == "no answer in 0.1 s"
    assert not ended.is_set()
    looked_up.set()
    assert await asyncio.to_thread(ended.wait, TIMEOUT_SECONDS)


async def test_a_changed_delivery_does_not_verify() -> None:
    with receiving() as receiver:
        bench = Bench(receiver.url)
        bench.rows.add(event())
        await bench.sender().deliver_due()
    [came] = receiver.came
    with pytest.raises(Exception, match=WebhookReason.BAD_SIGNATURE):
        verify_webhook(came.headers, came.body.replace(b"acme", b"evil"), SECRET, now=NOW)
