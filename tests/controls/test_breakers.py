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
from tests.support.desk import BREAKER, SECOND_US, Desk, report
from tests.support.fakes import DENIED, asked, verdict

if TYPE_CHECKING:
    from collections.abc import Mapping

OK = OutcomeStatus.SUCCEEDED
FAILED = OutcomeStatus.FAILED
TOOL = RowKey(StateTable.BREAKERS, "acme", "tool:pay")


def watched(**said: Any) -> Desk:
    return Desk(limits={"breaker": {**BREAKER, **said}})


async def phase(desk: Desk, key: RowKey = TOOL) -> str:
    row = (await desk.ledger.load(ReadSet([key]))).rows.get(key)
    return row.status if row is not None else ""


async def failing(desk: Desk, times: int = 2, status: OutcomeStatus = FAILED, **changes: Any) -> None:
    ids = [await desk.allow("pay", **changes) for _ in range(times)]
    told = await desk.desk.take([report(each, status) for each in ids])
    assert all(isinstance(each, OutcomeReceipt) for each in told), told


async def rule_of(desk: Desk, tool: str = "pay", **changes: Any) -> tuple[str, str]:
    decision = await desk.ask(tool, **changes)
    assert isinstance(decision, Decision)
    return decision.effect.value, decision.rule_id


OPEN = ("deny", "limits.breaker_open")
ALLOW = ("allow", "tools.listed")


async def test_failures_in_a_row_open_the_tools_breaker_for_that_tool_and_tenant_alone() -> None:
    desk = watched()
    await failing(desk)
    assert await phase(desk) == Phase.OPEN
    assert await rule_of(desk) == OPEN
    assert await rule_of(desk, "look") == ALLOW
    assert await rule_of(desk, identity__tenant="globex") == ALLOW


@pytest.mark.parametrize(("status", "said"), [(OutcomeStatus.UNKNOWN, OPEN), (OutcomeStatus.NOT_EXECUTED, ALLOW)])
async def test_what_nobody_knows_counts_as_failed_and_what_never_ran_as_nothing(
    status: OutcomeStatus, said: tuple[str, str]
) -> None:
    desk = watched()
    await failing(desk, status=status)
    assert await rule_of(desk) == said


async def test_a_breaker_of_the_run_stops_the_run_and_one_of_the_tenant_everything() -> None:
    desk = watched(scopes=["run", "tenant"], failures_in_a_row=2)
    await failing(desk, 1, run__run_id="r_1")
    await failing(desk, 1, run__run_id="r_2")
    assert await rule_of(desk, "look", run__run_id="r_3") == OPEN
    desk = watched(scopes=["run"])
    await failing(desk, run__run_id="r_1")
    assert await rule_of(desk, "look", run__run_id="r_1") == OPEN
    assert await rule_of(desk, run__run_id="r_2") == ALLOW


async def test_after_a_while_one_call_of_many_is_the_probe() -> None:
    desk = watched()
    await failing(desk)
    desk.clock.wall += 30 * SECOND_US
    told = await desk.point.decide([asked("pay") for _ in range(10)])
    rules = [each.rule_id for each in told if isinstance(each, Decision)]
    assert sorted(rules) == ["limits.breaker_open"] * 9 + ["tools.listed"]
    assert await phase(desk) == Phase.HALF_OPEN


@pytest.mark.parametrize(("status", "after"), [(OK, ALLOW), (FAILED, OPEN)])
async def test_the_probes_outcome_closes_or_opens_it(status: OutcomeStatus, after: tuple[str, str]) -> None:
    desk = watched()
    await failing(desk)
    desk.clock.wall += 30 * SECOND_US
    await failing(desk, 1, status)
    assert await rule_of(desk) == after


async def test_a_call_that_policy_denies_is_no_probe() -> None:
    desk = watched()
    await failing(desk)
    desk.clock.wall += 30 * SECOND_US
    say, desk.policy.say = desk.policy.say, lambda _: verdict(DENIED)
    assert await rule_of(desk) == ("deny", "pay.never")
    desk.policy.say = say
    assert await rule_of(desk) == ALLOW


async def test_outcomes_of_calls_from_before_it_opened_change_nothing() -> None:
    desk = watched()
    early = await desk.allow("pay")
    await failing(desk)
    await desk.tell(early, OK)
    assert await phase(desk) == Phase.OPEN


async def test_draft_only_lets_dry_runs_pass() -> None:
    desk = watched(effect="draft_only")
    await failing(desk)
    assert await rule_of(desk) == OPEN
    assert await rule_of(desk, action__dry_run=True) == ALLOW
    desk = watched(effect="deny")
    await failing(desk)
    assert await rule_of(desk, action__dry_run=True) == OPEN


async def test_policy_sees_the_breaker_and_the_error_rate() -> None:
    def tool(document: Mapping[str, Any]) -> tuple[Any, Any]:
        return document["facts"]["tool"]["breaker"], document["facts"]["tool"]["error_rate"]

    desk = watched(failures_in_a_row=3)
    await failing(desk, 1, OK)
    await failing(desk, 2)
    await desk.ask("pay")
    assert tool(desk.policy.seen[-1]) == ("closed", 0.6666)
    await failing(desk, 1)
    await desk.ask("pay")
    assert tool(desk.policy.seen[-1]) == ("open", 0.75)


async def test_a_tenant_without_breakers_keeps_none() -> None:
    desk = Desk()
    await failing(desk, 5)
    assert await phase(desk) == ""
    assert await rule_of(desk) == ALLOW


async def contended(desk: Desk, decision_id: str, status: OutcomeStatus) -> Any:
    """What a report is told while other replicas count at the same breaker all the time."""

    async def others() -> None:
        await desk.touch(TOOL)
        desk.raced.after_look = others

    desk.raced.after_look = others
    told = await desk.tell(decision_id, status)
    desk.raced.after_look = None
    return told


async def test_a_success_is_taken_although_others_count_all_the_time_and_a_failure_is_to_be_sent_again() -> None:
    desk = watched(failures_in_a_row=9)
    await failing(desk, 1)
    first, second = await desk.allow("pay"), await desk.allow("pay")
    assert await contended(desk, first, OK) == OutcomeReceipt(repeated=False, late=False, overspent=())
    assert isinstance(await contended(desk, second, FAILED), AbortedError)
    assert await desk.tell(second, FAILED) == OutcomeReceipt(repeated=False, late=False, overspent=())
