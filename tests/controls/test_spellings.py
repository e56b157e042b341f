"""One name in several spellings, for kill switches, autonomy, limits and budgets; and what was kept unfolded."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from placet.budgets import charges as charging
from placet.controls.autonomy import documents as autonomy_override
from placet.controls.autonomy import service as autonomy_admin
from placet.controls.autonomy.model import AutonomyLevel
from placet.controls.kill_switches import service as kill_switches
from placet.kernel.model import Effect
from placet.kernel.state import CounterKey, ReadSet, RowKey, StateTable
from tests.budgets.test_budget_admin import DAY, adjustment, spend, tenant
from tests.support.decision_env import DecisionEnv, budget, effects_of
from tests.support.fakes import new_request
from tests.support.operators import Operators

if TYPE_CHECKING:
    from collections.abc import Iterator

    from placet.controls.autonomy.model import AutonomyRule

ALLOW = ("allow", "tools.listed")
SPELLINGS = ["bad", "Bad", "BAD ", "\uff42ad"]
OF_BEFORE = ["b\u0430d", "ba\u3164d"]
"""They cannot be said any more, but were kept."""


@pytest.fixture
def unfolded() -> Iterator[pytest.MonkeyPatch]:
    """Keeps state as it was kept before names were folded, until `undo`."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(charging, "folded", str)
        patch.setattr(kill_switches, "folded", str)
        patch.setattr(autonomy_admin, "override_key", _key_of_before)
        patch.setattr(autonomy_override, "override_key", _key_of_before)
        patch.setattr(autonomy_admin, "_same_key", lambda *_: [])
        yield patch


def _key_of_before(tenant: str, rule: AutonomyRule) -> RowKey:
    return RowKey(StateTable.AUTONOMY, tenant, f"aut_{'_'.join(rule.selector)}")


@pytest.mark.parametrize("stored", [*SPELLINGS, *OF_BEFORE])
@pytest.mark.parametrize("said", SPELLINGS)
async def test_a_switch_stops_an_agent_and_a_workflow_in_every_spelling(stored: str, said: str) -> None:
    env = DecisionEnv()
    await env.kill("agent", stored)
    assert (await env.ask(identity__agent=said)).rule_id == "kill_switch.agent"
    assert (await env.ask(identity__delegation=[said])).rule_id == "kill_switch.agent"
    await env.kill("workflow", stored, tenant="")
    assert (await env.ask(run__workflow=said)).rule_id == "kill_switch.workflow"
    assert (await env.ask(identity__agent="good", run__workflow="good")).effect is Effect.ALLOW


async def test_a_switch_set_in_another_spelling_is_the_same_switch() -> None:
    env = DecisionEnv()
    first = await env.kill("agent", "Bad")
    assert await env.kill("agent", "bad ") == first
    assert len(await env.kill_switches.list("acme")) == 1
    assert await env.kill("tool", "Pay") != await env.kill("tool", "pay")


async def test_a_switch_that_was_kept_unfolded_is_set_again_and_cleared(unfolded: pytest.MonkeyPatch) -> None:
    env = DecisionEnv()
    of_before = await env.kill("agent", "Bad")
    unfolded.undo()
    assert (await env.ask(identity__agent="bad")).rule_id == "kill_switch.agent"
    assert await env.kill("agent", "bad") == of_before
    await env.kill_switches.clear(of_before, "acme", "eve", "it is over")
    assert (await env.ask(identity__agent="Bad")).effect is Effect.ALLOW


@pytest.mark.parametrize("said", SPELLINGS)
async def test_a_level_of_a_file_and_one_that_is_set_hold_in_every_spelling(said: str) -> None:
    env = DecisionEnv(autonomy={"rules": [{"agent": "Bad", "level": "draft_only"}]})
    assert (await env.ask(identity__agent=said)).rule_id == "autonomy.draft_only"
    await env.level(AutonomyLevel.OBSERVE_ONLY, agent="bAD")
    assert (await env.ask(identity__agent=said)).rule_id == "autonomy.observe_only"
    await env.level(AutonomyLevel.OBSERVE_ONLY, workflow="Night")
    assert (await env.ask(run__workflow="night")).rule_id == "autonomy.observe_only"


async def test_of_two_levels_kept_unfolded_the_lower_holds_until_one_takes_the_place_of_both(
    unfolded: pytest.MonkeyPatch,
) -> None:
    env = DecisionEnv()
    await env.level(AutonomyLevel.DRAFT_ONLY, agent="bad")
    await env.level(AutonomyLevel.OBSERVE_ONLY, agent="Bad")
    unfolded.undo()
    assert len(await env.autonomy.list("acme")) == 2
    assert (await env.ask(identity__agent="BAD")).rule_id == "autonomy.observe_only"
    assert (await env.level(AutonomyLevel.EXECUTE, agent="bAd")).waiting is not None
    await env.level(AutonomyLevel.EXECUTE, "eve", agent="BAD")
    assert [each.rule.level for each in await env.autonomy.list("acme")] == [AutonomyLevel.EXECUTE]
    assert (await env.ask(identity__agent="Bad")).effect is Effect.ALLOW


