"""A clock too far behind the ledger denies everything, on the record; kill switches are told first."""

from __future__ import annotations

from placet.kernel import rule_ids
from placet.kernel.model import Decision, Effect
from tests.support.fakes import Bench, new_request
from tests.support.replacing import replace


async def test_a_skewed_clock_denies_until_it_is_right() -> None:
    bench = Bench()
    skewed = [True]
    point = replace(bench.point, gatherer=replace(bench.point.gatherer, clock_skewed=lambda: skewed[0]))
    [denied] = await point.decide([new_request()])
    assert isinstance(denied, Decision)
    assert (denied.effect, denied.rule_id) == (Effect.DENY, rule_ids.CLOCK_SKEW)
    assert await bench.ledger.get_decision("acme", denied.decision_id)
    skewed[0] = False
    [allowed] = await point.decide([new_request()])
    assert isinstance(allowed, Decision)
    assert allowed.rule_id != rule_ids.CLOCK_SKEW
