"""Actions that policy needs long for: their calls are postponed as a whole, and nothing of them is recorded before."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

import pytest

from placet.audit.records import DecisionQuery
from placet.decision.pipeline import slow_lane_point
from placet.decision.slow_inputs import FORGOTTEN_SECONDS, SLOW_SECONDS, TOOLS_MAX, SlowInputs
from placet.kernel import rule_ids
from placet.kernel.model import Decision, Indeterminate, Verdict
from placet.scheduling.batching import POSTPONED
from tests.support.fakes import ALLOWED, Bench, ScriptedPolicy, new_request, verdict
from tests.support.replacing import replace

if TYPE_CHECKING:
    from collections.abc import Sequence

    from placet.decision.attempt import Request

TOO_SLOW = Indeterminate(rule_ids.ENGINE_TIMEOUT, "slow", slow=True)


def say(document: dict[str, Any]) -> Verdict | Indeterminate:
    return TOO_SLOW if document["action"].get("scope") == "slow" else verdict(ALLOWED)


@dataclass
class SlowPolicy(ScriptedPolicy):
    """A policy to which scope `slow` is slow in a batch, but not alone."""

    singles: list[int] = field(default_factory=list)

    async def evaluate_singly(self, inputs: Sequence[bytes]) -> Sequence[Verdict | Indeterminate]:
        self.singles.append(len(inputs))
        return [verdict(ALLOWED) for _ in inputs]


async def recorded(bench: Bench) -> int:
    return len((await bench.ledger.query_decisions(DecisionQuery(tenant="acme", page_size=100))).decisions)


def call(*scopes: str) -> list[Request]:
    """Return the requests of one call."""
    together = object()
    return [replace(new_request(action__scope=scope), call=together) for scope in scopes]


async def test_a_slow_action_postpones_its_call_and_no_other() -> None:
    bench = Bench(ScriptedPolicy(say))
    requests = [*call("a"), *call("b", "slow", "c"), *call("d"), new_request(action__scope="slow"), *call("e")]
    answers = await bench.point.decide_or_postpone(requests)
    assert [answer is POSTPONED for answer in answers] == [False, True, True, True, False, True, False]
    assert await recorded(bench) == 3


async def test_the_slow_lane_decides_what_was_postponed() -> None:
    bench = Bench(policy := SlowPolicy(say))
    requests = call("b", "slow")
    assert await bench.point.decide_or_postpone(requests) == [POSTPONED] * 2
    answers = await slow_lane_point(bench.point).decide(requests)
    assert [answer.rule_id for answer in answers if isinstance(answer, Decision)] == [ALLOWED.rule_id] * 2
    assert policy.singles == [2]
    assert await recorded(bench) == 2


async def test_without_a_slow_lane_a_slow_action_is_denied() -> None:
    bench = Bench(ScriptedPolicy(say))
    answers = await bench.point.decide(call("a", "slow"))
    assert [answer.rule_id for answer in answers if isinstance(answer, Decision)] == [
        ALLOWED.rule_id,
        rule_ids.ENGINE_TIMEOUT,
    ]


@pytest.mark.parametrize("slow", [0, 20, 39])
async def test_a_large_call_is_postponed_as_a_whole(slow: int) -> None:
    bench = Bench(ScriptedPolicy(say))
    requests = call(*("slow" if number == slow else "quick" for number in range(40)))
    pieces = [answers async for answers in bench.point.in_pieces(requests)]
    assert pieces[-1] == [POSTPONED] * 40
    assert await recorded(bench) == 0


async def test_what_a_policy_calls_slow_without_a_batch_is_an_error_of_no_request() -> None:
    bench = Bench(ScriptedPolicy(lambda _: Indeterminate(rule_ids.ENGINE_TIMEOUT, "stuck")))
    [answer] = await bench.point.decide_or_postpone(call("a"))
    assert isinstance(answer, Decision)
    assert answer.rule_id == rule_ids.ENGINE_TIMEOUT


class Memory:
    """A memory of slow inputs, and its clock."""

    def __init__(self) -> None:
        self.now = 100.0
        self.slow = SlowInputs(lambda: self.now)


def sized(characters: int, tool: str = "look", tenant: str = "acme") -> Request:
    params = f'{{"a":"{"x" * characters}"}}'
    return new_request(tool, action__params_json=params, identity__tenant=tenant)


def test_a_slow_input_is_remembered_for_longer_each_time() -> None:
    memory = Memory()
    for seconds in (*SLOW_SECONDS, SLOW_SECONDS[-1]):
        memory.slow.add(sized(1_000))
        memory.now += seconds - 0.1
        assert memory.slow.any_of([sized(1), sized(1_000)])
        memory.now += 0.2
        assert not memory.slow.any_of([sized(1_000)])
    memory.now += FORGOTTEN_SECONDS
    memory.slow.add(sized(1_000))
    memory.now += SLOW_SECONDS[0] + 0.1
    assert sized(1_000) not in memory.slow


def test_only_inputs_that_are_about_as_large_are_slow() -> None:
    memory = Memory()
    memory.slow.add(sized(10_000))
    assert sized(10_000) in memory.slow
    assert sized(6_000) in memory.slow
    assert sized(1_000) not in memory.slow
    assert sized(10_000, "pay") not in memory.slow
    assert sized(10_000, tenant="globex") not in memory.slow


def test_a_first_time_can_be_excused_but_no_second_one() -> None:
    memory = Memory()
    memory.slow.add(sized(10))
    memory.slow.excuse(sized(10))
    assert sized(10) not in memory.slow
    memory.slow.add(sized(10))
    memory.slow.excuse(sized(10))
    assert sized(10) in memory.slow


def test_the_memory_is_bounded() -> None:
    memory = Memory()
    for number in range(TOOLS_MAX + 10):
        memory.slow.add(sized(10, f"tool.n{number}"))
    assert sized(10, "tool.n9") not in memory.slow
    assert sized(10, "tool.n10") in memory.slow
    assert sized(10, f"tool.n{TOOLS_MAX + 9}") in memory.slow