@pytest.mark.parametrize(
    ("scope", "field"), [("user", "identity__user"), ("agent", "identity__agent"), ("workflow", "run__workflow")]
)
async def test_every_spelling_counts_in_one_counter_and_is_recorded_as_said(scope: str, field: str) -> None:
    env = DecisionEnv(budget(scope=scope, limit=3))
    decisions = [await env.ask(**{field: said}) for said in SPELLINGS]
    assert effects_of(*decisions) == [ALLOW, ALLOW, ALLOW, ("deny", "budgets.b")]
    part, name = field.split("__")
    assert [document[part][name] for document in env.policy.seen] == SPELLINGS


async def test_every_spelling_is_of_one_customer_and_a_hidden_one_of_none() -> None:
    env = DecisionEnv(budget(scope="customer", customer="/to", limit=3))
    decisions = [await env.ask(action__params_json=f'{{"to": "{said}"}}') for said in (*SPELLINGS, *OF_BEFORE)]
    invalid = ("deny", "budgets.customer_invalid")
    assert effects_of(*decisions) == [ALLOW, ALLOW, ALLOW, ("deny", "budgets.b"), invalid, invalid]


async def test_limits_and_budgets_of_a_workflow_hold_in_every_spelling() -> None:
    env = DecisionEnv(
        budget(match={"workflows": ["Night"]}, limit=2), limits={"workflows": {"Day": {"max_tool_calls": 1}}}
    )
    decisions = [await env.ask(run__workflow=said) for said in ("night", "NIGHT", "nIght")]
    assert effects_of(*decisions) == [ALLOW, ALLOW, ("deny", "budgets.b")]
    decisions = [await env.ask(run__workflow=said, run__run_id="r") for said in ("day", "DAY")]
    assert effects_of(*decisions) == [ALLOW, ("deny", "limits.max_tool_calls")]


async def test_what_was_counted_unfolded_still_counts(unfolded: pytest.MonkeyPatch) -> None:
    env = DecisionEnv(budget(scope="user", limit=3))
    first = await env.ask(identity__user="Bad")
    await env.ask(identity__user="Bad")
    unfolded.undo()
    decision = await env.ask(identity__user="Bad")
    assert (decision.effect, [each.remaining for each in decision.budgets]) == (Effect.ALLOW, [0])
    assert env.policy.seen[-1]["facts"]["budgets"]["b"]["reserved"] == 2
    assert (await env.ask(identity__user="Bad")).rule_id == "budgets.b"
    await env.report(first, "not_executed")
    assert (await env.ask(identity__user="Bad")).effect is Effect.ALLOW
    assert (await env.ask(identity__user="Bad")).rule_id == "budgets.b"


async def test_a_batch_gets_no_more_than_what_was_counted_unfolded_leaves(unfolded: pytest.MonkeyPatch) -> None:
    env = DecisionEnv(budget(scope="user", limit=5))
    for _ in range(3):
        await env.ask(identity__user="Bad")
    unfolded.undo()
    plan = [new_request("pay", identity__user=said) for said in ("Bad", "Bad", "Bad", "Bad")]
    assert await env.effects(plan) == ["allow", "allow", "deny", "deny"]


@pytest.mark.parametrize(("counted", "key"), [("customer:C_1", "customer:C_1"), ("customer:c_1", "customer:c_1")])
async def test_a_correction_finds_the_counter_of_every_spelling(counted: str, key: str) -> None:
    some = Operators(
        acme=tenant({"id": "refunds", "scope": "customer", "customer": "/c", "measure": "amount", "limit": 500})
    )
    await spend(some, 100, counted)
    adjusted = await some.budgets.adjust(adjustment(-5, scope_key="customer:C_1"))
    assert adjusted.counter.key.scope_key == key
    kept = CounterKey("acme", "refunds", "amount:USD", DAY, key)
    assert (await some.ledger.load(ReadSet(counters=[kept]))).usage(kept).used == 95


async def test_two_spellings_of_one_person_are_no_two_persons() -> None:
    env = DecisionEnv()
    assert (await env.level(AutonomyLevel.DRAFT_ONLY, "ada")).waiting is None
    assert (await env.level(AutonomyLevel.EXECUTE, "ada")).waiting is not None
    for again in ("Ada", " ADA", "\uff41da", "a\u0501a", "ad\u3164a"):
        with pytest.raises(Exception, match="you already requested this change"):
            await env.level(AutonomyLevel.EXECUTE, again)
    assert (await env.level(AutonomyLevel.EXECUTE, "eve")).waiting is None
