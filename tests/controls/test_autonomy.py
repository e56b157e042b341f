from __future__ import annotations

import orjson
import pytest
from hypothesis import given
from hypothesis import strategies as st

from placet.controls.autonomy.model import (
    Autonomy,
    AutonomyLevel,
    AutonomyRule,
    ObserveMode,
    is_higher,
    resolve,
    restrict,
)
from placet.decision.combining import PRECEDENCE
from placet.kernel.model import ApprovalRequirement, Effect, ToolClass
from tests.support.builders import proposal

EXECUTE, WITH_APPROVAL, DRAFT, OBSERVE = (
    AutonomyLevel.EXECUTE,
    AutonomyLevel.EXECUTE_WITH_APPROVAL,
    AutonomyLevel.DRAFT_ONLY,
    AutonomyLevel.OBSERVE_ONLY,
)
RULES = st.builds(
    AutonomyRule,
    st.sampled_from(AutonomyLevel),
    workflow=st.sampled_from(["", "refunds", "other"]),
    tool=st.sampled_from(["", "pay", "p*", "mail"]),
    agent=st.sampled_from(["", "bot", "other"]),
)


def rule(level: AutonomyLevel, **said: str) -> AutonomyRule:
    return AutonomyRule(level, **said)


def level_of(*rules: AutonomyRule, overrides: tuple[AutonomyRule, ...] = ()) -> AutonomyLevel:
    return resolve(Autonomy(rules), overrides, proposal()).level


def test_levels_are_ordered() -> None:
    assert sorted(AutonomyLevel, key=lambda level: level.rank) == [OBSERVE, DRAFT, WITH_APPROVAL, EXECUTE]
    assert is_higher(DRAFT, EXECUTE)
    assert not is_higher(DRAFT, DRAFT)
    assert not is_higher(EXECUTE, DRAFT)


def test_a_tenant_that_says_nothing_executes() -> None:
    assert resolve(Autonomy(), (), proposal()).level is EXECUTE


@pytest.mark.parametrize(
    ("rules", "level"),
    [
        ([rule(EXECUTE), rule(DRAFT, tool="pay")], DRAFT),
        ([rule(DRAFT), rule(EXECUTE, tool="pay")], EXECUTE),
        ([rule(DRAFT), rule(EXECUTE, tool="mail")], DRAFT),
        ([rule(DRAFT, tool="pay"), rule(EXECUTE, tool="pay", agent="bot")], EXECUTE),
        ([rule(DRAFT, tool="pay", agent="other"), rule(EXECUTE)], EXECUTE),
        # a tool named in full before a pattern, and the longer pattern
        ([rule(DRAFT, tool="p*"), rule(EXECUTE, tool="pay")], EXECUTE),
        ([rule(DRAFT, tool="*"), rule(EXECUTE, tool="p*")], EXECUTE),
        # as specific as each other: the lower
        ([rule(EXECUTE, tool="pay"), rule(DRAFT, workflow="refunds")], DRAFT),
        ([rule(EXECUTE, agent="bot"), rule(OBSERVE, workflow="refunds")], OBSERVE),
        ([rule(EXECUTE, tool="p*y"), rule(DRAFT, tool="pa*")], DRAFT),
        # the pattern lost to the name, the workflow did not
        ([rule(OBSERVE, tool="p*"), rule(EXECUTE, tool="pay"), rule(DRAFT, workflow="refunds")], DRAFT),
    ],
)
def test_the_most_specific_wins_and_of_equals_the_lower(rules: list[AutonomyRule], level: AutonomyLevel) -> None:
    assert level_of(*rules) is level
    assert level_of(*reversed(rules)) is level


def test_an_override_takes_the_place_of_the_files_rule_for_the_same() -> None:
    override = AutonomyRule(EXECUTE, tool="pay", source="override")
    found = resolve(Autonomy((rule(EXECUTE), rule(DRAFT, tool="pay"))), (override,), proposal())
    assert found == override


def test_an_override_for_less_does_not_reach_what_the_file_says_more_closely() -> None:
    assert level_of(rule(EXECUTE, tool="pay"), overrides=(rule(OBSERVE),)) is EXECUTE


def test_where_no_rule_is_left_agents_only_observe() -> None:
    assert level_of() is OBSERVE


@given(st.lists(RULES, max_size=6), st.lists(RULES, max_size=4))
def test_the_rule_that_holds_is_one_that_is_for_the_action(
    rules: list[AutonomyRule], overrides: list[AutonomyRule]
) -> None:
    found = resolve(Autonomy((AutonomyRule(EXECUTE), *rules)), overrides, proposal())
    assert found.workflow in {"", "refunds"}
    assert found.tool in {"", "pay", "p*"}
    assert found.agent in {"", "bot"}


