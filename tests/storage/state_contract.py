"""What every ledger must do with rows and counters. A store's test file only builds the fixture `ledger`."""

from __future__ import annotations

import asyncio
import base64
from typing import TYPE_CHECKING

import orjson
import pytest

from placet.audit.records import Committed, Conflict, IdempotencyMismatch, IdempotentReplay
from placet.kernel.errors import InvalidRequestError, LedgerUnavailableError
from placet.kernel.limits import PAGE_SIZE_MAX
from placet.kernel.state import (
    COUNTER_MAX,
    ZERO_USAGE,
    PutIfVersion,
    ReadSet,
    RequireVersion,
    RowQuery,
    StateTable,
    Usage,
)
from tests.storage.making import START_US, TickingClock, commitment
from tests.storage.state_making import (
    COUNTER,
    change,
    counter,
    key,
    numbered,
    pages,
    put_all,
    reserve,
    row,
    settle,
    stored_row,
    usage,
)
from tests.support.replacing import replace

if TYPE_CHECKING:
    from tests.storage.ledger_contract import CheckpointingLedger

COMMITTED = Committed()
UNITS = 1_000


class RowsContract:
    async def test_a_row_comes_back_as_it_was_put(self, ledger: CheckpointingLedger) -> None:
        made = row(due_at_us=START_US + 7, body=b'{"text":"\xc3\xa9"}')
        assert list(await ledger.commit([change(PutIfVersion(made))])) == [COMMITTED]
        assert await stored_row(ledger) == replace(made, version=1)
        assert await stored_row(ledger, "other") is None

    async def test_each_put_is_the_next_version(self, ledger: CheckpointingLedger) -> None:
        for version, status in enumerate(("pending", "approved", "used")):
            due_at_us = version * 5
            made = row(version=version, status=status, due_at_us=due_at_us, body=b"%d" % version)
            assert list(await ledger.commit([change(PutIfVersion(made))])) == [COMMITTED]
            assert await stored_row(ledger) == replace(made, version=version + 1)

    @pytest.mark.parametrize("version", [0, 1, 3])
    async def test_a_put_of_another_version_is_a_conflict(self, ledger: CheckpointingLedger, version: int) -> None:
        await ledger.commit([change(PutIfVersion(row())), change(PutIfVersion(row(version=1, status="approved")))])
        stale = PutIfVersion(row(version=version, status="lost"))
        assert list(await ledger.commit([change(stale)])) == [Conflict(stale)]
        found = await stored_row(ledger)
        assert found is not None
        assert (found.status, found.version) == ("approved", 2)

    async def test_a_row_that_is_not_there_cannot_be_changed(self, ledger: CheckpointingLedger) -> None:
        stale = PutIfVersion(row(version=1))
        assert list(await ledger.commit([change(stale)])) == [Conflict(stale)]
        assert await stored_row(ledger) is None

    async def test_a_batch_sees_its_own_rows_in_order(self, ledger: CheckpointingLedger) -> None:
        second, third = PutIfVersion(row(version=1, status="approved")), PutIfVersion(row(version=1, status="rejected"))
        expected, stale = RequireVersion(key(), 2), RequireVersion(key(), 1)
        batch = [change(PutIfVersion(row())), change(second), change(third), change(expected), change(stale)]
        assert list(await ledger.commit(batch)) == [COMMITTED, COMMITTED, Conflict(third), COMMITTED, Conflict(stale)]
        assert (await ledger.verify()).records == 3

    async def test_one_commitment_may_change_a_row_twice(self, ledger: CheckpointingLedger) -> None:
        await ledger.commit(
            [change(PutIfVersion(row()), PutIfVersion(row(version=1, status="approved")), RequireVersion(key(), 2))]
        )
        found = await stored_row(ledger)
        assert found is not None
        assert (found.status, found.version) == ("approved", 2)

    async def test_what_is_expected_is_not_written(self, ledger: CheckpointingLedger) -> None:
        absent = RequireVersion(key("other"), 0)
        await ledger.commit([change(PutIfVersion(row()))])
        assert list(await ledger.commit([change(RequireVersion(key(), 1), absent)])) == [COMMITTED]
        found = await stored_row(ledger)
        assert found is not None
        assert found.version == 1
        for stale in (RequireVersion(key(), 0), RequireVersion(key(), 2), RequireVersion(key("other"), 1)):
            assert list(await ledger.commit([change(stale)])) == [Conflict(stale)]

    async def test_a_commitment_is_made_whole_or_not_at_all(self, ledger: CheckpointingLedger) -> None:
        stale = RequireVersion(key("kill"), 1)
        batch = [
            change(reserve(3)),
            change(PutIfVersion(row()), reserve(4), settle(-1, 1), PutIfVersion(row("b")), stale),
            change(reserve(7)),
        ]
        assert list(await ledger.commit(batch)) == [COMMITTED, Conflict(stale), COMMITTED]
        assert await usage(ledger) == (0, 10)
        assert [await stored_row(ledger, name) for name in "ab"] == [None, None]
        report = await ledger.verify()
        assert (report.records, report.problems) == (2, ())

    async def test_the_first_change_that_does_not_hold_is_named(self, ledger: CheckpointingLedger) -> None:
        first, second = reserve(11), RequireVersion(key(), 5)
        assert list(await ledger.commit([change(PutIfVersion(row()), first, second)])) == [Conflict(first)]

    async def test_rows_of_other_tenants_and_tables_are_others(self, ledger: CheckpointingLedger) -> None:
        elsewhere = [key(tenant="other"), key(tenant=""), key(table=StateTable.KILL_SWITCHES)]
        await ledger.commit([change(*(PutIfVersion(row(key=each)) for each in elsewhere))])
        known = await ledger.load(ReadSet(rows=[*elsewhere, key()]))
        assert set(known.rows) == set(elsewhere)
        assert [row_key == each.key for row_key, each in known.rows.items()] == [True] * 3

    @pytest.mark.parametrize("table", list(StateTable))
    async def test_every_table_keeps_rows(self, ledger: CheckpointingLedger, table: StateTable) -> None:
        made = row(key=key(table=table), due_at_us=5)
        await ledger.commit([change(PutIfVersion(made)), change(PutIfVersion(replace(made, version=1, status="s")))])
        changed = replace(made, version=2, status="s")
        assert (await ledger.load(ReadSet(rows=[made.key]))).rows == {made.key: changed}
        assert (await ledger.list_rows(RowQuery(table, "acme"))).rows == (changed,)
        assert list(await ledger.due_rows(table, 5, 9)) == [changed]

    async def test_rows_without_a_record(self, ledger: CheckpointingLedger) -> None:
        assert list(await ledger.put_unaudited([row(), row("b"), row("c", 1)])) == [True, True, False]
        again = [row(version=1, status="sent"), row(version=1, status="late"), row("b")]
        assert list(await ledger.put_unaudited(again)) == [True, False, False]
        found = [await stored_row(ledger, name) for name in "abc"]
        assert [each and (each.status, each.version) for each in found] == [("sent", 2), ("pending", 1), None]
        assert list(await ledger.commit([change(PutIfVersion(row(version=2)))])) == [COMMITTED]
        report = await ledger.verify()
        assert (report.records, report.problems) == (1, ())


