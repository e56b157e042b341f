"""What reports give back is bounded by window and by run, and everything beyond it counts as used and is told."""

from __future__ import annotations

from decimal import Decimal
from typing import TYPE_CHECKING, Any

import pytest

from placet.actions.outcome import OutcomeStatus
from placet.audit.records import RecordKind
from placet.audit.verification.verify_trail import verify_trail
from placet.budgets.give_backs import GiveBackBounds
from placet.budgets.service import BudgetAdmin
from placet.commands.execute import ControlCommands
from placet.kernel.model import Decision
from placet.outcomes.expiry import expire_due
from placet.outcomes.service import OutcomeReceipt, OutcomeService
from tests.support.fakes import new_request
from tests.support.outcome_env import MONEY, SECOND_US, OutcomeEnv, report
from tests.support.replacing import replace

if TYPE_CHECKING:
    from placet.decision.replies import Answer
    from placet.kernel.model import Effect
    from placet.outcomes.service import OutcomeReply

MANY = GiveBackBounds(max_per_run=1_000)
NOTHING_DONE = (OutcomeStatus.NOT_EXECUTED, OutcomeStatus.FAILED)


class Bounded(OutcomeEnv):
    """An env in which give-backs are bounded."""

    def __init__(self, bounds: GiveBackBounds | None = MANY, **sections: Any) -> None:
        super().__init__(**{"budgets": [MONEY], **sections})
        self.service = OutcomeService(self.ledger, self.source, self.clock, bounds=bounds)

    async def ask(self, tool: str = "look", **changes: Any) -> Answer:
        return await super().ask(tool, **{"run__run_id": "run_1", **changes})

    async def kept(self, decision_id: str, status: OutcomeStatus, **fields: Any) -> tuple[str, ...]:
        reply = await self.report(decision_id, status, **fields)
        assert isinstance(reply, OutcomeReceipt), reply
        return reply.kept

    async def shown(self, budget_id: str = "money") -> tuple[int, int, int, int]:
        """What `placet budgets show` shows: used, reserved, given back and kept."""
        admin = BudgetAdmin(ControlCommands(self.ledger, self.clock, self.controls), self.source)
        [listed] = await admin.list("acme", budget_id, 10)
        [counter] = listed.counters
        return counter.usage.used, counter.usage.reserved, counter.given_back, counter.kept

    async def with_permit(self, minor_units: int) -> str:
        """Decide a payment whose permit was asked for."""
        request = new_request("pay", action__amount={"currency_code": "USD", "minor_units": minor_units})
        [decision] = await self.point.decide([replace(request, permit=True)])
        assert isinstance(decision, Decision)
        return decision.decision_id

    def given_back(self) -> list[tuple[int, int, str]]:
        """The amounts and the reason of each record of an outcome."""
        bodies = self.bodies(RecordKind.OUTCOME_REPORTED)
        return [
            (part["given"], part["kept"], part.get("reason", ""))
            for body in bodies
            for part in body.get("given_back", [])
        ]

    def proven(self) -> bool:
        return verify_trail(self.ledger, lambda *_: True, state=True).ok


@pytest.mark.parametrize("status", NOTHING_DONE)
async def test_one_limit_is_given_back_in_a_window_and_no_more(status: OutcomeStatus) -> None:
    env = Bounded()
    moved = 0
    for _ in range(30):
        decision = await env.ask("pay", action__amount={"currency_code": "USD", "minor_units": 100})
        assert isinstance(decision, Decision)
        if decision.effect != "allow":
            break
        moved += 100
        await env.report(decision.decision_id, status)
    assert moved == 200
    assert await env.shown() == (100, 0, 100, 100)
    assert env.proven()


async def test_a_report_that_is_over_the_bound_in_part_gives_back_the_rest() -> None:
    env = Bounded(GiveBackBounds(max_percent=70))
    assert await env.kept(await env.pay(50), OutcomeStatus.NOT_EXECUTED) == ()
    assert await env.kept(await env.pay(50), OutcomeStatus.SUCCEEDED, amount_minor_units=10) == ("money",)
    assert env.given_back() == [(50, 0, ""), (20, 20, "window_bound")]
    assert await env.shown() == (30, 0, 70, 20)


