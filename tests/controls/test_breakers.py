"""Circuit breakers on the way of decisions: outcomes open them, one probe closes them."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import pytest

from placet.actions.outcome import OutcomeStatus
from placet.controls.breakers.model import Phase
from placet.kernel.errors import AbortedError
from placet.kernel.model import Decision
from placet.kernel.state import ReadSet, RowKey, StateTable
from placet.outcomes.service import OutcomeReceipt
from tests.support.fakes import DENIED, new_request, verdict
from tests.support.outcome_env import BREAKER, SECOND_US, OutcomeEnv, report

if TYPE_CHECKING:
    from collections.abc import Mapping

OK = OutcomeStatus.SUCCEEDED
FAILED = OutcomeStatus.FAILED
TOOL = RowKey(StateTable.BREAKERS, "acme", "tool:pay")


def watched(**said: Any) -> OutcomeEnv:
    return OutcomeEnv(limits={"breaker": {**BREAKER, **said}})


async def phase(env: OutcomeEnv, key: RowKey = TOOL) -> str:
    row = (await env.ledger.load(ReadSet([key]))).rows.get(key)
    return row.status if row is not None else ""


async def failing(env: OutcomeEnv, times: int = 2, status: OutcomeStatus = FAILED, **changes: Any) -> None:
    ids = [await env.allow("pay", **changes) for _ in range(times)]
    told = await env.service.report([report(each, status) for each in ids])
    assert all(isinstance(each, OutcomeReceipt) for each in told), told


async def rule_of(env: OutcomeEnv, tool: str = "pay", **changes: Any) -> tuple[str, str]:
    decision = await env.ask(tool, **changes)
    assert isinstance(decision, Decision)
    return decision.effect.value, decision.rule_id


OPEN = ("deny", "limits.breaker_open")
ALLOW = ("allow", "tools.listed")


async def test_failures_in_a_row_open_the_tools_breaker_for_that_tool_and_tenant_alone() -> None:
    env = watched()
    await failing(env)
    assert await phase(env) == Phase.OPEN
    assert await rule_of(env) == OPEN
    assert await rule_of(env, "look") == ALLOW
    assert await rule_of(env, identity__tenant="globex") == ALLOW


@pytest.mark.parametrize(("status", "said"), [(OutcomeStatus.UNKNOWN, OPEN), (OutcomeStatus.NOT_EXECUTED, ALLOW)])
async def test_what_nobody_knows_counts_as_failed_and_what_never_ran_as_nothing(
    status: OutcomeStatus, said: tuple[str, str]
) -> None:
    env = watched()
    await failing(env, status=status)
    assert await rule_of(env) == said


async def test_a_breaker_of_the_run_stops_the_run_and_one_of_the_tenant_everything() -> None:
    env = watched(scopes=["run", "tenant"], failures_in_a_row=2)
    await failing(env, 1, run__run_id="r_1")
    await failing(env, 1, run__run_id="r_2")
    assert await rule_of(env, "look", run__run_id="r_3") == OPEN
    env = watched(scopes=["run"])
    await failing(env, run__run_id="r_1")
    assert await rule_of(env, "look", run__run_id="r_1") == OPEN
    assert await rule_of(env, run__run_id="r_2") == ALLOW


async def test_after_a_while_one_call_of_many_is_the_probe() -> None:
    env = watched()
    await failing(env)
    env.clock.wall += 30 * SECOND_US
    told = await env.point.decide([new_request("pay") for _ in range(10)])
    rules = [each.rule_id for each in told if isinstance(each, Decision)]
    assert sorted(rules) == ["limits.breaker_open"] * 9 + ["tools.listed"]
    assert await phase(env) == Phase.HALF_OPEN


@pytest.mark.parametrize(("status", "after"), [(OK, ALLOW), (FAILED, OPEN)])
async def test_the_probes_outcome_closes_or_opens_it(status: OutcomeStatus, after: tuple[str, str]) -> None:
    env = watched()
    await failing(env)
    env.clock.wall += 30 * SECOND_US
    await failing(env, 1, status)
    assert await rule_of(env) == after


async def test_a_call_that_policy_denies_is_no_probe() -> None:
    env = watched()
    await failing(env)
    env.clock.wall += 30 * SECOND_US
    say, env.policy.say = env.policy.say, lambda _: verdict(DENIED)
    assert await rule_of(env) == ("deny", "pay.never")
    env.policy.say = say
    assert await rule_of(env) == ALLOW


async def test_outcomes_of_calls_from_before_it_opened_change_nothing() -> None:
    env = watched()
    early = await env.allow("pay")
    await failing(env)
    await env.report(early, OK)
    assert await phase(env) == Phase.OPEN


async def test_draft_only_lets_dry_runs_pass() -> None:
    env = watched(effect="draft_only")
    await failing(env)
    assert await rule_of(env) == OPEN
    assert await rule_of(env, action__dry_run=True) == ALLOW
    env = watched(effect="deny")
    await failing(env)
    assert await rule_of(env, action__dry_run=True) == OPEN


async def test_policy_sees_the_breaker_and_the_error_rate() -> None:
    def tool(document: Mapping[str, Any]) -> tuple[Any, Any]:
        return document["facts"]["tool"]["breaker"], document["facts"]["tool"]["error_rate"]

    env = watched(failures_in_a_row=3)
    await failing(env, 1, OK)
    await failing(env, 2)
    await env.ask("pay")
    assert tool(env.policy.seen[-1]) == ("closed", 0.6666)
    await failing(env, 1)
    await env.ask("pay")
    assert tool(env.policy.seen[-1]) == ("open", 0.75)


async def test_a_tenant_without_breakers_keeps_none() -> None:
    env = OutcomeEnv()
    await failing(env, 5)
    assert await phase(env) == ""
    assert await rule_of(env) == ALLOW


async def contended(env: OutcomeEnv, decision_id: str, status: OutcomeStatus) -> Any:
    """What a report is told while other replicas count at the same breaker all the time."""

    async def others() -> None:
        await env.touch(TOOL)
        env.raced.after_read = others

    env.raced.after_read = others
    told = await env.report(decision_id, status)
    env.raced.after_read = None
    return told


async def test_a_success_is_taken_although_others_count_all_the_time_and_a_failure_is_to_be_sent_again() -> None:
    env = watched(failures_in_a_row=9)
    await failing(env, 1)
    first, second = await env.allow("pay"), await env.allow("pay")
    assert await contended(env, first, OK) == OutcomeReceipt(repeated=False, late=False, exceeded_budget_ids=())
    assert isinstance(await contended(env, second, FAILED), AbortedError)
    assert await env.report(second, FAILED) == OutcomeReceipt(repeated=False, late=False, exceeded_budget_ids=())
