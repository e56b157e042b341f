"""Decisions against a run's limits and circuit breakers, and what policy sees of them."""

from __future__ import annotations

from typing import Any

from placet.kernel.model import Effect
from tests.support.decision_env import SECOND_US, DecisionEnv, effects_of
from tests.support.fakes import ALLOWED, new_request, verdict

ALLOW = ("allow", "tools.listed")
RUN: dict[str, Any] = {"run__run_id": "r1"}
BREAKER = {"failures_in_a_row": 2, "open_seconds": 30, "scopes": ["tool"]}


def numbered(number: int) -> dict[str, Any]:
    """An action of the run unlike the others."""
    return {**RUN, "action__params_json": f'{{"n":{number}}}'}


async def test_a_run_makes_20_tool_calls_and_not_one_more() -> None:
    env = DecisionEnv(limits={"max_tool_calls": 20})
    decisions = await env.decide(
        *[new_request("look" if place % 2 else "pay", **numbered(place)) for place in range(21)]
    )
    assert effects_of(*decisions) == [ALLOW] * 20 + [("deny", "limits.max_tool_calls")]
    assert effects_of(await env.ask(run__run_id="r2")) == [ALLOW]
    assert effects_of(await env.ask(**numbered(22))) == [("deny", "limits.max_tool_calls")]


async def test_a_breaker_opens_lets_one_call_probe_and_closes() -> None:
    env = DecisionEnv(limits={"breaker": BREAKER})
    for decision in await env.decide(new_request("pay"), new_request("pay")):
        await env.report(decision, "failed")
    refused = ("deny", "limits.breaker_open")
    assert effects_of(await env.ask(), await env.ask("mail")) == [refused, ALLOW]
    assert env.policy.seen[-2]["facts"]["tool"]["breaker"] == "open"
    env.clock.wall += 30 * SECOND_US - 1
    assert effects_of(await env.ask()) == [refused]
    env.clock.wall += 1
    probes = await env.decide(*[new_request("pay") for _ in range(5)])
    assert effects_of(*probes) == [ALLOW, *[refused] * 4]
    assert env.policy.seen[-1]["facts"]["tool"]["breaker"] == "half_open"
    await env.report(probes[0])
    assert effects_of(*await env.decide(*[new_request("pay") for _ in range(5)])) == [ALLOW] * 5
    assert env.policy.seen[-1]["facts"]["tool"] == {"class": "write", "breaker": "closed", "error_rate": 0.0}


async def test_what_policy_denies_is_no_probe() -> None:
    env = DecisionEnv(limits={"breaker": BREAKER})
    for decision in await env.decide(new_request("pay"), new_request("pay")):
        await env.report(decision, "failed")
    env.clock.wall += 30 * SECOND_US
    env.policy.say = lambda _: verdict()
    assert (await env.ask()).effect is Effect.DENY
    env.policy.say = lambda _: verdict(ALLOWED)
    assert effects_of(await env.ask()) == [ALLOW]
