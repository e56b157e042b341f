"""docs/how-to/runbook-2am.md names existing tenants and budgets, and its last step removes what the others set."""

from __future__ import annotations

import re
import shlex

from placet.policy.files.tenant_files import load_agent_policies
from tests.docs.blocks import ROOT, blocks
from tests.docs.tables import DOCS

PAGE = DOCS / "how-to/runbook-2am.md"
POLICIES = load_agent_policies(ROOT / "rego")
TYPED = [
    shlex.split(line)[1:]
    for block in blocks(PAGE)
    for line in block.text.replace("\\\n", " ").splitlines()
    if line.startswith("placet ")
]


def flag(words: list[str], name: str) -> str:
    return words[words.index(name) + 1] if name in words else ""


def test_its_tenants_and_budgets_are_those_of_the_repository() -> None:
    tenants = {flag(words, "--tenant") for words in TYPED} - {""}
    assert tenants == {"initech"}
    assert tenants <= POLICIES.keys()
    budgets = {budget.id for budget in POLICIES["initech"].budgets}
    adjusted = [words[2] for words in TYPED if words[:2] == ["budgets", "adjust"]]
    assert adjusted
    assert set(adjusted) <= budgets


def test_every_level_that_it_sets_is_taken_away_at_the_end() -> None:
    levels = [words for words in TYPED if words[:2] in (["autonomy", "set"], ["autonomy", "unset"])]
    was_set = [flag(words, "--tool") for words in levels if words[1] == "set"]
    assert was_set
    assert [flag(words, "--tool") for words in levels[len(was_set) :]] == was_set
    assert all(words[1] == "unset" for words in levels[len(was_set) :])


def test_it_says_what_a_raise_takes_and_what_the_check_needs() -> None:
    _, last = PAGE.read_text().split("## 4. ")
    assert re.search(r"Raising autonomy needs two people\. The first run exits with code 4; a second person", last)
    assert all(word in PAGE.read_text() for word in ("make setup", "--skip-lint"))
