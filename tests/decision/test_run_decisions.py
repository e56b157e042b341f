"""Decisions against a run's limits and circuit breakers, and what policy sees of them."""

from __future__ import annotations

from typing import Any

import pytest

from placet.kernel.model import Effect
from tests.support.deciding import LEADS, SECOND_US, DecisionEnv, budget, left, told
from tests.support.fakes import ALLOWED, ASKED, asked, verdict

ALLOW = ("allow", "tools.listed")
RUN: dict[str, Any] = {"run__run_id": "r1"}
BREAKER = {"failures_in_a_row": 2, "open_seconds": 30, "scopes": ["tool"]}


def numbered(number: int) -> dict[str, Any]:
    """An action of the run unlike the others."""
    return {**RUN, "action__params_json": f'{{"n":{number}}}'}


async def test_a_run_makes_20_tool_calls_and_not_one_more() -> None:
    env = DecisionEnv(limits={"max_tool_calls": 20})
    decisions = await env.decide(*[asked("look" if place % 2 else "pay", **numbered(place)) for place in range(21)])
    assert told(*decisions) == [ALLOW] * 20 + [("deny", "limits.max_tool_calls")]
    assert told(await env.ask(run__run_id="r2")) == [ALLOW]
    assert told(await env.ask(**numbered(22))) == [("deny", "limits.max_tool_calls")]


async def test_what_was_denied_is_no_call() -> None:
    env = DecisionEnv(limits={"max_tool_calls": 1}, autonomy={"default": "observe_only"})
    assert (await env.ask(**RUN)).rule_id == "autonomy.observe_only"
    assert told(await env.ask("look", **RUN)) == [ALLOW]


async def test_a_run_uses_as_many_tokens_as_it_may() -> None:
    env = DecisionEnv(limits={"max_tokens": 10_000})
    takes: dict[str, Any] = {**RUN, "model__input_tokens": 4_000, "model__output_tokens": 1_000}
    assert told(await env.ask(**takes), await env.ask(**takes)) == [ALLOW, ALLOW]
    assert told(await env.ask(**RUN)) == [("deny", "limits.max_tokens")]


async def test_tokens_reported_beyond_the_estimate_count() -> None:
    env = DecisionEnv(limits={"max_tokens": 100})
    first = await env.ask(**RUN, model__input_tokens=50)
    assert (await env.report(first, tokens=50)).overspent == ()
    assert told(await env.ask(**RUN)) == [("deny", "limits.max_tokens")]


async def test_the_same_action_again_and_again_is_a_loop() -> None:
    env = DecisionEnv(limits={"max_same_action": 3})
    spelled = ('{"a":1,"b":2}', '{"b":2,"a":1}', '{ "a": 1.0, "b": 2 }')
    for params in spelled:
        assert told(await env.ask(**RUN, action__params_json=params)) == [ALLOW]
    assert told(await env.ask(**RUN, action__params_json=spelled[0])) == [("deny", "limits.loop")]
    assert told(await env.ask("mail", **RUN, action__params_json=spelled[0])) == [ALLOW]
    assert told(await env.ask(**RUN, action__params_json='{"a":2,"b":2}')) == [ALLOW]
    assert told(await env.ask(run__run_id="r2", action__params_json=spelled[0])) == [ALLOW]


@pytest.mark.parametrize(("seconds", "effect"), [(59, "allow"), (60, "deny"), (1_000_000, "deny")])
async def test_a_run_ends_after_its_time(seconds: int, effect: str) -> None:
    env = DecisionEnv(limits={"max_duration_seconds": 60})
    await env.ask(**RUN)
    env.clock.wall += seconds * SECOND_US
    decision = await env.ask(**numbered(1))
    assert decision.effect.value == effect
    if effect == "deny":
        assert decision.rule_id == "limits.max_duration"
        assert (await env.ask(run__run_id="r2")).effect is Effect.ALLOW


async def test_a_clock_set_back_ends_no_run() -> None:
    env = DecisionEnv(limits={"max_duration_seconds": 60})
    await env.ask(**RUN)
    env.clock.wall -= 1_000 * SECOND_US
    assert told(await env.ask(**numbered(1))) == [ALLOW]


async def test_a_request_that_names_no_run_does_not_escape_the_limits() -> None:
    env = DecisionEnv(limits={"max_tool_calls": 20})
    assert told(await env.ask()) == [("deny", "limits.run_id_missing")]


