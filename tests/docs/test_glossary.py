"""docs/reference/glossary.md: every word that state is kept, told or decided by, in order."""

from __future__ import annotations

from typing import Final

import pytest

from placet.commands.four_eyes import ChangeKind
from placet.kernel.state import Kept
from tests.docs.tables import DOCS, rows

PAGE = DOCS / "reference/glossary.md"
WORDS = [row[0].strip("*") for row in rows(PAGE, "Glossary")]
CALLED: Final = {
    Kept.APPROVALS: "approval",
    Kept.APPROVAL_INDEX: "approval index",
    Kept.RESERVATIONS: "reservation",
    Kept.OUTCOMES: "outcome",
    Kept.KILL_SWITCHES: "kill switch",
    Kept.AUTONOMY: "override",
    Kept.BREAKERS: "breaker",
    Kept.CONTROL_REQUESTS: "control request",
    Kept.CONTROL_VERSIONS: "control version",
    Kept.WEBHOOK_OUTBOX: "outbox",
}
"""What is kept -> its word."""


def test_words_are_in_order_and_each_has_one_row() -> None:
    assert sorted(set(WORDS), key=str.lower) == WORDS


@pytest.mark.parametrize("kept", list(Kept))
def test_everything_that_is_kept_has_its_word(kept: Kept) -> None:
    assert CALLED[kept] in WORDS


@pytest.mark.parametrize("change", list(ChangeKind))
def test_everything_that_people_change_has_its_word(change: ChangeKind) -> None:
    assert change.partition(".")[0].replace("_", " ") in WORDS


@pytest.mark.parametrize(
    "word",
    ["counter", "window", "scope", "quorum", "permit", "probe", "webhook", "cursor", "soft threshold", "replica"],
)
def test_words_of_state_are_explained(word: str) -> None:
    assert word in WORDS
