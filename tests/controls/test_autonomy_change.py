"""A change that one person makes lets nobody do more: beside every action that tells the rules apart."""

from __future__ import annotations

from itertools import product

import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st

from placet.controls.autonomy.model import Autonomy, AutonomyLevel, AutonomyRule, resolve
from placet.controls.autonomy.widening import widens
from placet.kernel.model import Action, Identity, Model, Proposal, Run

OBSERVE, DRAFT, ASK, EXECUTE = AutonomyLevel
TOOLS = ["".join(letters) for length in range(1, 5) for letters in product("ab.", repeat=length)]
PATTERNS = st.one_of(st.just(""), st.text("ab*?", min_size=1, max_size=5))
RULES = st.builds(
    AutonomyRule, st.sampled_from(AutonomyLevel), st.sampled_from(["", "w"]), PATTERNS, st.sampled_from(["", "g"])
)


def action(workflow: str, tool: str, agent: str) -> Proposal:
    return Proposal("", Action(tool, b"{}"), Identity(agent, ""), Run(workflow=workflow), Model(), (), b"{}", "", "")


ACTIONS = [action(*names) for names in product(["", "w", "v"], TOOLS, ["g", "h"])]


def raised(autonomy: Autonomy, before: list[AutonomyRule], after: list[AutonomyRule]) -> bool:
    return any(
        resolve(autonomy, after, each).level.rank > resolve(autonomy, before, each).level.rank for each in ACTIONS
    )


@given(
    file=st.lists(RULES, max_size=2),
    before=st.lists(RULES, max_size=3, unique_by=lambda rule: rule.key),
    changed=RULES,
    removed=st.booleans(),
    default=st.booleans(),
)
@example(
    file=[AutonomyRule(OBSERVE)],
    before=[AutonomyRule(EXECUTE, tool="ab")],
    changed=AutonomyRule(EXECUTE, tool="*ab*"),
    removed=False,
    default=False,
)
@settings(max_examples=150, deadline=None)
def test_what_one_person_may_do_raises_nothing(
    *, file: list[AutonomyRule], before: list[AutonomyRule], changed: AutonomyRule, removed: bool, default: bool
) -> None:
    autonomy = Autonomy(rules=(*([AutonomyRule(ASK)] if default else []), *file))
    after = [rule for rule in before if rule.key != changed.key] + ([] if removed else [changed])
    if not widens(autonomy, before, after, changed):
        assert not raised(autonomy, before, after)


@pytest.mark.parametrize(
    ("file", "before", "changed", "more"),
    [
        ([EXECUTE], [], AutonomyRule(DRAFT, tool="stripe.*"), False),
        ([EXECUTE], [], AutonomyRule(OBSERVE), False),
        ([DRAFT], [], AutonomyRule(ASK, tool="stripe.*"), True),
        ([OBSERVE], [AutonomyRule(EXECUTE, tool="stripe.refund")], AutonomyRule(EXECUTE, tool="*stripe.refund*"), True),
        ([EXECUTE], [AutonomyRule(OBSERVE, tool="stripe.refund")], AutonomyRule(DRAFT, tool="stripe.*"), False),
        ([EXECUTE], [AutonomyRule(OBSERVE, tool="mail.*")], AutonomyRule(DRAFT, tool="stripe.*"), False),
        ([EXECUTE], [AutonomyRule(OBSERVE, tool="stripe.*")], AutonomyRule(DRAFT, tool="stripe.re*"), True),
        ([EXECUTE], [AutonomyRule(ASK, tool="stripe.*")], AutonomyRule(DRAFT, tool="stripe.*"), False),
        ([EXECUTE], [AutonomyRule(DRAFT, tool="stripe.*")], AutonomyRule(ASK, tool="stripe.*"), True),
        ([EXECUTE], [AutonomyRule(OBSERVE, workflow="w")], AutonomyRule(DRAFT, tool="stripe.*"), False),
        ([EXECUTE], [AutonomyRule(OBSERVE, workflow="w")], AutonomyRule(DRAFT, workflow="w", tool="a"), True),
    ],
)
def test_who_is_asked(
    file: list[AutonomyLevel], before: list[AutonomyRule], changed: AutonomyRule, *, more: bool
) -> None:
    autonomy = Autonomy(rules=tuple(AutonomyRule(level) for level in file))
    after = [rule for rule in before if rule.key != changed.key] + [changed]
    assert widens(autonomy, before, after, changed) is more


def test_taking_a_rule_away_gives_more_where_another_is_higher() -> None:
    autonomy = Autonomy(rules=(AutonomyRule(ASK),))
    for level, more in ((OBSERVE, True), (DRAFT, True), (ASK, False), (EXECUTE, False)):
        rule = AutonomyRule(level, tool="stripe.*")
        assert widens(autonomy, [rule], [], rule) is more
