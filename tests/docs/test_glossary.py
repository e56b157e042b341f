"""docs/reference/glossary.md defines the terms of stored state, in order."""

from __future__ import annotations

from typing import Final

import pytest

from placet.commands.four_eyes import ChangeKind
from placet.kernel.state import StateTable
from tests.docs.tables import DOCS, rows

PAGE = DOCS / "reference/glossary.md"
WORDS = [row[0].strip("*") for row in rows(PAGE, "Glossary")]
TERMS: Final = {
    StateTable.APPROVALS: "approval",
    StateTable.APPROVAL_INDEX: "approval index",
    StateTable.RESERVATIONS: "reservation",
    StateTable.OUTCOMES: "outcome",
    StateTable.KILL_SWITCHES: "kill switch",
    StateTable.AUTONOMY: "override",
    StateTable.BREAKERS: "breaker",
    StateTable.CONTROL_REQUESTS: "control request",
    StateTable.CONTROL_VERSIONS: "control version",
    StateTable.WEBHOOK_OUTBOX: "outbox",
    StateTable.ACCESS_TOKENS: "access token",
    StateTable.KEY_SETS: "permit key",
    StateTable.TOKEN_USES: "token use",
}
"""Table of state -> its term in the glossary."""


def test_words_are_in_order_and_each_has_one_row() -> None:
    assert sorted(set(WORDS), key=str.lower) == WORDS


@pytest.mark.parametrize("table", list(StateTable))
def test_every_table_of_state_has_its_term(table: StateTable) -> None:
    assert TERMS[table] in WORDS


@pytest.mark.parametrize("change", list(ChangeKind))
def test_everything_that_people_change_has_its_word(change: ChangeKind) -> None:
    assert change.partition(".")[0].replace("_", " ") in WORDS


@pytest.mark.parametrize(
    "word",
    ["counter", "window", "scope", "quorum", "permit", "probe", "webhook", "cursor", "soft threshold", "replica"],
)
def test_words_of_state_are_explained(word: str) -> None:
    assert word in WORDS
