"""Which of several limits without room names the deny: docs/concepts/budgets.md, "Which limit names the deny"."""

from __future__ import annotations

import re
from decimal import Decimal
from itertools import permutations
from typing import TYPE_CHECKING, Any

import pytest

from tests.docs.tables import DOCS
from tests.support.decision_env import DecisionEnv, budget, effects_of
from tests.support.fakes import ALLOWED, APPROVAL_REQUIRED, DENIED, verdict

if TYPE_CHECKING:
    from placet.kernel.model import Decision

RUN: dict[str, Any] = {"run__run_id": "r1"}
COST: dict[str, Any] = {"model__estimated_cost_micros": 2_000_000}
SOFT = budget(id="a.soft", limit=1, on_exceed="require_approval", approval={"quorum": 1, "approver_roles": ["lead"]})
HARD = [budget(id="z", limit=1), budget(id="refunds", limit=1), budget(id="refund_s", limit=1)]
RUN_LIMITS = {"max_tool_calls": 1, "max_same_action": 1, "max_tokens": 1}
GOLDEN = [
    ("deny", "budgets.refund_s"),
    ("deny", "budgets.refunds"),
    ("deny", "budgets.spend.per_user_per_day"),
    ("deny", "budgets.z"),
    ("deny", "limits.loop"),
    ("deny", "limits.max_tokens"),
    ("deny", "limits.max_tool_calls"),
    ("require_approval", "budgets.a.soft"),
    ("allow", "tools.listed"),
]


def found(decision: Decision) -> list[tuple[str, str]]:
    return [(each.effect.value, each.rule_id) for each in decision.findings]


async def exceeding(*budgets: dict[str, Any], **said: Any) -> Decision:
    """The second of two same actions in one run, where each limit has room for one."""
    env = DecisionEnv(*budgets, **said)
    assert effects_of(await env.ask(**RUN, **COST)) == [("allow", "tools.listed")]
    return await env.ask(**RUN, **COST)


@pytest.mark.parametrize("budgets", list(permutations([SOFT, *HARD])))
async def test_all_are_named_in_one_order_whatever_the_order_of_the_file(budgets: tuple[dict[str, Any], ...]) -> None:
    spend = {"per_user_usd_per_day": Decimal("2.00")}
    denied = await exceeding(*budgets, limits=RUN_LIMITS, spend_limits=spend)
    assert found(denied) == GOLDEN
    assert effects_of(denied) == GOLDEN[:1]


async def test_taking_the_named_one_away_shows_the_next() -> None:
    left = [SOFT, *HARD]
    for effect, rule_id in GOLDEN[:2] + GOLDEN[3:4]:
        assert effects_of(await exceeding(*left, limits=RUN_LIMITS)) == [(effect, rule_id)]
        left = [each for each in left if f"budgets.{each['id']}" != rule_id]
    assert effects_of(await exceeding(*left, limits=RUN_LIMITS)) == [("deny", "limits.loop")]
    assert effects_of(await exceeding(*left)) == [("require_approval", "budgets.a.soft")]


@pytest.mark.parametrize("said", [(ALLOWED, APPROVAL_REQUIRED), (ALLOWED,)])
async def test_what_policy_asks_for_does_not_come_before_a_limit(said: tuple[Any, ...]) -> None:
    env = DecisionEnv(*HARD)
    await env.ask(**RUN)
    env.source.policy = DecisionEnv(*HARD, say=lambda _: verdict(*said)).source.policy
    assert effects_of(await env.ask(**RUN)) == GOLDEN[:1]


async def test_a_deny_of_policy_leaves_limits_out() -> None:
    env = DecisionEnv(*HARD)
    await env.ask(**RUN)
    env.source.policy = DecisionEnv(*HARD, say=lambda _: verdict(ALLOWED, DENIED)).source.policy
    denied = await env.ask(**RUN)
    assert found(denied) == [("deny", "pay.never"), ("allow", "tools.listed")]


async def test_the_example_of_the_page() -> None:
    page = " ".join((DOCS / "concepts/budgets.md").read_text().split())
    [named] = re.findall(r"its findings are these four, in the order (.*?)\. Raising", page)
    budgets = [budget(id="refunds", limit=1), {**SOFT, "id": "soft"}]
    denied = await exceeding(*budgets, limits={"max_tool_calls": 1, "max_same_action": 1})
    assert [rule_id for _, rule_id in found(denied)[:-1]] == re.findall(r"`([\w.]+)`", named)
