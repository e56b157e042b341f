"""Webhooks as values: what they say, and when they are tried again."""

from __future__ import annotations

import json
from email.utils import formatdate

import pytest
from hypothesis import given
from hypothesis import strategies as st

from placet.kernel.limits import (
    WEBHOOK_AGE_SECONDS_MAX,
    WEBHOOK_BYTES_MAX,
    WEBHOOK_TRIES_MAX,
    WEBHOOK_WAIT_SECONDS_MAX,
    WEBHOOK_WAIT_SECONDS_MIN,
)
from placet.notifications.delivery import (
    Delivery,
    claimed,
    gave_up,
    later,
    new_delivery,
    next_try_us,
    retry_after_seconds,
    sent,
)
from placet.notifications.payload import WebhookType, webhook_payload
from tests.support.replacing import replace
from tests.webhooks.receiving import NOW_US, event


def tried(tries: int, age_seconds: float = 0) -> Delivery:
    first = NOW_US - round(age_seconds * 1e6)
    return replace(Delivery.read(new_delivery(event())), tries=tries, first_try_at_us=first)


def wait(delivery: Delivery, retry_after: str = "", chance: float = 0.0) -> float:
    return (next_try_us(delivery, NOW_US, retry_after, chance) - NOW_US) / 1e6


def test_the_payload_says_what_happened_and_nothing_of_the_parameters() -> None:
    assert json.loads(webhook_payload(event())) == {
        "id": "apr_00000000000000000000000000000001_created",
        "type": "approval.created",
        "time": "2026-04-24T18:33:01.000000Z",
        "tenant": "acme",
        "approval_id": "apr_00000000000000000000000000000001",
        "decision_id": "dec_00000000000000000000000000000001",
        "tool": "stripe.refund",
        "agent": "refund-agent",
        "user": "u_1",
        "state": "pending",
        "quorum": 2,
        "expires_at": "2026-04-24T19:33:01.000000Z",
        "rule_id": "refunds.large",
    }


def test_each_event_of_an_approval_has_an_id_of_its_own_without_a_full_stop() -> None:
    ids = {event(1, kind).id for kind in WebhookType} | {event(2, kind).id for kind in WebhookType}
    assert len(ids) == 2 * len(WebhookType)
    assert not any("." in each for each in ids)


def test_the_longest_payload_is_a_third_of_the_limit() -> None:
    longest = replace(
        event(), tenant="\x01" * 64, tool="\x01" * 128, agent="\x01" * 256, user="\x01" * 256, rule_id="\x01" * 128
    )
    assert len(webhook_payload(longest)) * 3 < WEBHOOK_BYTES_MAX * 1.05


def test_a_delivery_is_due_at_once_and_holds_the_payload_byte_for_byte() -> None:
    row = new_delivery(event())
    assert (row.status, row.due_at_us, row.created_at_us, row.version) == ("pending", NOW_US, NOW_US, 0)
    assert (row.key.tenant, row.key.id) == ("acme", event().id)
    assert Delivery.read(row).payload == webhook_payload(event())


def test_its_way_through_the_outbox() -> None:
    claim = Delivery.read(claimed(Delivery.read(new_delivery(event())), NOW_US, NOW_US + 9))
    assert (claim.tries, claim.first_try_at_us, claim.row.due_at_us, claim.row.status) == (
        1,
        NOW_US,
        NOW_US + 9,
        "pending",
    )
    again = Delivery.read(later(claim, NOW_US + 50, "x" * 1_000))
    assert (again.tries, again.row.due_at_us, len(again.error)) == (1, NOW_US + 50, 256)
    second = Delivery.read(claimed(again, NOW_US + 60, NOW_US + 70))
    assert (second.tries, second.first_try_at_us) == (2, NOW_US)
    done = Delivery.read(sent(second))
    assert (done.row.status, done.row.due_at_us, done.error, done.payload) == ("sent", 0, "", claim.payload)
    ended = Delivery.read(gave_up(second, "why"))
    assert (ended.row.status, ended.row.due_at_us, ended.error) == ("gave_up", 0, "why")


def test_waits_double_up_to_an_hour() -> None:
    waits = [wait(tried(tries)) for tries in range(1, 20)]
    assert waits[:4] == [5, 10, 20, 40]
    assert waits[-1] == WEBHOOK_WAIT_SECONDS_MAX
    assert waits == sorted(waits)


def test_chance_cuts_a_wait_by_half_at_most() -> None:
    assert wait(tried(1), chance=1.0) == WEBHOOK_WAIT_SECONDS_MIN / 2
    assert wait(tried(4), chance=0.5) == 30


def test_it_is_given_up_after_so_many_tries_or_a_day_but_never_before_the_first_try() -> None:
    assert next_try_us(tried(WEBHOOK_TRIES_MAX - 1), NOW_US, "", 0.0)
    assert next_try_us(tried(WEBHOOK_TRIES_MAX), NOW_US, "", 0.0) == 0
    assert next_try_us(tried(2, WEBHOOK_AGE_SECONDS_MAX - 1), NOW_US, "", 0.0)
    assert next_try_us(tried(2, WEBHOOK_AGE_SECONDS_MAX), NOW_US, "", 0.0) == 0


def test_retry_after_lengthens_a_wait_up_to_an_hour_and_never_shortens_it() -> None:
    assert wait(tried(1), "60") == 60
    assert wait(tried(1), "1") == 5
    assert wait(tried(1), "9" * 400) == WEBHOOK_WAIT_SECONDS_MAX
    assert wait(tried(1), formatdate(NOW_US / 1e6 + 90, usegmt=True)) == 90
    assert wait(tried(1), formatdate(NOW_US / 1e6 - 90, usegmt=True)) == 5


@pytest.mark.parametrize("said", ["", "soon", "-5", "1.5", "Fri, 99 Foo 2026 00:00:00 GMT", "٣"])
def test_a_retry_after_that_says_nothing_counts_for_nothing(said: str) -> None:
    assert retry_after_seconds(said, NOW_US) == 0


@given(st.text())
def test_no_retry_after_breaks_it(said: str) -> None:
    assert retry_after_seconds(said, NOW_US) >= 0


@given(st.integers(1, 10_000), st.integers(0, 10**15), st.floats(0, 1))
def test_the_next_try_is_never_now_and_never_later_than_an_hour(tries: int, first: int, chance: float) -> None:
    delivery = replace(tried(tries), first_try_at_us=first)
    due = next_try_us(delivery, NOW_US, "", chance)
    assert due == 0 or WEBHOOK_WAIT_SECONDS_MIN / 2 * 1e6 <= due - NOW_US <= WEBHOOK_WAIT_SECONDS_MAX * 1e6
