"""Kill switches, autonomy and corrections of budgets from two replicas on one PostgreSQL at the same time."""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING

import pytest

from placet.audit.records import Committed
from placet.budgets.service import Adjustment
from placet.controls.autonomy.model import AutonomyLevel
from placet.controls.autonomy.service import NewLevel
from placet.controls.kill_switches.model import KillScope, covering
from placet.kernel.errors import NotFoundError, PermissionDeniedError
from tests.storage.making import commitment, proposal
from tests.support.operators import Operators, switch
from tests.support.replacing import replace

if TYPE_CHECKING:
    from placet.storage.postgres.backend import PostgresLedger
    from tests.storage.replicas import Replicas

POLICY = {
    "allowed_tools": ["jira.search"],
    "budgets": [{"id": "calls", "scope": "user", "measure": "calls", "limit": 100, "window": "lifetime"}],
}
ROUNDS = 10
DECISIONS_MAX = 100_000
"""Far more than are made before the switch is seen, however slow the machine is."""


@pytest.fixture
def pair(replicas: Replicas) -> list[PostgresLedger]:
    return [replicas.open(writer) for writer in ("a", "b")]


@pytest.fixture
def operators(pair: list[PostgresLedger]) -> list[Operators]:
    return [Operators(ledger, acme=POLICY) for ledger in pair]


async def test_switches_set_from_both_at_once_are_all_set(operators: list[Operators]) -> None:
    wanted = [switch(KillScope.TOOL, f"tool.{number}") for number in range(24)]
    await asyncio.gather(*(operators[number % 2].kills.set(each) for number, each in enumerate(wanted)))
    for each in operators:
        assert len(await each.kills.list("acme")) == 24


async def test_one_replica_commits_no_allow_that_the_other_has_stopped(operators: list[Operators]) -> None:
    one, two = operators
    for round_number in range(ROUNDS):
        stopped = asyncio.Event()
        late: list[int] = []

        async def decide(start: int, stopped: asyncio.Event = stopped, late: list[int] = late) -> None:
            for number in range(start, start + DECISIONS_MAX):
                after_the_answer = stopped.is_set()
                controls = (await two.state.of({"acme"}))["acme"]
                if covering(controls.switches, proposal(number), two.clock.wall_us()) is not None:
                    return
                allow = replace(commitment(number), changes=controls.expects)
                (result,) = await two.ledger.commit([allow])
                if not isinstance(result, Committed):
                    two.state.forget({"acme"})
                elif after_the_answer:
                    late.append(number)
            raise AssertionError("the switch was never seen")

        deciding = asyncio.ensure_future(decide(round_number * DECISIONS_MAX))
        set_now, _ = await one.kills.set(switch(KillScope.TOOL, "jira.*"))
        stopped.set()
        await deciding
        assert not late
        await one.kills.clear(set_now.switch_id, "acme", "ann", "next round")
        two.state.forget({"acme"})


async def test_of_two_who_agree_at_once_one_clears(operators: list[Operators]) -> None:
    one, two = operators
    set_now, _ = await one.kills.set(switch(KillScope.GLOBAL, tenant=""))
    await one.kills.clear(set_now.switch_id, "", "ann", "mended")
    agreed = await asyncio.gather(
        one.kills.clear(set_now.switch_id, "", "bob", "mended"),
        two.kills.clear(set_now.switch_id, "", "eve", "mended"),
        return_exceptions=True,
    )
    assert sorted(type(each).__name__ for each in agreed) == ["Cleared", NotFoundError.__name__]
    assert not await two.kills.list("")


async def test_one_person_on_two_replicas_is_one_person(operators: list[Operators]) -> None:
    one, two = operators
    raised = NewLevel("acme", "", "", "", AutonomyLevel.EXECUTE, "ann", "r")
    await one.autonomy.set(replace(raised, level=AutonomyLevel.DRAFT_ONLY))
    asked = await asyncio.gather(one.autonomy.set(raised), two.autonomy.set(raised), return_exceptions=True)
    assert sorted(type(each).__name__ for each in asked) == ["LevelSet", PermissionDeniedError.__name__]
    assert [each.rule.level for each in await two.autonomy.list("acme")] == [AutonomyLevel.DRAFT_ONLY]


async def test_what_one_person_corrects_alone_counts_on_both(operators: list[Operators]) -> None:
    wanted = Adjustment("acme", "calls", "user:u_1", 1, "ann", "r")
    done = await asyncio.gather(
        *(operators[number % 2].budgets.adjust(wanted) for number in range(14)), return_exceptions=True
    )
    (listed,) = await operators[0].budgets.list("acme", "calls", 10)
    assert [each.usage.used for each in listed.counters] == [10]
    refused = [each for each in done if isinstance(each, PermissionDeniedError)]
    waiting = [each for each in done if not isinstance(each, BaseException) and each.waiting is not None]
    assert (len(refused), len(waiting)) == (3, 1)
