"""Tenants take turns; who floods waits for itself, and turns itself away."""

from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st

from placet.kernel.limits import PIPELINE_ACTIONS_MAX, PIPELINE_BYTES_MAX, QUEUE_TURN_ACTIONS, QUEUE_TURN_BYTES
from placet.scheduling.fair_queue import FairQueue, Flow, Group

FLOOD = 100
"""Actions of one AuthorizeBatch of somebody who floods."""


def group(name: str, size: int = 1, tenant: str = "acme", caller: str = "one") -> Group[str]:
    return Group(Flow(tenant, caller), size, name)


def batches(queue: FairQueue[str]) -> list[list[str]]:
    """All that waits, as it goes."""
    taken = []
    while queue:
        taken.append([each.entry for each in queue.take(PIPELINE_ACTIONS_MAX)])
    return taken


def test_a_single_call_goes_before_the_batches_of_another_tenant_that_came_first() -> None:
    queue: FairQueue[str] = FairQueue(10_000)
    for number in range(8):
        queue.put(group(f"flood-{number}", FLOOD, "flood", f"connection-{number}"))
    queue.put(group("single", 1, "quiet"))
    assert batches(queue) == [["single"], *([f"flood-{number}"] for number in range(8))]


def test_a_single_call_goes_before_the_batches_of_another_caller_of_its_tenant() -> None:
    queue: FairQueue[str] = FairQueue(10_000)
    for number in range(3):
        queue.put(group(f"flood-{number}", FLOOD))
    queue.put(group("single", caller="two"))
    assert batches(queue)[0] == ["single"]


def test_a_flood_of_single_calls_leaves_room_for_others_in_the_next_batch() -> None:
    queue: FairQueue[str] = FairQueue(10_000)
    for number in range(1_000):
        queue.put(group(f"flood-{number}", 1, "flood"))
    queue.put(group("single", 1, "quiet"))
    first = [each.entry for each in queue.take(PIPELINE_ACTIONS_MAX)]
    assert first[: QUEUE_TURN_ACTIONS + 1] == [*(f"flood-{number}" for number in range(QUEUE_TURN_ACTIONS)), "single"]
    assert len(first) == PIPELINE_ACTIONS_MAX


