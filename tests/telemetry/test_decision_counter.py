"""Decisions are counted by effect and rule_id, and tenants cannot add labels without end."""

from __future__ import annotations

import pytest

from placet.kernel import rule_ids
from placet.kernel.model import Decision, Effect
from placet.telemetry.decision_counter import label_of
from placet.telemetry.metrics import Metrics
from tests.storage.making import decision
from tests.support.replacing import replace


def decided(effect: Effect, rule_id: str) -> Decision:
    return replace(decision(1), effect=effect, rule_id=rule_id)


def counted(metrics: Metrics) -> dict[tuple[str, str], float]:
    """Return (effect, rule_id) -> decisions."""
    [metric] = [each for each in metrics.registry.collect() if each.name == "placet_decisions"]
    return {
        (sample.labels["effect"], sample.labels["rule_id"]): sample.value
        for sample in metric.samples
        if sample.name == "placet_decisions_total"
    }


def test_each_decision_of_each_batch_counts() -> None:
    metrics = Metrics()
    allow, deny = decided(Effect.ALLOW, "refunds.within_limit"), decided(Effect.DENY, "refunds.over_limit")
    metrics.decision_counter.add([allow, deny, allow])
    metrics.decision_counter.add([])
    metrics.decision_counter.add([replace(allow, effect=Effect.DENY), allow])
    assert counted(metrics) == {
        ("allow", "refunds.within_limit"): 3,
        ("deny", "refunds.over_limit"): 1,
        ("deny", "refunds.within_limit"): 1,
    }


def test_the_budgets_that_tenants_name_share_one_label() -> None:
    metrics = Metrics()
    metrics.decision_counter.add(decided(Effect.DENY, f"budgets.of_tenant_{number}") for number in range(500))
    assert counted(metrics) == {("deny", "budgets.*"): 500}


@pytest.mark.parametrize("rule_id", sorted({*rule_ids.REASONS, *rule_ids.CORE_REASONS, "refunds.budgets.x", "budgets"}))
def test_every_other_rule_is_its_own_label(rule_id: str) -> None:
    assert label_of(rule_id) == rule_id


@pytest.mark.parametrize("rule_id", ["budgets.refunds.per_day", "budgets.spend.per_team_per_day"])
def test_what_a_tenant_names(rule_id: str) -> None:
    assert label_of(rule_id) == "budgets.*"