class ListedRowsContract:
    async def test_newest_first_by_pages_with_equal_times(self, ledger: CheckpointingLedger) -> None:
        rows = [row(name, created_at_us=START_US + int(name) // 4) for name in numbered(11)]
        await ledger.commit(put_all(rows[::-1]))
        newest = [each.key.id for each in rows[::-1]]
        for status in ("", "pending"):
            found = await pages(ledger, RowQuery(StateTable.APPROVALS, "acme", status, page_size=3))
            assert found == [newest[:3], newest[3:6], newest[6:9], newest[9:]]
        assert await pages(ledger, RowQuery(StateTable.APPROVALS, "acme", page_size=11)) == [newest]

    async def test_a_status_restricts(self, ledger: CheckpointingLedger) -> None:
        statuses = ["pending", "approved", "pending", "expired", "pending"]
        await ledger.commit(put_all([row(name, status=statuses[int(name)]) for name in numbered(5)]))
        query = RowQuery(StateTable.APPROVALS, "acme", "pending", page_size=2)
        assert await pages(ledger, query) == [["0004", "0002"], ["0000"]]
        assert await pages(ledger, replace(query, status="none")) == [[]]

    async def test_pages_hold_while_rows_arrive_and_change(self, ledger: CheckpointingLedger) -> None:
        await ledger.commit(put_all([row(name, created_at_us=START_US + int(name)) for name in numbered(6)]))
        first = await ledger.list_rows(RowQuery(StateTable.APPROVALS, "acme", page_size=2))
        changed = row("0000", version=1, status="approved", created_at_us=START_US)
        await ledger.commit(put_all([row("0009", created_at_us=START_US + 9), changed]))
        rest = await pages(
            ledger, RowQuery(StateTable.APPROVALS, "acme", page_size=9, page_token=first.next_page_token)
        )
        assert [[each.key.id for each in first.rows], *rest] == [["0005", "0004"], ["0003", "0002", "0001", "0000"]]

    async def test_tenants_are_apart(self, ledger: CheckpointingLedger) -> None:
        for tenant in ("acme", "other", ""):
            await ledger.commit([change(PutIfVersion(row(tenant or "none", key=key(tenant or "none", tenant))))])
        for tenant in ("acme", "other", ""):
            assert await pages(ledger, RowQuery(StateTable.APPROVALS, tenant)) == [[tenant or "none"]]
        assert await pages(ledger, RowQuery(StateTable.APPROVALS, "acm%")) == [[]]

    async def test_a_page_of_rows_is_never_larger_than_the_limit(self, ledger: CheckpointingLedger) -> None:
        names = list(numbered(PAGE_SIZE_MAX + 1))
        await ledger.commit([change(*(PutIfVersion(row(name)) for name in names))])
        found = await pages(ledger, RowQuery(StateTable.APPROVALS, "acme", page_size=10**9))
        assert [len(page) for page in found] == [PAGE_SIZE_MAX, 1]

    @pytest.mark.parametrize(
        "said",
        [[1, 2], ["a", "b"], [1, "a", 2], [2**63, "a"], [-(2**63), "a"], [True, "a"], [1, "\0"], {}, 7, [1, None]],
    )
    async def test_a_token_that_names_no_place(self, ledger: CheckpointingLedger, said: object) -> None:
        await self.check_refused(ledger, base64.urlsafe_b64encode(orjson.dumps(said)).decode())

    @pytest.mark.parametrize("token", ["x", "é", "////", " ", "WzEsImEiXQ"])
    async def test_a_token_that_is_none_of_ours(self, ledger: CheckpointingLedger, token: str) -> None:
        await self.check_refused(ledger, token)

    @staticmethod
    async def check_refused(ledger: CheckpointingLedger, token: str) -> None:
        with pytest.raises(InvalidRequestError) as caught:
            await ledger.list_rows(RowQuery(StateTable.APPROVALS, "acme", page_token=token))
        assert [violation.field for violation in caught.value.violations] == ["page_token"]

    async def test_tenants_with_a_row_of_a_status_are_named_once(self, ledger: CheckpointingLedger) -> None:
        assert list(await ledger.tenants_with(StateTable.APPROVALS, "pending")) == []
        rows = [row(key=key(name, tenant)) for name, tenant in (("a", "b"), ("b", "b"), ("c", ""), ("d", "a"))]
        await ledger.commit(put_all([*rows, row(key=key("e", "ended"), status="ended")]))
        assert list(await ledger.tenants_with(StateTable.APPROVALS, rows[0].status)) == ["", "a", "b"]
        assert list(await ledger.tenants_with(StateTable.RESERVATIONS, rows[0].status)) == []

    async def test_what_is_due_comes_earliest_first_of_all_tenants(self, ledger: CheckpointingLedger) -> None:
        due = {"a": 50, "b": 10, "c": 30, "d": 0, "e": 51, "f": 20}
        rows = [row(key=key(name, f"tenant-{name}"), due_at_us=at_us) for name, at_us in due.items()]
        await ledger.commit(put_all(rows))
        await ledger.commit([change(PutIfVersion(replace(rows[-1], version=1, due_at_us=0)))])
        assert [each.key.id for each in await ledger.due_rows(StateTable.APPROVALS, 50, 9)] == ["b", "c", "a"]
        assert [each.key.id for each in await ledger.due_rows(StateTable.APPROVALS, 50, 2)] == ["b", "c"]
        assert [each.key.id for each in await ledger.due_rows(StateTable.APPROVALS, 9, 2)] == []
        assert list(await ledger.due_rows(StateTable.RESERVATIONS, 50, 9)) == []
        assert [await ledger.count_due(table) for table in (StateTable.APPROVALS, StateTable.RESERVATIONS)] == [4, 0]


class CountersContract:
    async def test_up_to_the_limit_within_one_batch(self, ledger: CheckpointingLedger) -> None:
        results = await ledger.commit([change(reserve(3)) for _ in range(5)])
        assert list(results) == [COMMITTED] * 3 + [Conflict(reserve(3))] * 2
        assert list(await ledger.commit([change(reserve(1)), change(reserve(1))])) == [COMMITTED, Conflict(reserve(1))]
        assert await usage(ledger) == (0, 10)

    async def test_what_is_used_counts_as_what_is_reserved_does(self, ledger: CheckpointingLedger) -> None:
        await ledger.commit([change(reserve(6)), change(settle(-6, 7))])
        assert await usage(ledger) == (7, 0)
        assert list(await ledger.commit([change(reserve(4)), change(reserve(3))])) == [Conflict(reserve(4)), COMMITTED]

    async def test_without_a_limit(self, ledger: CheckpointingLedger) -> None:
        await ledger.commit([change(reserve(10**12, None)) for _ in range(3)])
        assert await usage(ledger) == (0, 3 * 10**12)

    async def test_a_limit_of_zero_holds_nothing(self, ledger: CheckpointingLedger) -> None:
        assert list(await ledger.commit([change(reserve(1, 0))])) == [Conflict(reserve(1, 0))]
        assert await usage(ledger) == (0, 0)

    async def test_settling_always_holds_and_may_go_anywhere(self, ledger: CheckpointingLedger) -> None:
        batch = [change(settle(-5, -7)), change(settle(0, 40))]
        assert list(await ledger.commit(batch)) == [COMMITTED, COMMITTED]
        assert await usage(ledger) == (33, -5)
        assert list(await ledger.commit([change(reserve(1))])) == [Conflict(reserve(1))]

    async def test_no_outcome_can_break_a_counter(self, ledger: CheckpointingLedger) -> None:
        most = change(settle(0, COUNTER_MAX))
        assert list(await ledger.commit([most, most, change(reserve(1))])) == [
            COMMITTED,
            COMMITTED,
            Conflict(reserve(1)),
        ]
        assert await usage(ledger) == (COUNTER_MAX, 0)
        least = change(settle(-COUNTER_MAX, -COUNTER_MAX, counter("u_2")))
        await ledger.commit([least, least])
        assert await usage(ledger, counter("u_2")) == (-COUNTER_MAX, -COUNTER_MAX)
        unlimited = reserve(COUNTER_MAX, None, counter("u_3"))
        results = await ledger.commit([change(unlimited), change(unlimited)])
        assert list(results) == [COMMITTED, Conflict(unlimited)]
        [total] = await ledger.window_totals("acme", "b", 9)
        assert (total.used, total.reserved) == (0, 0)

    async def test_budgets_are_reserved_all_or_none(self, ledger: CheckpointingLedger) -> None:
        others = [reserve(1, 9, counter(str(number))) for number in range(8)]
        last = reserve(1, 2, counter("8"))
        results = await ledger.commit([change(*others, last) for _ in range(4)])
        assert list(results) == [COMMITTED] * 2 + [Conflict(last)] * 2
        assert {await usage(ledger, each.counter) for each in others} == {(0, 2)}

    async def test_one_counter_twice_in_one_commitment(self, ledger: CheckpointingLedger) -> None:
        results = await ledger.commit([change(reserve(5), reserve(5)), change(reserve(1), settle(-1, 0))])
        assert list(results) == [COMMITTED, Conflict(reserve(1))]
        assert await usage(ledger) == (0, 10)

    async def test_a_counter_knows_when_it_was_first_touched(self, ledger: CheckpointingLedger) -> None:
        assert (await ledger.load(ReadSet(counters=[COUNTER]))).usage(COUNTER) == ZERO_USAGE
        await ledger.commit([change(reserve(1))])
        first = (await ledger.load(ReadSet(counters=[COUNTER]))).usage(COUNTER)
        assert first.created_at_us > TickingClock().now_us
        await ledger.commit([change(settle(-1, 2))])
        again = (await ledger.load(ReadSet(counters=[COUNTER]))).usage(COUNTER)
        assert again == Usage(2, 0, first.created_at_us)

    async def test_every_part_of_its_key_makes_another_counter(self, ledger: CheckpointingLedger) -> None:
        names = ("tenant", "budget_id", "unit", "window_key", "scope_key")
        keys = [COUNTER, *(COUNTER._replace(**{name: "x"}) for name in names)]
        await ledger.commit([change(*(reserve(number, None, each) for number, each in enumerate(keys, 1)))])
        known = await ledger.load(ReadSet(counters=[*keys, counter("nobody")]))
        assert [known.usage(each).reserved for each in keys] == [1, 2, 3, 4, 5, 6]

    async def test_a_thousand_units_for_more_who_want_them(self, ledger: CheckpointingLedger) -> None:
        granted = 0

        async def client() -> None:
            nonlocal granted
            for _ in range(12):
                results = await ledger.commit([change(reserve(1, UNITS)) for _ in range(3)])
                granted += list(results).count(COMMITTED)

        await asyncio.gather(*(client() for _ in range(32)))
        assert (granted, await usage(ledger)) == (UNITS, (0, UNITS))
        report = await ledger.verify()
        assert (report.records, report.problems) == (UNITS, ())

    async def test_the_largest_counters_of_a_window_first(self, ledger: CheckpointingLedger) -> None:
        spent = {"a": (5, 0), "b": (1, 9), "c": (0, 3), "d": (3, 0), "e": (2, 6)}
        await ledger.commit([change(settle(held, used, counter(name))) for name, (used, held) in spent.items()])
        elsewhere = [counter(window_key="x"), counter(unit="x"), counter(budget_id="x"), counter(tenant="x")]
        await ledger.commit([change(settle(0, 99, each)) for each in elsewhere])
        found = await ledger.top_counters("acme", "b", "calls", COUNTER.window_key, 9)
        assert [each.key for each in found] == [counter(name) for name in "beacd"]
        assert [(each.usage.used, each.usage.reserved) for each in found] == [spent[name] for name in "beacd"]
        assert {each.resets_at_us for each in found} == {START_US + 1}
        assert list(await ledger.top_counters("acme", "b", "calls", COUNTER.window_key, 2)) == list(found[:2])

    async def test_totals_tell_of_every_unit_and_window(self, ledger: CheckpointingLedger) -> None:
        for day, unit in (("01", "calls"), ("02", "calls"), ("01", "cost")):
            for number in range(3):
                window = counter(f"u_{number}", unit=unit, window_key=day)
                await ledger.commit([change(settle(1, number, window))])
        await ledger.commit(
            [change(settle(9, 9, counter(tenant="other"))), change(settle(9, 9, counter(budget_id="x")))]
        )
        found = await ledger.window_totals("acme", "b", 9)
        assert [(each.unit, each.window_key) for each in found] == [("cost", "01"), ("calls", "02"), ("calls", "01")]
        assert {(each.used, each.reserved, each.counters, each.resets_at_us) for each in found} == {
            (3, 3, 3, START_US + 1)
        }
        assert list(await ledger.window_totals("acme", "b", 2)) == list(found[:2])
        assert list(await ledger.window_totals("acme", "none", 2)) == []

    async def test_each_budget_that_was_counted_for_is_named_once(self, ledger: CheckpointingLedger) -> None:
        assert list(await ledger.budget_ids_with_usage("acme", 9)) == []
        for budget_id in ("spend", "Calls", "b_2", "b_10", "limits.loop"):
            counted = [counter(f"u_{number}", budget_id=budget_id, window_key=str(number)) for number in range(3)]
            await ledger.commit([change(*(settle(0, 1, each) for each in counted))])
        await ledger.commit([change(settle(0, 1, counter(tenant="other", budget_id="theirs")))])
        found = await ledger.budget_ids_with_usage("acme", 9)
        assert list(found) == ["Calls", "b_10", "b_2", "limits.loop", "spend"]
        assert list(await ledger.budget_ids_with_usage("acme", 2)) == ["Calls", "b_10"]
        assert list(await ledger.budget_ids_with_usage("other", 9)) == ["theirs"]
        assert list(await ledger.budget_ids_with_usage("nobody", 9)) == []


class RepeatedContract:
    async def test_a_repeated_key_changes_nothing(self, ledger: CheckpointingLedger) -> None:
        first = replace(commitment(1), changes=(reserve(4), PutIfVersion(row())))
        assert first.decision is not None
        await ledger.commit([first])
        again = replace(
            commitment(2), idempotency=first.idempotency, changes=(reserve(4), PutIfVersion(row(version=1)))
        )
        results = await ledger.commit([again, again])
        assert list(results) == [IdempotentReplay(first.decision)] * 2
        reused = replace(commitment(3, key="key-1"), changes=(reserve(4), PutIfVersion(row("b"))))
        assert list(await ledger.commit([reused])) == [IdempotencyMismatch()]
        found = await stored_row(ledger)
        assert (await usage(ledger), found and found.version) == ((0, 4), 1)
        assert await stored_row(ledger, "b") is None

    async def test_a_batch_reserves_once_for_one_key(self, ledger: CheckpointingLedger) -> None:
        first = replace(commitment(1), changes=(reserve(4),))
        assert first.decision is not None
        again = replace(commitment(2), idempotency=first.idempotency, changes=(reserve(4),))
        assert list(await ledger.commit([first, again])) == [COMMITTED, IdempotentReplay(first.decision)]
        assert await usage(ledger) == (0, 4)

    async def test_a_conflict_leaves_no_key(self, ledger: CheckpointingLedger) -> None:
        lost = replace(commitment(1), changes=(reserve(11),))
        assert list(await ledger.commit([lost, commitment(2, key="key-1")])) == [Conflict(reserve(11)), COMMITTED]
        assert await ledger.get_decision("acme", f"dec_{1:032x}") is None
        report = await ledger.verify()
        assert (report.records, report.problems) == (1, ())

    async def test_after_close_state_is_unavailable(self, ledger: CheckpointingLedger) -> None:
        await ledger.close()
        for call in (
            ledger.load(ReadSet()),
            ledger.list_rows(RowQuery(StateTable.APPROVALS, "acme")),
            ledger.tenants_with(StateTable.APPROVALS, "x"),
            ledger.due_rows(StateTable.APPROVALS, 0, 1),
            ledger.count_due(StateTable.APPROVALS),
            ledger.top_counters("acme", "b", "calls", "x", 1),
            ledger.window_totals("acme", "b", 1),
            ledger.budget_ids_with_usage("acme", 1),
            ledger.events({}, 1),
            ledger.events_of("acme", "x"),
            ledger.chain_heads(),
            ledger.count_effects("acme", "x", 1),
            ledger.agents("acme", 1),
            ledger.agents_last_used("acme", 0, 1),
            ledger.purge_idempotency_keys(0, 1),
        ):
            with pytest.raises(LedgerUnavailableError):
                await call


class StateContract(RowsContract, ListedRowsContract, CountersContract, RepeatedContract):
    """All of it."""
