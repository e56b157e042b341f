"""Asking again for what people are asked about already is the same request for approval, under whatever key."""

from __future__ import annotations

import asyncio
from contextlib import aclosing
from typing import TYPE_CHECKING, Any

import pytest

from placet.approvals import binding as approval_binding
from placet.approvals.model import ApprovalState
from placet.decision.attempt import Request
from placet.kernel.model import Caller, Effect, Finding
from placet.kernel.state import RowQuery, StateTable
from placet.watch.feeds import ChangeFeeds
from placet.watch.hub import Hub
from tests.support.decision_env import HOUR_US, LEAD, LEADS, DecisionEnv, budget, effects_of, policies, usd
from tests.support.fakes import ALLOWED, APPROVAL_REQUIRED, new_request, verdict

if TYPE_CHECKING:
    from placet.approvals.model import Approval
    from placet.kernel.model import Decision

GRANTED = ("allow", "approvals.granted")
ONE = Finding(Effect.REQUIRE_APPROVAL, "pay.one", "A person must agree", {"quorum": 1, "approver_roles": ["lead"]})
ACTION: dict[str, Any] = {
    "action__amount": usd(500),
    "action__params_json": '{"to":"x"}',
    "identity__user": "u1",
    "run__run_id": "r1",
}


def asking(*budgets: dict[str, Any], **said: Any) -> DecisionEnv:
    return DecisionEnv(*budgets, say=lambda _: verdict(ALLOWED, ONE), **said)


def named(decision: Decision) -> str:
    assert decision.approval is not None
    return decision.approval.approval_id


async def kept(env: DecisionEnv) -> list[Approval]:
    """All requests for approval of the tenant, oldest first."""
    page = await env.approvals.listed(RowQuery(StateTable.APPROVALS, "acme", page_size=500))
    return [shown.approval for shown in reversed(page.approvals)]


async def test_the_same_action_under_another_key_waits_for_the_same_people() -> None:
    env = asking()
    first, second = await env.ask(**ACTION), await env.ask(**ACTION)
    assert first.decision_id != second.decision_id
    assert first.approval == second.approval
    [approval] = await kept(env)
    assert (approval.approval_id, approval.decision_id) == (named(first), first.decision_id)
    assert [each.decision for each in await env.recorded()] == [first, second]
    assert await env.ask(**ACTION, idempotency_key="k") == await env.ask(**ACTION, idempotency_key="k")


async def test_what_is_no_part_of_the_action_makes_no_other_request() -> None:
    env = asking()
    more: dict[str, Any] = {"run__trace_id": "t", "run__step": 7, "run__workflow": "w", "model__name": "m"}
    more["evidence"] = [{"uri": "kb://1"}]
    decisions = [await env.ask(**ACTION, **{path: value}) for path, value in more.items()]
    assert len({named(each) for each in (await env.ask(**ACTION), *decisions)}) == 1


@pytest.mark.parametrize(
    "changed",
    [
        {"action__params_json": '{"to":"y"}'},
        {"action__amount": usd(501)},
        {"identity__user": "u2"},
        {"identity__agent": "another"},
        {"identity__roles": ["admin"]},
        {"run__run_id": "r2"},
        {"action__dry_run": True},
    ],
)
async def test_another_action_is_another_request(changed: dict[str, Any]) -> None:
    env = asking()
    first, second = await env.ask(**ACTION), await env.ask(**{**ACTION, **changed})
    assert named(first) != named(second)


SPELLED: list[dict[str, Any]] = [
    {"identity__agent": "Support-Agent"},
    {"identity__agent": " support-agent"},
    {"identity__agent": "s\uff55pport-agent"},
    {"identity__agent": "\uff53upport-agent", "identity__user": "U1"},
    {"identity__user": "u1 "},
    {"identity__roles": ["Clerk", "\uff43lerk"]},
    {"identity__delegation": ["Planner"]},
]
PLAIN: dict[str, Any] = {**ACTION, "identity__roles": ["clerk"], "identity__delegation": ["planner"]}


@pytest.mark.parametrize("spelled", SPELLED)
async def test_another_spelling_of_a_name_makes_no_other_request(spelled: dict[str, Any]) -> None:
    """It is asked for, approved and used once, whoever asked first and whoever uses it."""
    for first, second in ((PLAIN, {**PLAIN, **spelled}), ({**PLAIN, **spelled}, PLAIN)):
        env = asking()
        [one, other] = await env.decide(new_request("pay", **first), new_request("pay", **second, idempotency_key="k"))
        assert named(one) == named(other)
        assert named(await env.ask(**first)) == named(await env.ask(**second)) == named(one)
        assert len(await kept(env)) == 1
        await env.approve(one)
        allowed = await env.ask(**second, idempotency_key="k")
        assert (effects_of(allowed), allowed.action_digest == one.action_digest) == ([GRANTED], False)
        for presented in (first, second):
            assert (await env.ask(**presented, approval_id=named(one))).effect is Effect.DENY
        assert named(await env.ask(**first)) == named(await env.ask(**second)) != named(one)