def test_a_large_group_earns_its_turn_although_others_never_pause() -> None:
    queue: FairQueue[str] = FairQueue(10_000)
    queue.put(group("large", FLOOD, "large"))
    went = []
    for _ in range(FLOOD // QUEUE_TURN_ACTIONS + 1):
        queue.put(group("small", 1, "quiet"))
        went += [each.entry for each in queue.take(PIPELINE_ACTIONS_MAX)]
    assert "large" in went


def test_each_of_two_tenants_gets_half_whatever_their_connections() -> None:
    queue: FairQueue[str] = FairQueue(100_000)
    for number in range(2_000):
        queue.put(group("many", 1, "many", f"connection-{number % 100}"))
        queue.put(group("one", 1, "one"))
    taken = [each.entry for _ in range(10) for each in queue.take(PIPELINE_ACTIONS_MAX)]
    assert abs(taken.count("many") - taken.count("one")) <= QUEUE_TURN_ACTIONS


def test_who_floods_is_turned_away_and_gives_way_newest_first() -> None:
    queue: FairQueue[str] = FairQueue(10)
    for number in range(10):
        assert queue.put(group(f"flood-{number}", 1, "flood")) == []
    assert queue.put(group("flood-10", 1, "flood")) is None
    gone = queue.put(group("batch", 3, "quiet"))
    assert gone is not None
    assert [each.entry for each in gone] == ["flood-9", "flood-8", "flood-7"]
    assert queue.depth == 10
    assert queue.put(group("too much", 3, "quiet")) is None, "half of it is the share of each"


def test_a_connection_that_floods_gives_way_to_another_of_its_tenant() -> None:
    queue: FairQueue[str] = FairQueue(10)
    for number in range(10):
        queue.put(group(f"flood-{number}", 1, caller="flood"))
    gone = queue.put(group("single", 1, caller="quiet"))
    assert gone is not None
    assert [each.entry for each in gone] == ["flood-9"]


def test_bytes_cost_as_actions_do() -> None:
    queue: FairQueue[str] = FairQueue(10_000)
    for number in range(10):
        queue.put(Group(Flow("large"), 1, f"large-{number}", QUEUE_TURN_BYTES // 2))
    queue.put(group("small", 1, "quiet"))
    first = queue.take(PIPELINE_ACTIONS_MAX)
    assert [each.entry for each in first] == ["large-0", "large-1", "small", "large-2", "large-3"]
    assert sum(each.bytes for each in first) <= PIPELINE_BYTES_MAX


def test_between_two_pieces_everybody_else_goes_and_the_callers_own_calls_wait() -> None:
    queue: FairQueue[str] = FairQueue(100)
    for name, caller in (("plan", "one"), ("other plan", "two")):
        queue.put(Group(Flow("acme", caller), FLOOD // 4, name, in_pieces=True))
    queue.put(group("later", caller="one"))
    went = []
    for number in range(8):
        taken = queue.take(PIPELINE_ACTIONS_MAX)
        went.append([each.entry for each in taken])
        if number == 2:
            queue.put(group("single", tenant="quiet"))
        if taken[0].in_pieces and number < 5:
            queue.put_back(taken[0])
        queue.move_to_end(taken[0].flow)
    plans = [["plan"], ["other plan"]]
    assert went == [*plans, ["plan"], ["single"], ["other plan"], ["plan"], ["other plan"], ["later"]]
    assert not queue


def test_what_was_begun_holds_no_room_and_never_gives_way() -> None:
    queue: FairQueue[str] = FairQueue(4)
    queue.put(Group(Flow("acme", "one"), FLOOD, "plan", in_pieces=True))
    [plan] = queue.take(PIPELINE_ACTIONS_MAX)
    queue.put_back(plan)
    assert queue.depth == 0
    assert queue.put(group("large", FLOOD, "quiet")) == [], "nothing else waits"
    gone = [queue.put(group(f"more-{number}", 1, f"tenant-{number}")) for number in range(6)]
    assert "plan" not in {each.entry for some in gone for each in some or ()}
    assert "plan" in {name for batch in batches(queue) for name in batch}


def test_made_up_room_is_never_given_twice() -> None:
    queue: FairQueue[str] = FairQueue(4)
    waits = group("waits", 2)
    queue.put(waits)
    assert queue.remove(waits)
    assert not queue.remove(waits)
    assert queue.depth == 0
    assert not queue


puts = st.lists(
    st.tuples(st.sampled_from("abc"), st.sampled_from("xyz"), st.integers(1, 40), st.booleans()), max_size=60
)


@given(puts, st.integers(1, 100))
def test_nobody_is_lost_or_doubled_and_each_caller_stays_in_order(
    given_puts: list[tuple[str, str, int, bool]], depth_max: int
) -> None:
    queue: FairQueue[int] = FairQueue(depth_max)
    waiting: set[int] = set()
    taken: list[Group[int]] = []
    for number, (tenant, caller, size, take) in enumerate(given_puts):
        before = queue.depth
        gone = queue.put(Group(Flow(tenant, caller), size, number))
        if gone is not None:
            waiting.add(number)
            waiting -= {each.entry for each in gone}
        assert queue.depth <= max(depth_max, before, size)
        if take:
            batch = queue.take(32)
            assert batch or not waiting
            assert len(batch) == 1 or sum(each.size for each in batch) <= 32
            taken += batch
    while queue:
        taken += queue.take(32)
    assert sorted(each.entry for each in taken) == sorted({each.entry for each in taken})
    assert {each.entry for each in taken} >= waiting
    assert queue.depth == 0
    for flow in {each.flow for each in taken}:
        entries = [each.entry for each in taken if each.flow == flow]
        assert entries == sorted(entries)