async def test_the_same_report_again_says_the_same() -> None:
    env = Bounded(GiveBackBounds(max_percent=0))
    decision_id = await env.pay(50)
    first = await env.report(decision_id, OutcomeStatus.NOT_EXECUTED)
    again = await env.report(decision_id, OutcomeStatus.NOT_EXECUTED)
    assert isinstance(first, OutcomeReceipt)
    assert isinstance(again, OutcomeReceipt)
    assert (first.kept, again.kept, again.repeated) == (("money",), ("money",), True)
    assert await env.shown() == (50, 0, 0, 50)


async def test_a_run_gives_back_a_number_of_times() -> None:
    env = Bounded(GiveBackBounds(max_per_run=2))
    kept = [await env.kept(await env.pay(1), OutcomeStatus.NOT_EXECUTED) for _ in range(3)]
    assert kept == [(), (), ("money",)]
    other = await env.pay(1, run__run_id="another")
    assert await env.kept(other, OutcomeStatus.NOT_EXECUTED) == ()
    assert [reason for *_, reason in env.given_back()] == ["", "", "run_bound", ""]


async def test_calls_without_a_run_are_bounded_by_the_window_alone() -> None:
    env = Bounded(GiveBackBounds(max_per_run=0))
    assert await env.kept(await env.pay(60, run__run_id=""), OutcomeStatus.NOT_EXECUTED) == ()
    assert await env.kept(await env.pay(60, run__run_id=""), OutcomeStatus.NOT_EXECUTED) == ("money",)


async def test_corrected_estimates_of_cost_are_not_counted_in_the_run() -> None:
    cost = {"id": "cost", "scope": "tenant", "measure": "cost", "limit": 1, "window": "day"}
    env = Bounded(GiveBackBounds(max_per_run=1), budgets=[cost])
    for _ in range(3):
        decision_id = await env.allow("look", model__estimated_cost_micros=1_000)
        assert await env.kept(decision_id, OutcomeStatus.SUCCEEDED, cost_micros=400) == ()
    assert await env.shown("cost") == (1_200, 0, 1_800, 0)


async def test_a_call_that_was_not_executed_counts_in_the_limits_of_its_run() -> None:
    env = Bounded(budgets=[], limits={"max_same_action": 3, "max_tool_calls": 5})
    effects: list[Effect] = []
    for _ in range(40):
        decision = await env.ask("pay")
        assert isinstance(decision, Decision)
        effects.append(decision.effect)
        if decision.effect == "allow":
            assert await env.kept(decision.decision_id, OutcomeStatus.NOT_EXECUTED) == ()
    assert effects.count(effects[0]) == 3
    assert {reason for *_, reason in env.given_back()} == {"counts_in_run"}


async def test_a_call_that_was_not_executed_is_a_failure_of_its_run_but_not_of_its_tool() -> None:
    breaker = {"failures_in_a_row": 2, "open_seconds": 30, "scopes": ["run", "tool"]}
    env = Bounded(limits={"breaker": breaker})
    for _ in range(2):
        await env.kept(await env.pay(1), OutcomeStatus.NOT_EXECUTED)
    denied = await env.ask("pay", action__amount={"currency_code": "USD", "minor_units": 1})
    assert isinstance(denied, Decision)
    assert denied.rule_id == "limits.breaker_open"
    assert await env.pay(1, run__run_id="another")


async def test_a_permit_that_can_still_be_used_gives_nothing_back() -> None:
    env = Bounded()
    early, late = await env.with_permit(10), await env.with_permit(10)
    assert await env.kept(early, OutcomeStatus.NOT_EXECUTED) == ("money",)
    env.clock.wall += 66 * SECOND_US
    assert await env.kept(late, OutcomeStatus.NOT_EXECUTED) == ()
    assert env.given_back() == [(0, 10, "permit_valid"), (10, 0, "")]
    assert env.bodies(RecordKind.PERMIT_REVOKED) == []


