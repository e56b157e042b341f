"""The fair queue: tenants and callers take turns, and a flood delays and displaces only itself."""

from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st

from placet.kernel.limits import (
    PIPELINE_ACTIONS_MAX,
    PIPELINE_BYTES_MAX,
    QUEUE_SHARE_ACTIONS,
    QUEUE_SHARED_BATCHES,
    QUEUE_TURN_ACTIONS,
    QUEUE_TURN_BYTES,
)
from placet.scheduling.fair_queue import FairQueue, Flow, Group

FLOOD = 100
"""Actions of one AuthorizeBatch of a flooding caller."""


def new_group(name: str, size: int = 1, tenant: str = "acme", caller: str = "one") -> Group[str]:
    return Group(Flow(tenant, caller), size, name)


def batches(queue: FairQueue[str]) -> list[list[str]]:
    """Return all entries, batch by batch."""
    entries = []
    while queue:
        entries.append([group.entry for group in queue.take(PIPELINE_ACTIONS_MAX)])
    return entries


def test_a_single_call_goes_before_the_batches_of_another_tenant_that_came_first() -> None:
    queue: FairQueue[str] = FairQueue(10_000)
    for number in range(8):
        queue.put(new_group(f"flood-{number}", FLOOD, "flood", f"connection-{number}"))
    queue.put(new_group("single", 1, "quiet"))
    assert batches(queue) == [["single"], *([f"flood-{number}"] for number in range(8))]


def test_a_single_call_goes_before_the_batches_of_another_caller_of_its_tenant() -> None:
    queue: FairQueue[str] = FairQueue(10_000)
    for number in range(3):
        queue.put(new_group(f"flood-{number}", FLOOD))
    queue.put(new_group("single", caller="two"))
    assert batches(queue)[0] == ["single"]


def test_a_flood_of_single_calls_leaves_room_for_others_in_the_next_batch() -> None:
    queue: FairQueue[str] = FairQueue(10_000)
    for number in range(1_000):
        queue.put(new_group(f"flood-{number}", 1, "flood"))
    queue.put(new_group("single", 1, "quiet"))
    share = [f"flood-{number}" for number in range(QUEUE_SHARE_ACTIONS)]
    assert [group.entry for group in queue.take(PIPELINE_ACTIONS_MAX)] == [*share, "single"]


def test_a_flood_fills_no_batch_while_others_came_lately() -> None:
    """A caller that asks again as soon as it is answered does not wait for a batch full of the flood."""
    queue: FairQueue[str] = FairQueue(10_000)
    for number in range(2_000):
        queue.put(new_group(f"flood-{number}", 1, "flood"))
    assert len(queue.take(PIPELINE_ACTIONS_MAX)) == PIPELINE_ACTIONS_MAX, "nobody else waits"
    queue.put(new_group("single", 1, "quiet"))
    sizes = [len(queue.take(PIPELINE_ACTIONS_MAX)) for _ in range(QUEUE_SHARED_BATCHES + 1)]
    assert sizes == [QUEUE_SHARE_ACTIONS + 1, *[QUEUE_SHARE_ACTIONS] * (QUEUE_SHARED_BATCHES - 1), PIPELINE_ACTIONS_MAX]


def test_callers_beside_a_flood_wait_for_no_more_actions_of_it_than_they_send() -> None:
    """They ask again once they are answered: after the next batch has begun, which the flood has to itself."""
    queue: FairQueue[str] = FairQueue(10_000)
    callers = [f"quiet-{number}" for number in range(2 * QUEUE_SHARE_ACTIONS)]
    for number in range(1_000):
        queue.put(new_group(f"flood-{number}", 1, "flood"))
    processed, asked, waits, answered = 0, {}, [], callers
    for _ in range(50):
        batch = queue.take(PIPELINE_ACTIONS_MAX)
        for caller in answered:
            asked[caller] = processed
            queue.put(new_group(caller, 1, "quiet", caller))
        processed += len(batch)
        answered = [group.entry for group in batch if group.flow.tenant == "quiet"]
        waits += [processed - asked[caller] for caller in answered]
    assert len(waits) >= 20 * len(callers)
    assert set(waits[len(callers) :]) == {2 * len(callers)}