def became(
    level: AutonomyLevel,
    effect: Effect,
    tool_class: ToolClass = ToolClass.WRITE,
    *,
    dry_run: bool = False,
) -> Effect | None:
    found = restrict(rule(level), Autonomy(), effect, tool_class, dry_run=dry_run)
    if found is None:
        return None
    assert found.finding.rule_id == f"autonomy.{level}"
    return found.finding.effect


@pytest.mark.parametrize(
    ("level", "effect", "dry_run", "becomes"),
    [
        (EXECUTE, Effect.ALLOW, False, None),
        (WITH_APPROVAL, Effect.ALLOW, False, Effect.REQUIRE_APPROVAL),
        (WITH_APPROVAL, Effect.ALLOW, True, None),
        (WITH_APPROVAL, Effect.REQUIRE_APPROVAL, False, None),
        (DRAFT, Effect.ALLOW, False, Effect.DENY),
        (DRAFT, Effect.REQUIRE_APPROVAL, False, Effect.DENY),
        (DRAFT, Effect.ALLOW, True, None),
        (OBSERVE, Effect.ALLOW, True, Effect.DENY),
        (OBSERVE, Effect.REQUIRE_APPROVAL, False, Effect.DENY),
    ],
)
def test_what_becomes_of_a_write(
    level: AutonomyLevel,
    effect: Effect,
    dry_run: bool,  # noqa: FBT001
    becomes: Effect | None,
) -> None:
    assert became(level, effect, dry_run=dry_run) is becomes
    assert became(level, effect, ToolClass.UNKNOWN, dry_run=dry_run) is becomes


@given(st.sampled_from(AutonomyLevel), st.sampled_from(Effect), st.sampled_from(ToolClass), st.booleans())
def test_autonomy_never_widens(
    level: AutonomyLevel,
    effect: Effect,
    tool_class: ToolClass,
    dry_run: bool,  # noqa: FBT001
) -> None:
    becomes = became(level, effect, tool_class, dry_run=dry_run)
    if becomes is not None:
        assert PRECEDENCE.index(becomes) < PRECEDENCE.index(effect)
    if effect is Effect.DENY or tool_class is ToolClass.READ:
        assert becomes is None


def test_who_must_agree_is_the_tenants_to_say() -> None:
    autonomy = Autonomy(approval=ApprovalRequirement(2, ("lead",)))
    found = restrict(rule(WITH_APPROVAL, tool="pay"), autonomy, Effect.ALLOW, ToolClass.WRITE, dry_run=False)
    assert found is not None
    assert found.finding.details == {
        "rule": "tool=pay",
        "source": "agent_policy",
        "quorum": 2,
        "approver_roles": ["lead"],
    }


@pytest.mark.parametrize("effect", [Effect.ALLOW, Effect.REQUIRE_APPROVAL])
def test_a_shadow_tells_what_it_would_have_been(effect: Effect) -> None:
    autonomy = Autonomy(observe=ObserveMode.SHADOW)
    found = restrict(rule(OBSERVE), autonomy, effect, ToolClass.WRITE, dry_run=False)
    assert found is not None
    assert (found.finding.effect, found.shadow_effect) == (Effect.DENY, effect)
    told_nothing = restrict(rule(OBSERVE), Autonomy(), effect, ToolClass.WRITE, dry_run=False)
    assert told_nothing is not None
    assert told_nothing.shadow_effect is None


@given(RULES)
def test_what_is_written_is_what_is_read(written: AutonomyRule) -> None:
    assert AutonomyRule.from_json(orjson.loads(orjson.dumps(written.to_json())), "agent_policy") == written
    assert AutonomyRule.from_json(written.to_json()).source == "override"


NAMES = st.text("a=,*%", max_size=4)


@given(NAMES, NAMES, NAMES, NAMES)
def test_a_selectors_id_is_of_no_other_selector(tool: str, agent: str, other_tool: str, other_agent: str) -> None:
    one, other = rule(DRAFT, tool=tool, agent=agent), rule(DRAFT, tool=other_tool, agent=other_agent)
    assert (one.selector_id == other.selector_id) is (one.selector == other.selector)


@pytest.mark.parametrize("name", ["workflow", "agent"])
def test_a_rule_for_a_name_that_shows_nothing_is_for_no_other(name: str) -> None:
    assert level_of(rule(DRAFT), overrides=(rule(EXECUTE, **{name: "\u3164"}),)) is DRAFT