async def test_all_spellings_at_once_open_one() -> None:
    env = asking()
    decisions = await asyncio.gather(*(env.ask(**{**PLAIN, **each}) for each in SPELLED * 3))
    assert len({named(each) for each in decisions}) == len(await kept(env)) == 1


@pytest.mark.parametrize(
    "changed",
    [
        {"identity__agent": "support-agent2"},
        {"identity__roles": ["clerk", "boss"]},
        {"identity__delegation": ["planner", "planner"]},
        {"run__run_id": "R1"},
        {"action__scope": "Eu"},
        {"action__params_json": '{"to":"X"}'},
    ],
)
async def test_another_name_or_anything_else_in_capitals_is_another_action(changed: dict[str, Any]) -> None:
    env = asking()
    spelled = {**PLAIN, "identity__agent": "Support-Agent", **changed}
    first = await env.ask(**PLAIN)
    assert named(await env.ask(**spelled)) != named(first)
    denied = await env.ask(**spelled, approval_id=await env.approve(first))
    assert effects_of(denied) == [("deny", "approvals.digest_mismatch")]


@pytest.mark.parametrize("agent", ["support-agent", "Support-Agent"])
async def test_a_request_of_before_names_were_folded_is_waited_for_and_used(agent: str) -> None:
    env = asking()
    said = {**ACTION, "identity__agent": agent}
    with pytest.MonkeyPatch.context() as of_before:
        of_before.setattr(approval_binding, "folded", str)
        first = await env.ask(**said)
    assert named(await env.ask(**said)) == named(first)
    assert effects_of(await env.ask(**said, approval_id=await env.approve(first))) == [GRANTED]


async def test_a_request_of_before_is_found_beside_a_newer_one_that_has_ended() -> None:
    env = asking()
    with pytest.MonkeyPatch.context() as of_before:
        of_before.setattr(approval_binding, "folded", str)
        plain = await env.ask(**ACTION, identity__agent="agent")
        capitals = await env.ask(**ACTION, identity__agent="AGENT")
    assert named(plain) != named(capitals)
    await env.approvals.cancel(env.vote_command(plain))
    assert named(await env.ask(**ACTION, identity__agent="AGENT")) == named(capitals)


async def test_another_tenants_is_another_request() -> None:
    env = asking()
    env.policy.agent_policies = dict.fromkeys(("acme", "beta"), env.policy.agent_policies["acme"])
    assert named(await env.ask(**ACTION)) != named(await env.ask(**ACTION, identity__tenant="beta"))


async def test_another_callers_is_another_request() -> None:
    """Nobody votes on what he asked for himself: so the request says who asked."""
    env = asking()
    [first] = await env.decide(new_request("pay", **ACTION))
    [second] = await env.decide(Request(new_request("pay", **ACTION).proposal, Caller("another"), env.clock.wall))
    assert named(first) != named(second)
    assert {each.caller for each in await kept(env)} == {"unauthenticated", "another"}


async def test_one_batch_that_asks_many_times_opens_one() -> None:
    env = asking()
    decisions = await env.decide(*[new_request("pay", **ACTION) for _ in range(50)])
    assert effects_of(*decisions) == [("require_approval", "pay.one")] * 50
    assert len({named(each) for each in decisions}) == len(await kept(env)) == 1


async def test_many_at_once_open_one() -> None:
    env = asking()
    decisions = await asyncio.gather(*(env.ask(**ACTION) for _ in range(20)))
    assert len({named(each) for each in decisions}) == len(await kept(env)) == 1


async def test_all_keys_wait_and_one_of_them_is_allowed() -> None:
    env = asking()
    keys = [f"k{each}" for each in range(4)]
    decisions = [await env.ask(**ACTION, idempotency_key=key) for key in keys]
    await env.approve(decisions[2])
    allowed = await env.ask(**ACTION, idempotency_key="k1")
    assert effects_of(allowed) == [GRANTED]
    assert await env.ask(**ACTION, idempotency_key="k1") == allowed
    assert await env.ask(**ACTION, idempotency_key="k2") == decisions[2]


@pytest.mark.parametrize("ended", ["used", "rejected", "cancelled", "expired"])
async def test_what_has_ended_is_asked_for_anew(ended: str) -> None:
    env = asking()
    first = await env.ask(**ACTION)
    match ended:
        case "used":
            await env.ask(**ACTION, approval_id=await env.approve(first))
        case "rejected":
            await env.approvals.reject(env.vote_command(first))
        case "cancelled":
            await env.approvals.cancel(env.vote_command(first))
        case _:
            env.clock.wall += 24 * HOUR_US
    second = await env.ask(**ACTION)
    assert named(second) != named(first)
    assert named(await env.ask(**ACTION)) == named(second)


