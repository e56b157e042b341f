"""What changes between the look at the facts and the commit: decided again from the facts on, never told as it was."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import pytest

from placet.approvals.model import approval_key
from placet.audit.records import Conflict
from placet.budgets.model import OnExceed
from placet.controls.autonomy.model import AutonomyLevel
from placet.controls.versions import version_key
from placet.kernel import rule_ids
from placet.kernel.limits import COMMIT_TRIES_MAX, POLICY_RELOADS_MAX
from placet.kernel.model import Effect, Finding
from tests.support.decision_env import DecisionEnv, budget, effects_of, policies
from tests.support.fakes import ALLOWED, DENIED, FullLedger, ScriptedPolicy, new_request, verdict

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable, Sequence

    from placet.audit.records import Commitment, CommitResult
    from placet.kernel.state import ReadSet, RowKey, Snapshot

ALLOW = ("allow", "tools.listed")
ONE = Finding(Effect.REQUIRE_APPROVAL, "pay.one", "A person must agree", {"quorum": 1, "approver_roles": ["lead"]})


class MovingLedger(FullLedger):
    """A ledger in which something happens just before the next commits, one thing before each."""

    def __init__(self, **said: Any) -> None:
        super().__init__(**said)
        self.happens: list[Callable[[], Awaitable[object]]] = []

    async def commit(self, commitments: Sequence[Commitment]) -> Sequence[CommitResult]:
        if self.happens:
            happens, *later = self.happens
            self.happens.clear()  # not within what happens
            await happens()
            self.happens += later
        return await super().commit(commitments)


class RestlessLedger(FullLedger):
    """A ledger in which something happens just before a row is looked at, so many times."""

    row: RowKey | None = None
    times = 0

    def before(self, row: RowKey, happens: Callable[[], Awaitable[object]], times: int = 1) -> None:
        self.row, self._happens, self.times = row, happens, times

    async def load(self, wanted: ReadSet) -> Snapshot:
        if self.times and self.row in wanted.rows:
            times, self.times = self.times - 1, 0  # not within what happens
            await self._happens()
            self.times = times
        return await super().load(wanted)


class LostLedger(FullLedger):
    """A ledger in which whatever is guarded has changed, however often it is tried."""

    tries = 0

    async def commit(self, commitments: Sequence[Commitment]) -> Sequence[CommitResult]:
        guarded = [each for each in commitments if each.changes]
        if not guarded:
            return await super().commit(commitments)
        self.tries += 1
        return [Conflict(each.changes[0]) for each in commitments]


def moving(*budgets: dict[str, Any], **said: Any) -> tuple[DecisionEnv, list[Callable[[], Awaitable[object]]]]:
    """An env, and what will happen before its next commits."""
    env = DecisionEnv(*budgets, ledger=MovingLedger, **said)
    assert isinstance(env.ledger, MovingLedger)
    return env, env.ledger.happens


async def test_a_budget_that_others_use_up_meanwhile() -> None:
    env, happens = moving(budget(limit=1))
    happens.append(lambda: env.ask("look"))
    assert effects_of(await env.ask()) == [("deny", "budgets.b")]
    used = [seen["facts"]["budgets"]["b"]["reserved"] for seen in env.policy.seen]
    assert used == [0, 0, 1]
    assert len(await env.recorded()) == 2


async def test_a_budget_that_others_touch_but_leave_room_is_no_conflict() -> None:
    env, happens = moving(budget(limit=2))
    happens.append(lambda: env.ask("look"))
    assert effects_of(await env.ask()) == [ALLOW]
    assert len(env.policy.seen) == 2


async def test_a_kill_switch_that_is_set_meanwhile() -> None:
    env, happens = moving(budget(limit=5))
    happens.append(lambda: env.kill("tool", "pay"))
    decisions = await env.decide(new_request("pay"), new_request("look"))
    assert effects_of(*decisions) == [("deny", "kill_switch.tool"), ALLOW]
    assert env.policy.batches == [2, 1]


async def test_a_kill_switch_for_every_tenant_that_is_set_meanwhile() -> None:
    env, happens = moving()
    happens.append(lambda: env.kill("global", tenant=""))
    assert effects_of(await env.ask()) == [("deny", "kill_switch.global")]


async def test_a_kill_switch_that_is_cleared_meanwhile() -> None:
    env, happens = moving()
    switch = await env.kill("tool", "pay")
    happens.append(lambda: env.kill_switches.clear(switch, "acme", "ada", "it is over"))
    assert effects_of(await env.ask()) == [ALLOW]


async def test_another_tenants_kill_switch_is_no_conflict() -> None:
    env, happens = moving()
    happens.append(lambda: env.kill("tool", "pay", "other"))
    assert effects_of(await env.ask()) == [ALLOW]
    assert env.policy.batches == [1]


async def test_a_level_of_autonomy_that_is_lowered_meanwhile() -> None:
    env, happens = moving()
    happens.append(lambda: env.level(AutonomyLevel.DRAFT_ONLY))
    assert effects_of(await env.ask()) == [("deny", "autonomy.draft_only")]
    assert [seen["facts"]["autonomy"] for seen in env.policy.seen] == ["execute", "draft_only"]


async def test_an_approval_that_another_uses_meanwhile() -> None:
    env, happens = moving(say=lambda _: verdict(ALLOWED, ONE))
    approval_id = await env.approve(await env.ask())
    happens.append(lambda: env.ask(approval_id=approval_id))
    assert effects_of(await env.ask(approval_id=approval_id)) == [("deny", "approvals.used")]
    assert [each.decision.effect for each in await env.recorded()].count(Effect.ALLOW) == 1


async def test_an_approval_that_is_withdrawn_meanwhile() -> None:
    env, happens = moving(say=lambda _: verdict(ALLOWED, ONE))
    decision = await env.ask()
    approval_id = await env.approve(decision)
    happens.append(lambda: env.approvals.cancel(env.vote_command(decision)))
    assert effects_of(await env.ask(approval_id=approval_id)) == [("deny", "approvals.cancelled")]


async def test_an_approval_that_is_given_meanwhile_is_for_the_next_time() -> None:
    env, happens = moving(say=lambda _: verdict(ALLOWED, ONE))
    decision = await env.ask(idempotency_key="k")
    happens.append(lambda: env.approve(decision))
    assert effects_of(await env.ask(idempotency_key="k")) == [("allow", "approvals.granted")]


async def test_the_same_key_that_another_has_decided_meanwhile() -> None:
    env, happens = moving(budget(limit=5))
    happens.append(lambda: env.ask(idempotency_key="k"))
    decision = await env.ask(idempotency_key="k")
    [held] = await env.recorded()
    assert held.decision == decision


async def test_the_same_approved_key_that_another_has_used_meanwhile() -> None:
    env, happens = moving(say=lambda _: verdict(ALLOWED, ONE))
    await env.approve(await env.ask(idempotency_key="k"))

    async def nothing() -> None:
        """The commit that finds the key."""

    happens += [nothing, lambda: env.ask(idempotency_key="k")]
    decision = await env.ask(idempotency_key="k")
    assert effects_of(decision) == [("allow", "approvals.granted")]
    recorded = [each.decision for each in await env.recorded()]
    assert recorded[-1] == decision
    assert len(recorded) == 2


async def test_the_same_approved_key_that_another_uses_between_two_looks() -> None:
    """The key still stood for the request for approval; the approval is used when it is looked at."""
    env = DecisionEnv(say=lambda _: verdict(ALLOWED, ONE), ledger=RestlessLedger)
    approval_id = await env.approve(await env.ask(idempotency_key="k"))
    assert isinstance(env.ledger, RestlessLedger)
    env.ledger.before(approval_key("acme", approval_id), lambda: env.ask(idempotency_key="k"))
    decision = await env.ask(idempotency_key="k")
    assert effects_of(decision) == [("allow", "approvals.granted")]
    assert [each.decision for each in await env.recorded()][1:] == [decision]


async def test_the_approval_of_a_key_that_another_key_uses_between_two_looks() -> None:
    env = DecisionEnv(say=lambda _: verdict(ALLOWED, ONE), ledger=RestlessLedger)
    first = await env.ask(idempotency_key="k")
    approval_id = await env.approve(first)
    assert isinstance(env.ledger, RestlessLedger)
    env.ledger.before(approval_key("acme", approval_id), lambda: env.ask(approval_id=approval_id))
    assert await env.ask(idempotency_key="k") == first


async def test_a_revoked_allow_whose_switch_is_cleared_while_it_is_denied_stays_revoked() -> None:
    env, happens = moving(budget(limit=5))
    await env.ask(idempotency_key="k")
    switch = await env.kill("tool", "pay")

    async def nothing() -> None:
        """The commit that finds the key."""

    happens += [nothing, lambda: env.kill_switches.clear(switch, "acme", "ada", "it is over")]
    assert effects_of(await env.ask(idempotency_key="k")) == [("deny", rule_ids.PERMIT_REVOKED)]


@pytest.mark.parametrize("times", [1, COMMIT_TRIES_MAX, 2 * COMMIT_TRIES_MAX - 1])
async def test_controls_that_move_while_an_allow_is_judged_again(times: int) -> None:
    """It is given by the controls that stand; who meets others each time is denied, and the key keeps its allow.

    They move before the look that confirms them, and before that with which the next try begins.
    """
    env = DecisionEnv(budget(limit=5), ledger=RestlessLedger)
    assert isinstance(env.ledger, RestlessLedger)
    first = await env.ask(idempotency_key="k")
    env.ledger.before(version_key("acme"), lambda: env.kill("tool", "other"), times)
    again = await env.ask(idempotency_key="k")
    lost = times > COMMIT_TRIES_MAX
    assert effects_of(again) == [("deny", rule_ids.CONTENTION)] if lost else [ALLOW]
    assert len(await env.recorded()) == 1 + lost
    assert await env.ask(idempotency_key="k") == first


async def test_a_switch_that_is_set_while_an_allow_is_judged_again() -> None:
    env = DecisionEnv(budget(limit=5), ledger=RestlessLedger)
    assert isinstance(env.ledger, RestlessLedger)
    await env.ask(idempotency_key="k")
    env.ledger.before(version_key("acme"), lambda: env.kill("tool", "pay"))
    assert effects_of(await env.ask(idempotency_key="k")) == [("deny", "kill_switch.tool")]


async def test_a_breaker_whose_probe_another_became_meanwhile() -> None:
    breaker = {"failures_in_a_row": 1, "open_seconds": 30, "scopes": ["tool"]}
    env, happens = moving(limits={"breaker": breaker})
    await env.report(await env.ask(), "failed")
    env.clock.wall += 30_000_000
    happens.append(env.ask)
    assert effects_of(await env.ask()) == [("deny", "limits.breaker_open")]


async def test_only_who_rests_on_what_changed_is_decided_again() -> None:
    env, happens = moving(budget(id="calls", scope="tool", limit=1))
    happens.append(lambda: env.ask("mail"))
    decisions = await env.decide(new_request("pay"), new_request("mail"), new_request("look"))
    assert effects_of(*decisions) == [ALLOW, ("deny", "budgets.calls"), ALLOW]
    assert env.policy.batches == [3, 1, 1]


@pytest.mark.parametrize("count", [1, 3])
async def test_who_loses_every_race_is_denied_and_that_is_recorded(count: int) -> None:
    env = DecisionEnv(budget(), ledger=LostLedger)
    decisions = await env.decide(*[new_request("pay") for _ in range(count)])
    assert effects_of(*decisions) == [("deny", rule_ids.CONTENTION)] * count
    assert isinstance(env.ledger, LostLedger)
    assert env.ledger.tries == COMMIT_TRIES_MAX
    assert env.policy.batches == [count] * COMMIT_TRIES_MAX
    assert [each.decision for each in await env.recorded()] == decisions


async def test_who_loses_every_race_for_an_approved_key_may_try_again_with_it() -> None:
    env, happens = moving(say=lambda _: verdict(ALLOWED, ONE))
    await env.approve(await env.ask(idempotency_key="k"))

    async def nothing() -> None:
        """The commit that finds the key."""

    happens += [nothing, *[lambda: env.kill("tool", "other")] * COMMIT_TRIES_MAX]
    decision = await env.ask(idempotency_key="k")
    assert effects_of(decision) == [("deny", rule_ids.CONTENTION)]
    assert effects_of(await env.ask(idempotency_key="k")) == [("allow", "approvals.granted")]


async def test_a_policy_that_is_replaced_before_the_commit_decides_nothing() -> None:
    env = DecisionEnv(budget(limit=5))
    newer = ScriptedPolicy(lambda _: verdict(DENIED, revision="rev2"), "rev2", agent_policies=env.policy.agent_policies)

    def replaced(_: dict[str, Any]) -> Any:
        env.source.policy = newer
        return verdict(ALLOWED)

    env.policy.say = replaced
    decision = await env.ask()
    assert effects_of(decision) == [("deny", "pay.never")]
    assert decision.policy_revision == "rev2"
    assert [each.decision for each in await env.recorded()] == [decision]


@pytest.mark.parametrize("times", [COMMIT_TRIES_MAX, POLICY_RELOADS_MAX - 1, POLICY_RELOADS_MAX, 100])
async def test_a_policy_that_is_replaced_again_and_again(times: int) -> None:
    """The revision that is there in the end decides. One that never rests is no reason to allow."""
    env = DecisionEnv()
    revisions = iter(range(1, times + 1))

    def restless(_: dict[str, Any]) -> Any:
        if (number := next(revisions, None)) is not None:
            env.source.policy = ScriptedPolicy(restless, f"r{number}", agent_policies=env.policy.agent_policies)
        return verdict(ALLOWED, revision=env.source.policy.revision if env.source.policy is not None else "")

    env.policy.say = restless
    decision = await env.ask()
    settles = times < POLICY_RELOADS_MAX
    assert effects_of(decision) == [ALLOW if settles else ("deny", rule_ids.POLICY_CHANGING)]
    assert decision.policy_revision == f"r{min(times, POLICY_RELOADS_MAX)}"
    assert len(await env.recorded()) == 1


async def test_reloads_do_not_count_as_lost_races() -> None:
    env, happens = moving(budget(limit=5))
    revisions = iter(range(1, COMMIT_TRIES_MAX))

    def restless(_: dict[str, Any]) -> Any:
        if (number := next(revisions, None)) is not None:
            env.source.policy = ScriptedPolicy(restless, f"r{number}", agent_policies=env.policy.agent_policies)
        return verdict(ALLOWED)

    env.policy.say = restless
    happens += [lambda: env.kill("tool", "other")] * (COMMIT_TRIES_MAX - 1)
    assert effects_of(await env.ask()) == [ALLOW]


async def test_a_policy_that_is_taken_away_meanwhile_denies() -> None:
    env = DecisionEnv()

    def taken(_: dict[str, Any]) -> Any:
        env.source.policy = None
        return verdict(ALLOWED)

    env.policy.say = taken
    assert effects_of(await env.ask()) == [("deny", rule_ids.ENGINE_UNAVAILABLE)]


async def test_an_approval_that_was_not_needed_lets_no_budget_be_exceeded_meanwhile() -> None:
    """The budget that people let it exceed has room again; it is allowed by policy, and another takes the room."""
    asks = {"on_exceed": OnExceed.REQUIRE_APPROVAL.value, "approval": {"quorum": 1, "approver_roles": ["lead"]}}
    env, happens = moving(budget(limit=1, **asks), approver_groups={"lead": ["lena", "luis"]})
    spent = await env.ask("look")
    approval_id = await env.approve(await env.ask())
    await env.report(spent, "not_executed")
    env.policy.agent_policies = policies(budgets=[budget(limit=1, **asks)], approver_groups={"lead": ["luis"]})
    happens.append(lambda: env.ask("mail"))
    again = await env.ask(approval_id=approval_id)
    assert effects_of(again) == [("require_approval", "budgets.b")]


async def test_people_who_agreed_to_one_budget_did_not_agree_to_another_that_ran_out_meanwhile() -> None:
    asks = {"on_exceed": OnExceed.REQUIRE_APPROVAL.value, "approval": {"quorum": 1, "approver_roles": ["lead"]}}
    env, happens = moving(budget(id="a", scope="tool", limit=1, **asks), budget(id="z", scope="user", limit=2, **asks))
    await env.ask(identity__user="u1")
    asking = await env.ask(identity__user="u2")
    assert effects_of(asking) == [("require_approval", "budgets.a")]
    approval_id = await env.approve(asking)
    await env.ask("look", identity__user="u2")
    happens.append(lambda: env.ask("mail", identity__user="u2"))
    again = await env.ask(identity__user="u2", approval_id=approval_id)
    assert again.effect is Effect.REQUIRE_APPROVAL
    assert {each.rule_id for each in again.findings} >= {"budgets.a", "budgets.z"}
    await env.approve(again)
    presented = await env.ask(identity__user="u2", approval_id=env.vote_command(again).approval_id)
    assert effects_of(presented) == [("allow", "approvals.granted")]
