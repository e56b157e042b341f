"""Fills a ledger with every kind of state, through the services that create it."""

from __future__ import annotations

from typing import TYPE_CHECKING

from placet.actions.outcome import Outcome, OutcomeReport, OutcomeStatus
from placet.controls.autonomy.model import AutonomyLevel
from placet.kernel.model import Caller, Decision
from placet.kernel.state import PutIfVersion, Row, RowKey, StateTable
from placet.outcomes.expiry import expire_due
from tests.properties.state_driver import Driver
from tests.properties.state_reference import HOUR, Ask
from tests.storage.state_making import change

if TYPE_CHECKING:
    from tests.properties.state_driver import Store


async def fill_state(store: Store) -> None:
    """Store allows, outcomes, votes, a used approval, kill switches, autonomy, a request, a breaker, a token, keys."""
    driver = Driver(store)
    try:
        await _decide_and_report(driver)
        await _vote(driver)
        await _change_controls(driver)
        driver.clock.wall += 2 * HOUR
        await expire_due(driver.replicas[1].ledger, driver.clock)
        breaker = Row(RowKey(StateTable.BREAKERS, "acme", "tool pay"), "closed", driver.clock.wall, b'{"failures":[]}')
        token = Row(RowKey(StateTable.ACCESS_TOKENS, "", "tok_1"), "active", driver.clock.wall, b'{"name":"ci"}')
        keys = Row(RowKey(StateTable.KEY_SETS, "", "permit"), "in_use", driver.clock.wall, b'{"keys":[]}')
        await driver.replicas[0].ledger.commit([change(PutIfVersion(row)) for row in (breaker, token, keys)])
        await driver.decide(0, [_ask("k90", user="u9")])  # held until the end
    finally:
        await driver.close()


def _ask(key: str, *, user: str = "u1", want: str = "allow", customer: str = "c_1", approval_id: str = "") -> Ask:
    return Ask(
        key, "acme", "c1", "pay", user, "bot1", "r1", customer, want, 101, 7, dry_run=False, approval_id=approval_id
    )


async def _decide_and_report(driver: Driver) -> None:
    answers = await driver.decide(0, [_ask("k0"), _ask("k1", user="u2"), _ask("k2", customer="c_2")])
    answers += await driver.decide(1, [_ask("k3", user="u3", want="deny")])
    allowed = [
        answer.decision_id for answer in answers if isinstance(answer, Decision) and answer.effect.value == "allow"
    ]
    for number, decision_id in enumerate(allowed[:2]):
        outcome = Outcome(OutcomeStatus.SUCCEEDED, cost_micros=9, amount_minor_units=101)
        await driver.replicas[number].outcomes.report([OutcomeReport("acme", decision_id, Caller("c1"), outcome)])


async def _vote(driver: Driver) -> None:
    """Open two approvals. One gets all votes and is used; the other lacks one vote."""
    first, second = [await _open_approval(driver, number) for number in (1, 2)]
    for approval_id in (first, second):
        await driver.replicas[0].approvals.approve(driver.word("acme", approval_id, "lena"))
    await driver.replicas[1].approvals.approve(driver.word("acme", second, "luis"))
    used = _ask("k20", user="u4", want="two", customer="c_2", approval_id=second)
    [answer] = await driver.decide(1, [used])
    assert isinstance(answer, Decision)
    assert answer.used_approval_id == second


async def _open_approval(driver: Driver, number: int) -> str:
    """Request a payment that requires two votes, and return the id of its approval."""
    [answer] = await driver.decide(0, [_ask(f"k1{number}", user="u4", want="two", customer=f"c_{number}")])
    assert isinstance(answer, Decision)
    assert answer.approval is not None
    return answer.approval.approval_id


async def _change_controls(driver: Driver) -> None:
    await driver.kill(0, ("agent", "acme", "bot7"), 0)
    await driver.kill(1, ("tool", "acme", "mail"), 3_600)
    await driver.clear(0, ("agent", "acme", "bot7"))
    await driver.kill(1, ("agent", "acme", "bot8"), 0)
    for tool, level in (("pay", AutonomyLevel.EXECUTE_WITH_APPROVAL), ("pay", AutonomyLevel.EXECUTE)):
        await driver.replicas[0].autonomy.set(driver.level("beta", tool, level, "ada"))