async def test_what_was_approved_and_not_used_is_what_is_waited_for() -> None:
    env = asking()
    approval_id = await env.approve(await env.ask(**ACTION))
    again = await env.ask(**ACTION, idempotency_key="k")
    assert (again.effect, named(again)) == (Effect.REQUIRE_APPROVAL, approval_id)
    assert effects_of(await env.ask(**ACTION, idempotency_key="k")) == [GRANTED]


async def test_what_no_longer_suffices_is_asked_for_anew() -> None:
    env = asking()
    first_id = await env.approve(await env.ask(**ACTION))
    env.policy.say = lambda _: verdict(ALLOWED, APPROVAL_REQUIRED)
    second = await env.ask(**ACTION)
    assert named(second) != first_id
    assert named(await env.ask(**ACTION)) == named(second)
    await env.approve(second, *LEADS)
    assert effects_of(await env.ask(**ACTION, approval_id=named(second))) == [GRANTED]


async def test_what_asks_for_others_is_another_request() -> None:
    env = asking()
    first = await env.ask(**ACTION)
    boss = Finding(Effect.REQUIRE_APPROVAL, "pay.boss", "", {"quorum": 1, "approver_roles": ["boss"]})
    env.policy.say = lambda _: verdict(ALLOWED, boss)
    second = await env.ask(**ACTION)
    assert named(second) != named(first)
    assert (await env.approval(first)).state is ApprovalState.PENDING


async def test_a_shorter_time_is_another_request() -> None:
    env = asking()
    first = await env.ask(**ACTION)
    env.policy.agent_policies = policies(approvals={"pay": {"expires_after_seconds": 60}})
    second = await env.ask(**ACTION)
    assert named(second) != named(first)
    assert second.approval is not None
    assert second.approval.expires_at_us == env.clock.wall + 60_000_000


async def test_a_request_that_another_batch_opened_a_moment_later_is_the_same_request() -> None:
    """A batch reads its time before it looks for open requests. A replica may open one in between."""
    env = asking()
    first = await env.ask(**ACTION)
    env.clock.wall -= 5_000_000
    assert named(await env.ask(**ACTION)) == named(first)


async def test_people_who_were_not_asked_about_a_budget_are_not_taken_to_have_been() -> None:
    asks = {"on_exceed": "require_approval", "approval": {"quorum": 1, "approver_roles": ["lead"]}}
    env = asking(budget(limit=1, **asks))
    first = await env.ask(**ACTION)
    env.policy.say = lambda _: verdict(ALLOWED)
    await env.ask("look")
    env.policy.say = lambda _: verdict(ALLOWED, ONE)
    second = await env.ask(**ACTION)
    assert named(second) != named(first)
    assert (await env.approval(second)).override


async def test_an_approver_who_was_taken_out_leaves_nothing_to_wait_for() -> None:
    env = asking(approver_groups={"lead": [LEAD.id, "luis"]})
    first = await env.ask(**ACTION)
    await env.approve(first)
    env.policy.agent_policies = policies(approver_groups={"lead": ["luis"]})
    second = await env.ask(**ACTION)
    assert named(second) != named(first)


async def test_a_vote_between_the_look_and_the_commit() -> None:
    env = asking()
    first = await env.ask(**ACTION)
    voting = env.ledger.commit

    async def commit(commitments: Any) -> Any:
        env.ledger.commit = voting  # type: ignore[method-assign]
        await env.approvals.reject(env.vote_command(first))
        return await env.ledger.commit(commitments)

    env.ledger.commit = commit  # type: ignore[method-assign]
    second = await env.ask(**ACTION)
    assert named(second) != named(first)


async def test_asking_again_is_no_news_to_those_who_decide() -> None:
    env = asking()
    first = await env.ask(**ACTION)
    await env.ask(**ACTION)
    await env.approve(first)
    hub = Hub(env.ledger, env.errors.append)
    async with aclosing(ChangeFeeds(env.ledger, hub, env.clock).approvals("acme", {})) as changes:
        seen = [await anext(changes) for _ in range(2)]
    assert {each.approval.approval_id for each in seen if each.approval is not None} == {named(first)}
    assert [max(each.cursor.values()) for each in seen] == [1, 3]


async def test_each_decision_is_followed_to_the_use_of_what_it_waits_for() -> None:
    env = asking()
    await env.ask(**ACTION)
    second = await env.ask(**ACTION)
    await env.ask(**ACTION, approval_id=await env.approve(second))
    hub = Hub(env.ledger, env.errors.append)
    following = ChangeFeeds(env.ledger, hub, env.clock).decision("acme", second.decision_id, {})
    assert [each.state.value async for each in following] == ["pending", "approved", "used"]
