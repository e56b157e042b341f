"""Decisions that people are asked about: one exact action, once, while policy and everything else still agree."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import pytest

from placet.approvals.model import ApprovalState
from placet.kernel.limits import APPROVAL_TTL_SECONDS_DEFAULT
from placet.kernel.model import Effect, Finding
from placet.outcomes.expiry import purge_idempotency_keys
from tests.support.decision_env import HOUR_US, LEAD, LEADS, SECOND_US, DecisionEnv, budget, effects_of, remaining, usd
from tests.support.fakes import ALLOWED, APPROVAL_REQUIRED, DENIED, new_request, verdict

if TYPE_CHECKING:
    from placet.kernel.model import Decision

ALLOW = ("allow", "tools.listed")
GRANTED = ("allow", "approvals.granted")
ONE = Finding(Effect.REQUIRE_APPROVAL, "pay.one", "A person must agree", {"quorum": 1, "approver_roles": ["lead"]})
ACTION: dict[str, Any] = {
    "action__amount": usd(500),
    "action__params_json": '{"to":"x"}',
    "action__environment": "prod",
    "identity__user": "u1",
    "run__run_id": "r1",
}


def asking(*budgets: dict[str, Any], **said: Any) -> DecisionEnv:
    """Approvals whose policy always wants one person."""
    return DecisionEnv(*budgets, say=lambda _: verdict(ALLOWED, ONE), **said)


async def approved(env: DecisionEnv, **changes: Any) -> tuple[Decision, str]:
    """A decision that asked, and the approval that was given."""
    decision = await env.ask(**changes)
    return decision, await env.approve(decision)


async def test_a_request_for_approval_is_kept_with_the_decision_that_asks() -> None:
    env = asking(budget(limit=5))
    decision = await env.ask(**ACTION)
    assert effects_of(decision) == [("require_approval", "pay.one")]
    kept = await env.approval(decision)
    assert (kept.state, kept.decision_id, kept.action_digest) == (
        ApprovalState.PENDING,
        decision.decision_id,
        decision.action_digest,
    )
    assert (kept.rule_id, kept.quorum, kept.approver_roles, kept.override) == ("pay.one", 1, ("lead",), False)
    assert kept.expires_at_us == env.clock.wall + APPROVAL_TTL_SECONDS_DEFAULT * SECOND_US
    [event] = await env.ledger.events_of("acme", kept.approval_id)
    assert event.kind == "decision.made"
    assert remaining(await env.ask("look")) == 5


async def test_an_approval_is_used_once() -> None:
    env = asking()
    decision, approval_id = await approved(env, **ACTION)
    allowed = await env.ask(**ACTION, approval_id=approval_id)
    assert effects_of(allowed) == [GRANTED]
    assert allowed.used_approval_id == approval_id
    assert effects_of(await env.ask(**ACTION, approval_id=approval_id)) == [("deny", "approvals.used")]
    kept = await env.approval(decision)
    assert (kept.state, kept.used_by) == (ApprovalState.USED, allowed.decision_id)
    events = await env.ledger.events_of("acme", approval_id)
    assert [event.kind for event in events] == ["decision.made", "approval.voted", "decision.made"]


async def test_one_batch_that_presents_an_approval_100_times_gets_one_allow() -> None:
    env = asking()
    _, approval_id = await approved(env, **ACTION)
    decisions = await env.decide(*[new_request("pay", **ACTION, approval_id=approval_id) for _ in range(100)])
    assert effects_of(*decisions) == [GRANTED, *[("deny", "approvals.used")] * 99]


async def test_the_same_key_many_times_in_a_batch_is_allowed_once() -> None:
    env = asking()
    await env.approve(await env.ask(**ACTION, idempotency_key="k"))
    decisions = await env.decide(*[new_request("pay", **ACTION, idempotency_key="k") for _ in range(20)])
    assert {decision.decision_id for decision in decisions} == {decisions[0].decision_id}
    assert effects_of(decisions[0]) == [GRANTED]


async def test_the_same_key_and_the_approval_by_name_are_one_use() -> None:
    env = asking()
    first = await env.ask(**ACTION, idempotency_key="k")
    approval_id = await env.approve(first)
    same, other = await env.decide(
        new_request("pay", **ACTION, idempotency_key="k"), new_request("pay", **ACTION, approval_id=approval_id)
    )
    assert sorted([same.rule_id, other.rule_id]) != ["approvals.granted"] * 2
    assert [same.effect, other.effect].count(Effect.ALLOW) == 1


async def test_another_tenants_approval_is_unknown() -> None:
    env = asking()
    env.policy.agent_policies = dict.fromkeys(("acme", "other"), env.policy.agent_policies["acme"])
    _, approval_id = await approved(env)
    assert (await env.ask(identity__tenant="other", approval_id=approval_id)).rule_id == "approvals.unknown"


@pytest.mark.parametrize("written_down", [True, False])
async def test_an_approval_ends_at_its_time(written_down: bool) -> None:  # noqa: FBT001 - it is a case
    env = asking()
    decision, approval_id = await approved(env, **ACTION)
    env.clock.wall = (await env.approval(decision)).expires_at_us
    if written_down:
        await env.approvals.expire_due()
    assert (await env.ask(**ACTION, approval_id=approval_id)).rule_id == "approvals.expired"
    env.clock.wall -= 1
    rule_id = (await env.ask(**ACTION, approval_id=approval_id)).rule_id
    assert rule_id == ("approvals.expired" if written_down else "approvals.granted")


async def test_what_policy_denies_by_now_stays_denied() -> None:
    env = asking()
    decision, approval_id = await approved(env, **ACTION)
    env.policy.say = lambda _: verdict(ALLOWED, ONE, DENIED)
    assert effects_of(await env.ask(**ACTION, approval_id=approval_id)) == [("deny", "pay.never")]
    assert (await env.approval(decision)).state is ApprovalState.APPROVED


async def test_what_policy_allows_by_now_is_an_allow() -> None:
    env = asking()
    _, approval_id = await approved(env, **ACTION)
    env.policy.say = lambda _: verdict(ALLOWED)
    assert effects_of(await env.ask(**ACTION, approval_id=approval_id)) == [ALLOW]


async def test_an_approval_that_policy_looks_at_is_used_by_its_allow() -> None:
    looks = lambda seen: verdict(ALLOWED) if "approval" in seen["facts"] else verdict(ALLOWED, ONE)  # noqa: E731
    env = DecisionEnv(say=looks)
    decision, approval_id = await approved(env, **ACTION)
    decisions = await env.decide(*[new_request("pay", **ACTION, approval_id=approval_id) for _ in range(10)])
    assert effects_of(*decisions) == [ALLOW, *[("deny", "approvals.used")] * 9]
    assert (await env.approval(decision)).used_by == decisions[0].decision_id


async def test_where_more_people_must_agree_by_now_they_are_asked_anew() -> None:
    env = asking()
    first, approval_id = await approved(env, **ACTION)
    env.policy.say = lambda _: verdict(ALLOWED, APPROVAL_REQUIRED)
    again = await env.ask(**ACTION, approval_id=approval_id)
    assert effects_of(again) == [("require_approval", "pay.large")]
    assert again.approval is not None
    assert again.approval.quorum == 2
    assert env.vote_command(again).approval_id != approval_id
    assert (await env.approval(first)).state is ApprovalState.APPROVED
    other_id = await env.approve(again, *LEADS)
    assert effects_of(await env.ask(**ACTION, approval_id=other_id)) == [GRANTED]


async def test_where_others_must_agree_by_now_they_are_asked_anew() -> None:
    env = asking()
    _, approval_id = await approved(env, **ACTION)
    boss = Finding(Effect.REQUIRE_APPROVAL, "pay.boss", "", {"quorum": 1, "approver_roles": ["boss"]})
    env.policy.say = lambda _: verdict(ALLOWED, boss)
    assert (await env.ask(**ACTION, approval_id=approval_id)).effect is Effect.REQUIRE_APPROVAL


async def test_a_key_whose_quorum_rose_stands_for_the_new_request() -> None:
    env = asking()
    first = await env.ask(**ACTION, idempotency_key="k")
    await env.approve(first)
    env.policy.say = lambda _: verdict(ALLOWED, APPROVAL_REQUIRED)
    second = await env.ask(**ACTION, idempotency_key="k")
    assert second.effect is Effect.REQUIRE_APPROVAL
    assert await env.ask(**ACTION, idempotency_key="k") == second
    await env.approve(second, *LEADS)
    assert effects_of(await env.ask(**ACTION, idempotency_key="k")) == [GRANTED]


async def test_who_agreed_before_the_budget_was_exhausted_did_not_agree_to_that() -> None:
    asks = {"on_exceed": "require_approval", "approval": {"quorum": 1, "approver_roles": ["lead"]}}
    env = asking(budget(limit=1, **asks))
    _, approval_id = await approved(env, **ACTION)
    env.policy.say = lambda _: verdict(ALLOWED)
    await env.ask()
    env.policy.say = lambda _: verdict(ALLOWED, ONE)
    again = await env.ask(**ACTION, approval_id=approval_id)
    assert effects_of(again) == [("require_approval", "budgets.b")]
    assert (await env.approval(again)).override


async def test_one_batch_of_approved_actions_does_not_pass_a_budget_that_nobody_agreed_to_pass() -> None:
    asks = {"on_exceed": "require_approval", "approval": {"quorum": 1, "approver_roles": ["lead"]}}
    env = asking(budget(limit=1, **asks))
    actions = [{**ACTION, "run__run_id": each} for each in ("r1", "r2")]
    ids = [await env.approve(each) for each in await env.decide(*[new_request("pay", **each) for each in actions])]
    presented = zip(actions, ids, strict=True)
    decisions = await env.decide(*[new_request("pay", **action, approval_id=each) for action, each in presented])
    assert effects_of(*decisions) == [GRANTED, ("require_approval", "budgets.b")]


async def test_policy_sees_the_approval_that_is_presented() -> None:
    env = asking()
    _, approval_id = await approved(env, **ACTION)
    await env.ask(**ACTION, approval_id=approval_id)
    before, after = env.policy.seen
    assert "approval" not in before["facts"]
    assert after["facts"]["approval"] == {
        "id": approval_id,
        "approvers": [LEAD.id],
        "quorum": 1,
        "created_at": "2026-04-24T18:33:01.123456Z",
    }


async def test_an_approval_lets_nothing_pass_that_the_files_do_not_know() -> None:
    env = asking()
    _, approval_id = await approved(env, **ACTION)
    env.policy.agent_policies = {}
    assert (await env.ask(**ACTION, approval_id=approval_id)).rule_id == "pdp.unknown_tenant"


async def test_a_key_is_swept_when_all_that_it_stood_for_is_old_though_the_clock_went_back() -> None:
    env = asking()
    asked_at_us = env.clock.wall
    await env.approve(await env.ask(**ACTION, idempotency_key="k"))
    env.clock.wall = asked_at_us - HOUR_US
    allowed = await env.ask(**ACTION, idempotency_key="k")
    assert effects_of(allowed) == [GRANTED]
    env.clock.wall = asked_at_us + 24 * HOUR_US
    assert await purge_idempotency_keys(env.ledger, env.clock, 24) == 0
    assert await env.ask(**ACTION, idempotency_key="k") == allowed
    env.clock.wall += 1
    assert await purge_idempotency_keys(env.ledger, env.clock, 24) == 1
    assert len(await env.recorded()) == 2