async def test_a_workflow_may_have_limits_of_its_own() -> None:
    env = DecisionEnv(limits={"max_tool_calls": 2, "workflows": {"long": {"max_tool_calls": 3}}})
    batch = [asked("pay", **numbered(place), run__workflow="long") for place in range(4)]
    assert await env.effects(batch) == ["allow"] * 3 + ["deny"]


async def test_run_limits_are_told_like_budgets() -> None:
    env = DecisionEnv(limits={"max_tool_calls": 20})
    assert left(await env.ask(**RUN), "limits.max_tool_calls") == 19


async def test_a_person_cannot_approve_a_run_beyond_its_limits() -> None:
    env = DecisionEnv(limits={"max_tool_calls": 1}, say=lambda _: verdict(ALLOWED, ASKED))
    first, second = await env.decide(asked("pay", **numbered(1)), asked("pay", **numbered(2)))
    for decision in (first, second):
        await env.approve(decision, *LEADS)
    presented = [
        asked("pay", **numbered(place), approval_id=env.word(each).approval_id)
        for place, each in ((1, first), (2, second))
    ]
    decisions = await env.decide(*presented)
    assert told(*decisions) == [("allow", "approvals.granted"), ("deny", "limits.max_tool_calls")]
    assert (await env.approval(second)).state.value == "approved"


async def test_policy_sees_what_the_run_did_before_the_action() -> None:
    env = DecisionEnv(limits={"max_tool_calls": 20, "max_same_action": 5, "max_tokens": 1_000})
    for place in (1, 1, 2, 1):
        await env.ask(**numbered(place), model__input_tokens=10)
    seen = [each["facts"]["run"] for each in env.policy.seen]
    assert seen[0] == {"calls": 0, "tokens": 0, "same_action_calls": 0}
    assert seen[3] == {"calls": 3, "tokens": 30, "same_action_calls": 2}


async def test_policy_sees_no_run_where_nothing_limits_it() -> None:
    env = DecisionEnv(budget())
    await env.ask(**RUN)
    assert "run" not in env.policy.seen[0]["facts"]


async def test_a_breaker_opens_lets_one_call_probe_and_closes() -> None:
    env = DecisionEnv(limits={"breaker": BREAKER})
    for decision in await env.decide(asked("pay"), asked("pay")):
        await env.report(decision, "failed")
    refused = ("deny", "limits.breaker_open")
    assert told(await env.ask(), await env.ask("mail")) == [refused, ALLOW]
    assert env.policy.seen[-2]["facts"]["tool"]["breaker"] == "open"
    env.clock.wall += 30 * SECOND_US - 1
    assert told(await env.ask()) == [refused]
    env.clock.wall += 1
    probes = await env.decide(*[asked("pay") for _ in range(5)])
    assert told(*probes) == [ALLOW, *[refused] * 4]
    assert env.policy.seen[-1]["facts"]["tool"]["breaker"] == "half_open"
    await env.report(probes[0])
    assert told(*await env.decide(*[asked("pay") for _ in range(5)])) == [ALLOW] * 5
    assert env.policy.seen[-1]["facts"]["tool"] == {"class": "write", "breaker": "closed", "error_rate": 0.0}


async def test_a_probe_that_fails_opens_the_breaker_again() -> None:
    env = DecisionEnv(limits={"breaker": BREAKER})
    for decision in await env.decide(asked("pay"), asked("pay")):
        await env.report(decision, "failed")
    env.clock.wall += 30 * SECOND_US
    await env.report(await env.ask(), "failed")
    assert told(await env.ask()) == [("deny", "limits.breaker_open")]


async def test_what_policy_denies_is_no_probe() -> None:
    env = DecisionEnv(limits={"breaker": BREAKER})
    for decision in await env.decide(asked("pay"), asked("pay")):
        await env.report(decision, "failed")
    env.clock.wall += 30 * SECOND_US
    env.policy.say = lambda _: verdict()
    assert (await env.ask()).effect is Effect.DENY
    env.policy.say = lambda _: verdict(ALLOWED)
    assert told(await env.ask()) == [ALLOW]


async def test_an_open_breaker_may_leave_dry_runs() -> None:
    env = DecisionEnv(limits={"breaker": {**BREAKER, "effect": "draft_only"}})
    for decision in await env.decide(asked("pay"), asked("pay")):
        await env.report(decision, "failed")
    assert told(await env.ask(), await env.ask(action__dry_run=True)) == [("deny", "limits.breaker_open"), ALLOW]
