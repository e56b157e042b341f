"""What every ledger must tell those who watch, and of what was decided before."""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING

from placet.audit.records import RecordKind
from placet.kernel.model import Effect
from placet.kernel.state import RequireVersion
from tests.storage.making import START_US, commitment
from tests.storage.state_making import change, key
from tests.support.replacing import replace

if TYPE_CHECKING:
    from tests.storage.ledger_contract import CheckpointingLedger


class EventsContract:
    async def test_records_with_a_subject_are_events(self, ledger: CheckpointingLedger) -> None:
        await ledger.commit([change(), change(subject="apr_1"), replace(commitment(1), subject="dec_1")])
        first, second = await ledger.events({}, 9)
        assert (first.writer, first.sequence, first.tenant, first.subject) == ("w1", 2, "acme", "apr_1")
        assert (first.kind, first.body["subject"]) == (RecordKind.BUDGET_ADJUSTED, "apr_1")
        assert (second.sequence, second.kind) == (3, RecordKind.DECISION_MADE)
        assert second.body["decision_id"] == f"dec_{1:032x}"

    async def test_a_cursor_misses_nothing_and_repeats_nothing(self, ledger: CheckpointingLedger) -> None:
        await ledger.commit([change(subject=f"s{number}" if number % 3 else "") for number in range(20)])
        read: list[str] = []
        cursor: dict[str, int] = {}
        while found := await ledger.events(cursor, 4):
            assert len(found) <= 4
            read += [event.subject for event in found]
            cursor |= {event.writer: event.sequence for event in found}
            if len(read) == 4:
                await ledger.commit([change(subject="late")])
        assert read == [*(f"s{number}" for number in range(20) if number % 3), "late"]

    async def test_heads_are_where_watching_begins(self, ledger: CheckpointingLedger) -> None:
        await ledger.commit([change(subject="before"), change()])
        heads = await ledger.chain_heads()
        assert heads == {"w1": 2}
        assert list(await ledger.events(heads, 9)) == []
        await ledger.commit([change(subject="after")])
        assert [event.subject for event in await ledger.events(heads, 9)] == ["after"]

    async def test_a_conflict_is_no_event(self, ledger: CheckpointingLedger) -> None:
        await ledger.commit([change(RequireVersion(key(), 1), subject="lost")])
        assert list(await ledger.events({}, 9)) == []

    async def test_the_history_of_one_subject_by_time(self, ledger: CheckpointingLedger) -> None:
        for at_us in (3, 1, 2, 2):
            await ledger.commit([change(subject="apr_1", at_us=START_US + at_us), change(subject="apr_2")])
        await ledger.commit([change(subject="apr_1", tenant="other")])
        found = await ledger.events_of("acme", "apr_1")
        assert [event.body["recorded_at_us"] for event in found] == [START_US + at_us for at_us in (1, 2, 2, 3)]
        assert [event.sequence for event in found] == [3, 5, 7, 1]
        assert list(await ledger.events_of("acme", "apr_3")) == []

    async def test_effects_are_counted_among_the_newest(self, ledger: CheckpointingLedger) -> None:
        effects = [Effect.DENY, Effect.ALLOW, Effect.ALLOW, Effect.REQUIRE_APPROVAL, Effect.DENY]
        await ledger.commit([commitment(number, effect=effect) for number, effect in enumerate(effects, 1)])
        await ledger.commit([commitment(6, tool="stripe.refund"), commitment(7, tenant="other"), change()])
        assert await ledger.count_effects("acme", "jira.search", 9) == {"deny": 2, "allow": 2, "require_approval": 1}
        assert await ledger.count_effects("acme", "jira.search", 3) == {"deny": 1, "require_approval": 1}
        assert await ledger.count_effects("acme", "stripe.refund", 1) == {"allow": 1}
        assert await ledger.count_effects("acme", "none", 9) == {}
        assert await ledger.count_effects("nobody", "jira.search", 9) == {}

    async def test_every_agent_that_was_decided_for_is_known(self, ledger: CheckpointingLedger) -> None:
        await ledger.commit([commitment(1), commitment(2, tenant="other"), change()])
        assert await ledger.agents("acme", 9) == ["support-agent"]
        assert await ledger.agents("acme", 0) == []
        assert await ledger.agents("nobody", 9) == []

    async def test_the_last_use_of_each_agent_is_known(self, ledger: CheckpointingLedger) -> None:
        later, other = commitment(2), commitment(3)
        later = replace(later, recorded_at_us=later.recorded_at_us + 5)
        other = replace(other, recorded_at_us=later.recorded_at_us + 1, index=replace(other.index, agent="b"))
        await ledger.commit([commitment(1), later, other, commitment(4, tenant="other"), change()])
        times = {"support-agent": later.recorded_at_us, "b": other.recorded_at_us}
        assert await ledger.agents_last_used("acme", 0, 9) == times
        assert await ledger.agents_last_used("acme", other.recorded_at_us, 9) == {"b": other.recorded_at_us}
        assert await ledger.agents_last_used("acme", 0, 1) == {"b": other.recorded_at_us}
        assert await ledger.agents_last_used("nobody", 0, 9) == {}

    async def test_who_watches_is_woken(self, ledger: CheckpointingLedger) -> None:
        woken = asyncio.Event()
        ledger.subscribe(woken.set)
        await ledger.commit([change(subject="apr_1")])
        await asyncio.wait_for(woken.wait(), 5)
        assert [event.subject for event in await ledger.events({}, 9)] == ["apr_1"]

    async def test_a_caller_that_gives_up_leaves_nobody_asleep(self, ledger: CheckpointingLedger) -> None:
        woken = asyncio.Event()
        ledger.subscribe(woken.set)
        giving_up = asyncio.ensure_future(_commit_watched(ledger))
        await asyncio.sleep(0)
        giving_up.cancel()
        await asyncio.gather(giving_up, return_exceptions=True)
        subjects: list[str] = []
        async with asyncio.timeout(5):
            while not subjects:  # the listener may wake it once before
                await woken.wait()
                woken.clear()
                subjects = [event.subject for event in await ledger.events({}, 9)]
        assert subjects == ["apr_1"]


async def _commit_watched(ledger: CheckpointingLedger) -> None:
    await ledger.commit([change(subject="apr_1")])
