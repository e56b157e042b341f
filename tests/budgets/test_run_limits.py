from __future__ import annotations

import pytest

from placet.budgets.model import exceeded, finding
from placet.budgets.run_limits import (
    RunLimits,
    duration_finding,
    over_duration,
    run_charges,
    run_facts,
    started_at_us,
)
from placet.kernel.limits import SAFE_INTEGER_MAX
from placet.kernel.model import Effect
from placet.kernel.state import CounterKey, Usage
from tests.support.builders import policy, proposal

ALL = RunLimits(max_tool_calls=20, max_tokens=1_000, max_duration_seconds=60, max_same_action=3)


def test_a_run_counts_calls_tokens_its_start_and_the_same_action() -> None:
    found, faults = run_charges(ALL, proposal(tokens=812))
    assert faults == ()
    told = {charge.budget.rule_id: (charge.amount, charge.budget.limit, charge.counter.unit) for charge in found}
    assert told == {
        "limits.max_tool_calls": (1, 20, "calls"),
        "limits.max_tokens": (812, 1_000, "tokens"),
        "limits.max_duration": (1, SAFE_INTEGER_MAX, "calls"),
        "limits.loop": (1, 3, "calls"),
    }
    assert found[0].counter == CounterKey("acme", "limits.max_tool_calls", "calls", "run:r_1", "run:r_1")
    assert {charge.resets_at_us for charge in found} == {0}


def test_what_is_not_limited_is_not_counted() -> None:
    assert run_charges(RunLimits(), proposal(run_id="")) == ((), ())
    found, _ = run_charges(RunLimits(max_tool_calls=1), proposal())
    assert [charge.budget.id for charge in found] == ["limits.max_tool_calls"]


def test_an_action_that_names_no_run_does_not_escape() -> None:
    found, [fault] = run_charges(ALL, proposal(run_id=""))
    assert found == ()
    assert fault.finding().rule_id == "limits.run_id_missing"
    assert fault.finding().effect is Effect.DENY


def loop_of(tool: str, params: object, run_id: str = "r_1") -> str:
    found, _ = run_charges(RunLimits(max_same_action=2), proposal(tool, params=params, run_id=run_id))
    return found[0].counter.scope_key


def test_a_loop_is_the_same_tool_with_the_same_params_in_one_run() -> None:
    once = loop_of("pay", {"to": 1})
    assert once.startswith("run:r_1:")
    assert len(once.rpartition(":")[2]) == 16
    assert loop_of("pay", {"to": 1}) == once
    assert len({once, loop_of("pay", {"to": 2}), loop_of("mail", {"to": 1}), loop_of("pay", {"to": 1}, "r_2")}) == 4


def test_the_third_of_two_is_denied() -> None:
    [charge], _ = run_charges(RunLimits(max_same_action=2), proposal())
    assert not exceeded(charge, Usage(used=1))
    assert exceeded(charge, Usage(used=1, reserved=1))
    said = finding(charge, Usage(used=2))
    assert (said.effect, said.rule_id) == (Effect.DENY, "limits.loop")
    assert said.reason == "The run has reached its limit of calls of the same action"


@pytest.mark.parametrize(
    ("started", "now", "over"),
    [(0, 10**18, False), (1, 60_000_000, False), (1, 60_000_001, True), (10**9, 1, False)],
    ids=["begins now", "just within", "at its end", "clock set back"],
)
def test_how_long_a_run_goes_on(started: int, now: int, over: bool) -> None:  # noqa: FBT001
    assert over_duration(ALL, started, now) is over
    assert not over_duration(RunLimits(max_tokens=1), started, now)


def test_a_run_begins_with_its_first_action() -> None:
    found, _ = run_charges(ALL, proposal())
    [timed] = [charge for charge in found if charge.budget.id == "limits.max_duration"]
    assert started_at_us(found, {}) == 0
    assert started_at_us(found, {timed.counter: Usage(3, 0, created_at_us=77)}) == 77
    assert started_at_us((), {}) == 0
    assert duration_finding(ALL, 77).details == {"limit_seconds": 60, "started_at_us": 77}
    assert duration_finding(ALL, 77).rule_id == "limits.max_duration"


def test_what_policy_sees_of_a_run() -> None:
    found, _ = run_charges(RunLimits(max_tool_calls=20, max_same_action=3), proposal())
    counters = {charge.counter: Usage(2, 1) for charge in found}
    assert run_facts(found, counters) == {"calls": 3, "tokens": None, "same_action_calls": 3}
    assert run_facts((), {}) == {"calls": None, "tokens": None, "same_action_calls": None}


def test_a_workflow_says_what_differs() -> None:
    written = policy(limits={"max_tool_calls": 20, "max_tokens": 5, "workflows": {"triage": {"max_tool_calls": 50}}})
    assert written.run_limits("triage") == RunLimits(max_tool_calls=50, max_tokens=5)
    assert written.run_limits("other") == RunLimits(max_tool_calls=20, max_tokens=5)
    assert policy().run_limits("triage") == RunLimits()
