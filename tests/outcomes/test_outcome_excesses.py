"""Outcomes far above what was reserved: told, held, and counted when a person says so."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import pytest

from placet.actions.outcome import Outcome, OutcomeReport, OutcomeStatus
from placet.audit.verification.verify_trail import verify_trail
from placet.budgets.reservations import from_row, reservation_key, to_row
from placet.commands.execute import ControlCommands
from placet.kernel.errors import FailedPreconditionError, InvalidRequestError, NotFoundError, PermissionDeniedError
from placet.kernel.limits import SAFE_INTEGER_MAX
from placet.kernel.model import Caller
from placet.kernel.state import PutIfVersion, ReadSet
from placet.outcomes.excess_service import ExcessCommand, OutcomeExcesses
from placet.outcomes.expiry import expire_due
from placet.outcomes.service import OutcomeReceipt, OutcomeService
from tests.storage.state_making import change
from tests.support.decision_env import DecisionEnv, budget, effects_of, remaining, usd
from tests.support.replacing import replace

if TYPE_CHECKING:
    from placet.budgets.excess import OutcomeExcess
    from placet.kernel.model import Decision

ALLOW = ("allow", "tools.listed")
MONEY = budget(measure="amount", currency="USD", limit=100)
ANN = "ann"


class Held(DecisionEnv):
    """An env at which excesses are decided, too."""

    def __init__(self, *budgets: dict[str, Any], factor: int | None = None, **said: Any) -> None:
        super().__init__(*budgets, **said)
        self.excesses = OutcomeExcesses(ControlCommands(self.ledger, self.clock, self.controls))
        if factor is not None:
            self.outcomes = OutcomeService(self.ledger, self.source, self.clock, factor)

    async def waiting(self) -> list[OutcomeExcess]:
        return list((await self.excesses.list("acme", 50, "")).excesses)

    async def say(self, decision: Decision, *, accept: bool, actor: str = ANN, caller: str = "") -> OutcomeExcess:
        caller_of = Caller(caller) if caller else Caller()
        return await self.excesses.decide(
            ExcessCommand("acme", decision.decision_id, accept, actor, "because", caller_of)
        )

    def proven(self) -> bool:
        report = verify_trail(self.ledger, lambda *_: True, state=True)
        return report.ok


async def test_one_wrong_report_does_not_use_up_a_day() -> None:
    """One minor unit reserved, the largest number there is reported."""
    env = Held(MONEY)
    first = await env.ask(action__amount=usd(1), identity__agent="pay-bot")
    reported = await env.report(first, amount_minor_units=SAFE_INTEGER_MAX)
    assert reported == OutcomeReceipt(repeated=False, late=False, exceeded_budget_ids=(), held=("b",))
    second = await env.ask(action__amount=usd(9_000))
    assert (effects_of(second), remaining(second)) == ([ALLOW], 990)
    [excess] = await env.waiting()
    assert [(each.counter.budget_id, each.amount) for each in excess.parts] == [("b", SAFE_INTEGER_MAX - 10)]
    assert (excess.decision_id, excess.agent, excess.tool) == (first.decision_id, "pay-bot", "pay")
    assert env.proven()


@pytest.mark.parametrize(
    ("reported", "counted", "held"), [(1_000, 1_000, 0), (1_001, 1_000, 1), (999, 999, 0), (100, 100, 0), (0, 0, 0)]
)
async def test_what_is_within_the_factor_settles_at_once(reported: int, counted: int, held: int) -> None:
    env = Held(budget(measure="amount", currency="USD", limit=1_000))
    first = await env.ask(action__amount=usd(100))
    answer = await env.report(first, amount_minor_units=reported)
    assert answer.held == (("b",) if held else ())
    assert remaining(await env.ask(action__amount=usd(1))) == 100_000 - counted - 1
    assert [part.amount for each in await env.waiting() for part in each.parts] == ([held] if held else [])


@pytest.mark.parametrize(("factor", "held"), [(0, False), (1, True), (2, True), (3, False)])
async def test_the_factor_is_a_setting(factor: int, held: bool) -> None:  # noqa: FBT001 - a parameter
    env = Held(MONEY, factor=factor)
    assert bool((await env.report(await env.ask(action__amount=usd(100)), amount_minor_units=300)).held) is held
    assert bool(await env.waiting()) is held


@pytest.mark.parametrize(
    ("measure", "said", "reported", "counted"),
    [
        ("cost", {}, {"cost_micros": 400_000}, 400_000),  # nobody estimated it, and it is within half of the limit
        ("cost", {}, {"cost_micros": SAFE_INTEGER_MAX}, 500_000),
        ("cost", {"model__estimated_cost_micros": 90_000}, {"cost_micros": 900_000}, 900_000),
        ("cost", {"model__estimated_cost_micros": 90_000}, {"cost_micros": 900_001}, 900_000),
        ("tokens", {}, {"tokens": SAFE_INTEGER_MAX}, 500_000),
        ("tokens", {"model__input_tokens": 90_000}, {"tokens": 800_000}, 890_000),
    ],
)
async def test_estimates_are_held_above_half_of_the_limit(
    measure: str, said: dict[str, Any], reported: dict[str, Any], counted: int
) -> None:
    env = Held(budget(measure=measure, limit=1 if measure == "cost" else 1_000_000))
    await env.report(await env.ask(**said), **reported)
    assert remaining(await env.ask()) == 1_000_000 - counted - 1


async def test_the_same_report_again_says_the_same_and_holds_nothing_more() -> None:
    env = Held(MONEY)
    first = await env.ask(action__amount=usd(1))
    before = await env.report(first, amount_minor_units=5_000)
    again = await env.report(first, amount_minor_units=5_000)
    assert (again.repeated, again.held, before.held) == (True, ("b",), ("b",))
    assert len(await env.waiting()) == 1


async def test_each_budget_holds_its_own_part() -> None:
    env = Held(MONEY, budget(id="u", scope="user", measure="amount", currency="USD", limit=100), budget(id="calls"))
    first = await env.ask(action__amount=usd(2))
    assert (await env.report(first, amount_minor_units=9_000)).held == ("b", "u")
    [excess] = await env.waiting()
    assert sorted((each.counter.budget_id, each.amount) for each in excess.parts) == [("b", 8_980), ("u", 8_980)]


async def test_what_is_accepted_counts() -> None:
    env = Held(MONEY)
    first = await env.ask(action__amount=usd(1))
    await env.report(first, amount_minor_units=10_000)
    assert effects_of(await env.ask(action__amount=usd(1_000))) == [ALLOW]
    assert (await env.say(first, accept=True)).budgets == ("b",)
    denied = await env.ask(action__amount=usd(1))
    assert effects_of(denied) == [("deny", "budgets.b")]
    assert await env.waiting() == []
    assert env.proven()


async def test_what_is_dropped_never_counts() -> None:
    env = Held(MONEY)
    first = await env.ask(action__amount=usd(1))
    await env.report(first, amount_minor_units=10_000)
    await env.say(first, accept=False)
    assert remaining(await env.ask(action__amount=usd(1))) == 10_000 - 10 - 1
    for accept in (True, False):
        with pytest.raises(FailedPreconditionError, match="already accepted or dropped"):
            await env.say(first, accept=accept)
    assert env.proven()


@pytest.mark.parametrize("accept", [True, False])
@pytest.mark.parametrize("actor", ["pay-bot", "Pay-Bot", "u_7", "other-bot"])
async def test_those_concerned_may_not(actor: str, accept: bool) -> None:  # noqa: FBT001 - a parameter
    env = Held(MONEY)
    await env.ask(identity__agent="other-bot", action__amount=usd(1))
    first = await env.ask(action__amount=usd(1), identity__agent="pay-bot", identity__user="u_7")
    await env.report(first, amount_minor_units=10_000)
    with pytest.raises(PermissionDeniedError):
        await env.say(first, accept=accept, actor=actor)
    assert len(await env.waiting()) == 1


async def test_who_reported_may_not_under_any_name() -> None:
    env = Held(MONEY)
    first = await env.ask(action__amount=usd(1))
    outcome = Outcome(OutcomeStatus.SUCCEEDED, amount_minor_units=10_000)
    [excess] = await reported_by("worker-7", env, first, outcome)
    for actor, caller in [("ann", "worker-7"), ("worker-7", "console"), ("WORKER-7", "")]:
        with pytest.raises(PermissionDeniedError):
            await env.say(first, accept=False, actor=actor, caller=caller)
    assert (await env.say(first, accept=False, caller="console")).decision_id == excess.decision_id


async def reported_by(caller: str, env: Held, decision: Decision, outcome: Outcome) -> list[OutcomeExcess]:
    """What is held after that caller reported on its own decision."""
    key = reservation_key("acme", decision.decision_id)
    row = (await env.ledger.load(ReadSet([key]))).rows[key]
    await env.ledger.commit([change(PutIfVersion(to_row(replace(from_row(row), caller=caller))))])
    [answer] = await env.outcomes.report([OutcomeReport("acme", decision.decision_id, Caller(caller), outcome)])
    assert isinstance(answer, OutcomeReceipt)
    return await env.waiting()


async def test_what_is_not_held_cannot_be_decided() -> None:
    env = Held(MONEY)
    first = await env.ask(action__amount=usd(100))
    await env.report(first, amount_minor_units=100)
    with pytest.raises(NotFoundError):
        await env.say(first, accept=True)
    with pytest.raises(InvalidRequestError):
        await env.excesses.list("acme", 50, "nonsense")


async def test_a_late_report_is_held_as_well() -> None:
    env = Held(MONEY)
    first = await env.ask(action__amount=usd(10))
    env.clock.wall += 16 * 60 * 1_000_000
    await expire_due(env.ledger, env.clock)
    reported = await env.report(first, amount_minor_units=5_000)
    assert (reported.late, reported.held) == (True, ("b",))
    assert remaining(await env.ask(action__amount=usd(1))) == 10_000 - 100 - 1
    assert env.proven()
