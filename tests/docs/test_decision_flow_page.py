"""docs/concepts/decision-flow.md lists the guards in the order in which the code applies them."""

from __future__ import annotations

import fnmatch
import re
from pathlib import Path

from placet.decision import guards
from placet.kernel import rule_ids

PAGE = Path(__file__).parents[2] / "docs/concepts/decision-flow.md"
GUARD = re.compile(r"^\| \d+ \| `(\w+)` \| (.+?) \|", re.MULTILINE)


def listed() -> list[tuple[str, set[str]]]:
    """Name of each guard with the rule_ids that the page gives it."""
    return [(name, set(re.findall(r"`([^`]+)`", rules))) for name, rules in GUARD.findall(PAGE.read_text())]


def test_the_page_lists_the_guards_in_their_order() -> None:
    assert [name for name, _ in listed()] == [guard.__name__ for guard in (*guards.BEFORE_POLICY, *guards.LIMITS)]


def test_each_guard_says_the_rule_ids_of_the_page() -> None:
    for name, named in listed():
        assert set(re.findall(r"`([^`]+\.[^`]+)`", str(getattr(guards, name).__doc__))) == named, name


def test_the_rule_ids_exist() -> None:
    known = {*rule_ids.REASONS, *rule_ids.CORE_REASONS, "budgets.of_a_tenant"}
    for name, named in listed():
        for pattern in named:
            assert fnmatch.filter(known, pattern), (name, pattern)