def test_busy_tenants_fill_their_batches() -> None:
    queue: FairQueue[str] = FairQueue(10_000)
    for number in range(200):
        for tenant in ("a", "b"):
            queue.put(new_group(f"{tenant}-{number}", 1, tenant))
    taken = [group.flow.tenant for group in queue.take(PIPELINE_ACTIONS_MAX)]
    assert (taken.count("a"), taken.count("b")) == (PIPELINE_ACTIONS_MAX // 2, PIPELINE_ACTIONS_MAX // 2)


def test_a_large_group_earns_its_turn_while_others_keep_coming() -> None:
    queue: FairQueue[str] = FairQueue(10_000)
    queue.put(new_group("large", FLOOD, "large"))
    order = []
    for _ in range(FLOOD // QUEUE_TURN_ACTIONS + 1):
        queue.put(new_group("small", 1, "quiet"))
        order += [group.entry for group in queue.take(PIPELINE_ACTIONS_MAX)]
    assert "large" in order


def test_two_tenants_get_equal_shares_regardless_of_connections() -> None:
    queue: FairQueue[str] = FairQueue(100_000)
    for number in range(2_000):
        queue.put(new_group("many", 1, "many", f"connection-{number % 100}"))
        queue.put(new_group("one", 1, "one"))
    taken = [group.entry for _ in range(10) for group in queue.take(PIPELINE_ACTIONS_MAX)]
    assert abs(taken.count("many") - taken.count("one")) <= QUEUE_TURN_ACTIONS


def test_a_flood_is_rejected_and_displaced_newest_first() -> None:
    queue: FairQueue[str] = FairQueue(10)
    for number in range(10):
        assert queue.put(new_group(f"flood-{number}", 1, "flood")) == []
    assert queue.put(new_group("flood-10", 1, "flood")) is None
    displaced = queue.put(new_group("batch", 3, "quiet"))
    assert displaced is not None
    assert [group.entry for group in displaced] == ["flood-9", "flood-8", "flood-7"]
    assert queue.depth == 10
    assert queue.put(new_group("too much", 3, "quiet")) is None, "each tenant has half as its share"


def test_a_flooding_connection_is_displaced_by_another_of_its_tenant() -> None:
    queue: FairQueue[str] = FairQueue(10)
    for number in range(10):
        queue.put(new_group(f"flood-{number}", 1, caller="flood"))
    displaced = queue.put(new_group("single", 1, caller="quiet"))
    assert displaced is not None
    assert [group.entry for group in displaced] == ["flood-9"]


def test_bytes_cost_as_actions_do() -> None:
    queue: FairQueue[str] = FairQueue(10_000)
    for number in range(10):
        queue.put(Group(Flow("large"), 1, f"large-{number}", QUEUE_TURN_BYTES // 2))
    queue.put(new_group("small", 1, "quiet"))
    first = queue.take(PIPELINE_ACTIONS_MAX)
    assert [group.entry for group in first] == ["large-0", "large-1", "small", "large-2", "large-3"]
    assert sum(group.bytes for group in first) <= PIPELINE_BYTES_MAX


def test_between_two_pieces_all_others_go_and_the_callers_own_calls_wait() -> None:
    queue: FairQueue[str] = FairQueue(100)
    for name, caller in (("plan", "one"), ("other plan", "two")):
        queue.put(Group(Flow("acme", caller), FLOOD // 4, name, in_pieces=True))
    queue.put(new_group("later", caller="one"))
    order = []
    for number in range(8):
        taken = queue.take(PIPELINE_ACTIONS_MAX)
        order.append([group.entry for group in taken])
        if number == 2:
            queue.put(new_group("single", tenant="quiet"))
        if taken[0].in_pieces and number < 5:
            queue.put_back(taken[0])
        queue.move_to_end(taken[0].flow)
    plans = [["plan"], ["other plan"]]
    assert order == [*plans, ["plan"], ["single"], ["other plan"], ["plan"], ["other plan"], ["later"]]
    assert not queue


def test_a_group_in_progress_takes_no_room_and_is_not_displaced() -> None:
    queue: FairQueue[str] = FairQueue(4)
    queue.put(Group(Flow("acme", "one"), FLOOD, "plan", in_pieces=True))
    [plan] = queue.take(PIPELINE_ACTIONS_MAX)
    queue.put_back(plan)
    assert queue.depth == 0
    assert queue.put(new_group("large", FLOOD, "quiet")) == [], "nothing else waits"
    displaced = [queue.put(new_group(f"more-{number}", 1, f"tenant-{number}")) for number in range(6)]
    assert "plan" not in {group.entry for groups in displaced for group in groups or ()}
    assert "plan" in {name for batch in batches(queue) for name in batch}


def test_a_removed_group_frees_its_room_once() -> None:
    queue: FairQueue[str] = FairQueue(4)
    waits = new_group("waits", 2)
    queue.put(waits)
    assert queue.remove(waits)
    assert not queue.remove(waits)
    assert queue.depth == 0
    assert not queue


puts = st.lists(
    st.tuples(st.sampled_from("abc"), st.sampled_from("xyz"), st.integers(1, 40), st.booleans()), max_size=60
)


@given(puts, st.integers(1, 100))
def test_no_group_is_lost_or_doubled_and_callers_stay_in_order(
    given_puts: list[tuple[str, str, int, bool]], depth_max: int
) -> None:
    queue: FairQueue[int] = FairQueue(depth_max)
    waiting: set[int] = set()
    taken: list[Group[int]] = []
    for number, (tenant, caller, size, take) in enumerate(given_puts):
        before = queue.depth
        displaced = queue.put(Group(Flow(tenant, caller), size, number))
        if displaced is not None:
            waiting.add(number)
            waiting -= {group.entry for group in displaced}
        assert queue.depth <= max(depth_max, before, size)
        if take:
            batch = queue.take(32)
            assert batch or not waiting
            assert len(batch) == 1 or sum(group.size for group in batch) <= 32
            taken += batch
    while queue:
        taken += queue.take(32)
    assert sorted(group.entry for group in taken) == sorted({group.entry for group in taken})
    assert {group.entry for group in taken} >= waiting
    assert queue.depth == 0
    for flow in {group.flow for group in taken}:
        entries = [group.entry for group in taken if group.flow == flow]
        assert entries == sorted(entries)
