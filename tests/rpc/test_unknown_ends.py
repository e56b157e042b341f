"""What a store that failed leaves open is told as open: nothing that may have been made is said not to have been."""

from __future__ import annotations

import re

import pytest

from placet.core.errors import LedgerUnavailableError
from placet.rpc.errors import status_of
from tests.docs.blocks import ROOT

DENIED = re.compile(
    r"could not be (?:recorded|made durable),? so (?:it|that) (?:is|was) not (?:made|set|changed|given)"
)


@pytest.mark.parametrize(
    "request_name",
    ["SetKillSwitchRequest", "ClearKillSwitchRequest", "AdjustBudgetRequest", "ReportOutcomeRequest", "ApproveRequest"],
)
def test_a_change_whose_commit_failed_may_have_been_made(request_name: str) -> None:
    said = status_of(LedgerUnavailableError("x"), request_name).message
    assert "it may have been made; look what stands there" in said
    assert "not made" not in said


def test_a_decision_whose_commit_failed_is_asked_for_again() -> None:
    said = status_of(LedgerUnavailableError("x"), "AuthorizeRequest").message
    assert "it is not certain that the decision was recorded" in said
    assert "the same idempotency_key" in said


def test_no_text_says_that_it_was_not_made() -> None:
    told = [
        *(ROOT / "server" / "placet").rglob("*.py"),
        *(ROOT / "docs").glob("*.md"),
        *(ROOT / "proto").rglob("*.proto"),
    ]
    assert [path.name for path in told if DENIED.search(" ".join(path.read_text().split()))] == []