async def test_a_report_that_ends_the_use_of_the_permit_gives_back_and_revokes_it() -> None:
    env = Bounded()
    decision_id = await env.with_permit(10)
    ended = replace(report(decision_id, OutcomeStatus.NOT_EXECUTED), holds_permit=True)
    replies: list[OutcomeReply] = [(await env.service.report([ended]))[0] for _ in range(2)]
    assert [isinstance(reply, OutcomeReceipt) and reply.kept for reply in replies] == [(), ()]
    [revoked] = env.bodies(RecordKind.PERMIT_REVOKED)
    assert revoked["decision_id"] == decision_id
    assert await env.shown() == (0, 0, 10, 0)
    assert env.proven()


async def test_a_call_that_was_made_keeps_its_permit() -> None:
    env = Bounded()
    decision_id = await env.with_permit(10)
    await env.service.report([replace(report(decision_id, OutcomeStatus.SUCCEEDED), holds_permit=True)])
    assert env.bodies(RecordKind.PERMIT_REVOKED) == []


async def test_the_tenants_file_names_the_bounds() -> None:
    env = Bounded(None, limits={"give_backs": {"max_percent": 10, "max_per_run": 100}})
    assert await env.kept(await env.pay(10), OutcomeStatus.NOT_EXECUTED) == ()
    assert await env.kept(await env.pay(10), OutcomeStatus.NOT_EXECUTED) == ("money",)


async def test_without_bounds_everything_is_given_back_as_before() -> None:
    env = Bounded(None, limits={"max_same_action": 3})
    for _ in range(30):
        assert await env.kept(await env.pay(100), OutcomeStatus.NOT_EXECUTED) == ()
    assert await env.shown() == (0, 0, 0, 0)
    assert env.given_back() == []


async def test_a_late_report_is_bounded_too() -> None:
    env = Bounded(GiveBackBounds(max_percent=50))
    decision_id = await env.pay(80)
    env.clock.wall += 901 * SECOND_US
    await expire_due(env.ledger, env.clock)
    assert await env.kept(decision_id, OutcomeStatus.NOT_EXECUTED) == ("money",)
    assert await env.shown() == (30, 0, 50, 30)


async def test_a_new_window_gives_back_anew() -> None:
    env = Bounded()
    for _ in range(2):
        assert await env.kept(await env.pay(100), OutcomeStatus.NOT_EXECUTED) == ()
        env.clock.wall += 86_400 * SECOND_US


async def test_reports_of_one_batch_share_the_bound() -> None:
    env = Bounded(GiveBackBounds(max_percent=50), budgets=[{**MONEY, "limit": Decimal("1.00")}])
    ids = [await env.pay(25) for _ in range(4)]
    replies = await env.service.report([report(each, OutcomeStatus.FAILED) for each in ids])
    assert [isinstance(each, OutcomeReceipt) and each.kept for each in replies] == [(), (), ("money",), ("money",)]
    assert await env.shown() == (50, 0, 50, 50)


async def test_what_expires_unreported_is_released_within_the_bounds() -> None:
    env = Bounded(budgets=[{**MONEY, "unreported": "release"}], limits={"give_backs": {"max_percent": 50}})
    await env.pay(40)
    counted = await env.pay(40)
    env.clock.wall += 901 * SECOND_US
    assert await expire_due(env.ledger, env.clock, env.source) == 2
    assert await env.shown() == (40, 0, 40, 40)
    bodies = env.bodies(RecordKind.RESERVATION_EXPIRED)
    assert [(part["given"], part["kept"]) for body in bodies for part in body["given_back"]] == [(40, 0), (0, 40)]
    await env.kept(counted, OutcomeStatus.SUCCEEDED)
    assert await env.shown() == (40, 0, 40, 40)
    assert env.proven()
