"""What a key that stands for an allow is told later: the same, as long as it would be an allow by what stands."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import pytest

from placet.controls.autonomy.model import AutonomyLevel
from placet.kernel import rule_ids
from placet.kernel.limits import RESERVATION_TTL_SECONDS
from placet.kernel.model import Effect, Finding
from placet.outcomes.expiry import expire_due
from tests.support.decision_env import HOUR_US, SECOND_US, DecisionEnv, budget, effects_of, policies, remaining
from tests.support.fakes import ALLOWED, APPROVAL_REQUIRED, DENIED, new_request, verdict

if TYPE_CHECKING:
    from collections.abc import Callable

ALLOW = ("allow", "tools.listed")
ONE = Finding(Effect.REQUIRE_APPROVAL, "pay.one", "A person must agree", {"quorum": 1, "approver_roles": ["lead"]})


def drop_the_tool(env: DecisionEnv) -> None:
    env.policy.agent_policies = policies(write_tools=["mail"])


def drop_the_tenant(env: DecisionEnv) -> None:
    env.policy.agent_policies = {}


def lose_the_engine(env: DecisionEnv) -> None:
    env.source.policy = None


def deny(env: DecisionEnv) -> None:
    env.policy.say = lambda _: verdict(ALLOWED, DENIED)


def say_nothing(env: DecisionEnv) -> None:
    env.policy.say = lambda _: verdict()


def ask_people(env: DecisionEnv) -> None:
    env.policy.say = lambda _: verdict(ALLOWED, APPROVAL_REQUIRED)


def want_what_is_not_said(env: DecisionEnv) -> None:
    env.policy.agent_policies = policies(limits={"max_tool_calls": 5})


def lower_autonomy(env: DecisionEnv) -> None:
    env.policy.agent_policies = policies(autonomy={"default": "observe_only"})


CHANGES: list[tuple[Callable[[DecisionEnv], None], str]] = [
    (drop_the_tool, "pdp.unknown_tool"),
    (drop_the_tenant, "pdp.unknown_tenant"),
    (lose_the_engine, "pdp.engine_unavailable"),
    (deny, "pay.never"),
    (say_nothing, "pdp.no_rule_matched"),
    (ask_people, rule_ids.REPEAT_NEEDS_APPROVAL),
    (want_what_is_not_said, "limits.run_id_missing"),
    (lower_autonomy, "autonomy.observe_only"),
]


@pytest.mark.parametrize(("change", "rule_id"), CHANGES)
async def test_what_would_be_no_allow_now_is_denied_and_recorded_in_place(
    change: Callable[[DecisionEnv], None], rule_id: str
) -> None:
    env = DecisionEnv(budget(limit=3))
    first = await env.ask(idempotency_key="k")
    before = env.policy.say, env.policy.agent_policies
    change(env)
    denied = await env.ask(idempotency_key="k")
    assert effects_of(denied) == [("deny", rule_id)]
    env.policy.say, env.policy.agent_policies = before
    env.source.policy = env.policy
    assert await env.ask(idempotency_key="k") == first
    made, instead = await env.recorded()
    assert (made.decision, made.idempotency_key) == (first, "k")
    assert (instead.decision, instead.idempotency_key) == (denied, "")
    assert remaining(await env.ask()) == 1


async def test_the_record_names_what_is_not_given_again() -> None:
    env = DecisionEnv()
    first = await env.ask(idempotency_key="k")
    deny(env)
    await env.ask(idempotency_key="k")
    body = list(env.ledger.records("w"))[-1].body
    assert f'"repeats":"{first.decision_id}"'.encode() in body


async def test_a_level_that_people_lowered_holds_for_what_was_allowed_before() -> None:
    env = DecisionEnv()
    first = await env.ask(idempotency_key="k")
    await env.level(AutonomyLevel.DRAFT_ONLY)
    assert effects_of(await env.ask(idempotency_key="k")) == [("deny", "autonomy.draft_only")]
    assert effects_of(await env.ask("look", idempotency_key="l"), first) == [ALLOW, ALLOW]


async def test_a_stale_policy_gives_no_allow_again() -> None:
    env = DecisionEnv()
    await env.ask(idempotency_key="k")
    object.__setattr__(env.point.gatherer, "max_policy_age_seconds", 60.0)
    env.clock.seconds += 61
    assert effects_of(await env.ask(idempotency_key="k")) == [("deny", "pdp.policy_stale")]


async def test_the_last_unit_of_a_budget_is_there_for_the_allow_that_has_it() -> None:
    """Its own reservation is neither in its way nor taken twice, and policy sees the budget without it."""
    env = DecisionEnv(budget(limit=1), limits={"max_tool_calls": 1, "max_same_action": 1})
    ask: dict[str, Any] = {"idempotency_key": "k", "run__run_id": "r1"}
    first = await env.ask(**ask)
    for _ in range(3):
        assert await env.ask(**ask) == first
    facts = [seen["facts"] for seen in env.policy.seen]
    assert {each["budgets"]["b"]["reserved"] for each in facts[::2]} == {0}
    assert {each["run"]["calls"] for each in facts[::2]} == {0}
    assert effects_of(await env.ask(run__run_id="r2")) == [("deny", "budgets.b")]


@pytest.mark.parametrize("status", ["succeeded", "not_executed"])
async def test_an_allow_whose_outcome_is_known_takes_nothing_again(status: str) -> None:
    env = DecisionEnv(budget(limit=1))
    first = await env.ask(idempotency_key="k")
    await env.report(first, status)
    assert await env.ask(idempotency_key="k") == first
    assert len(await env.recorded()) == 1


async def test_an_allow_whose_reservation_expired_takes_nothing_again() -> None:
    env = DecisionEnv(budget(limit=1))
    first = await env.ask(idempotency_key="k")
    env.clock.wall += (RESERVATION_TTL_SECONDS + 1) * SECOND_US
    await expire_due(env.ledger, env.clock)
    assert await env.ask(idempotency_key="k") == first


async def test_an_allow_that_used_an_approval_is_given_again_with_it() -> None:
    env = DecisionEnv(say=lambda _: verdict(ALLOWED, ONE))
    approval_id = await env.approve(await env.ask(idempotency_key="k"))
    allowed = await env.ask(idempotency_key="k")
    assert effects_of(allowed) == [("allow", "approvals.granted")]
    assert await env.ask(idempotency_key="k") == allowed
    assert await env.ask(idempotency_key="k", approval_id=approval_id) == allowed
    env.policy.say = lambda _: verdict(ALLOWED, APPROVAL_REQUIRED)
    assert effects_of(await env.ask(idempotency_key="k")) == [("deny", rule_ids.REPEAT_NEEDS_APPROVAL)]


async def test_another_approval_does_not_make_an_allow_of_a_repetition() -> None:
    """It stays unused: people agreed to one more action, not to this one twice."""
    env = DecisionEnv()
    await env.ask(idempotency_key="k")
    env.policy.say = lambda _: verdict(ALLOWED, ONE)
    asking = await env.ask()
    approval_id = await env.approve(asking)
    again = await env.ask(idempotency_key="k", approval_id=approval_id)
    assert effects_of(again) == [("deny", rule_ids.REPEAT_NEEDS_APPROVAL)]
    assert (await env.approval(asking)).state.value == "approved"
    assert effects_of(await env.ask(approval_id=approval_id)) == [("allow", "approvals.granted")]


async def test_a_probe_that_asks_again_is_still_the_probe() -> None:
    breaker = {"failures_in_a_row": 1, "open_seconds": 30, "scopes": ["tool"]}
    env = DecisionEnv(limits={"breaker": breaker})
    await env.report(await env.ask(), "failed")
    env.clock.wall += 30 * SECOND_US
    probe = await env.ask(idempotency_key="k")
    assert effects_of(probe) == [ALLOW]
    assert await env.ask(idempotency_key="k") == probe
    assert effects_of(await env.ask()) == [("deny", "limits.breaker_open")]


@pytest.mark.parametrize("waited", [0, 31])
async def test_an_open_breaker_lets_no_earlier_allow_through(waited: int) -> None:
    breaker = {"failures_in_a_row": 1, "open_seconds": 30, "scopes": ["tool"]}
    env = DecisionEnv(limits={"breaker": breaker})
    await env.ask(idempotency_key="k")
    await env.report(await env.ask(), "failed")
    env.clock.wall += waited * SECOND_US
    assert effects_of(await env.ask(idempotency_key="k")) == [("deny", "limits.breaker_open")]


async def test_a_run_that_is_over_gives_no_allow_again() -> None:
    env = DecisionEnv(limits={"max_duration_seconds": 60})
    ask: dict[str, Any] = {"idempotency_key": "k", "run__run_id": "r1"}
    first = await env.ask(**ask)
    assert await env.ask(**ask) == first
    env.clock.wall += 61 * SECOND_US
    assert effects_of(await env.ask(**ask)) == [("deny", "limits.max_duration")]


async def test_a_batch_gives_some_again_and_decides_the_others() -> None:
    env = DecisionEnv(budget(limit=3))
    first = await env.ask(idempotency_key="k")
    env.policy.say = lambda seen: verdict(ALLOWED, DENIED) if seen["action"]["tool"] == "mail" else verdict(ALLOWED)
    again, denied, fresh = await env.decide(
        new_request("pay", idempotency_key="k"),
        new_request("mail", idempotency_key="l"),
        new_request("pay", idempotency_key="m"),
    )
    assert again == first
    assert effects_of(denied, fresh) == [("deny", "pay.never"), ALLOW]
    assert remaining(await env.ask()) == 0


async def test_a_revoked_permit_stays_revoked_whoever_clears_the_switch() -> None:
    env = DecisionEnv(budget(limit=2))
    first = await env.ask(idempotency_key="k")
    switch = await env.kill("tool", "pay")
    assert [event.kind for event in await env.ledger.events_of("acme", first.decision_id)] == ["permit.revoked"]
    await env.kill_switches.clear(switch, "acme", "ada", "it is over")
    for later_us in (0, HOUR_US):
        env.clock.wall += later_us
        assert effects_of(await env.ask(idempotency_key="k")) == [("deny", rule_ids.PERMIT_REVOKED)]
    lose_the_engine(env)
    assert effects_of(await env.ask(idempotency_key="k")) == [("deny", rule_ids.PERMIT_REVOKED)]
