"""What a store that failed leaves open is told as open: nothing that may have been made is said not to have been."""

from __future__ import annotations

import errno
import re

import psycopg.errors
import pytest

from placet.kernel.errors import LedgerUnavailableError
from placet.storage.causes import DISK_FULL, FILES_LOST, known_cause
from placet.storage.connections.file_guard import FilesLostError
from placet.transport.grpc.errors import status_of
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
    assert "the change may have been made or not: look first" in said
    assert "not made" not in said


@pytest.mark.parametrize("request_name", ["AuthorizeRequest", "SetKillSwitchRequest", "QueryDecisionsRequest"])
def test_what_the_server_knows_is_told_first(request_name: str) -> None:
    unknown = status_of(LedgerUnavailableError("SELECT secret"), request_name).message
    known = status_of(LedgerUnavailableError("SELECT secret", DISK_FULL), request_name).message
    assert known == f"{DISK_FULL}; {unknown}"


@pytest.mark.parametrize(
    ("fault", "cause"),
    [
        (OSError(errno.ENOSPC, "No space left", "/secret/placet.db"), DISK_FULL),
        (OSError(errno.EDQUOT, "Disk quota exceeded"), DISK_FULL),
        (OSError(errno.EIO, "input/output error", "/secret/placet.db"), ""),
        (FilesLostError("/secret/placet.db-wal: was removed"), FILES_LOST),
        (psycopg.errors.DiskFull("no room in /secret"), DISK_FULL),
        (psycopg.OperationalError("host secret"), ""),
        (ValueError("secret"), ""),
    ],
)
def test_a_cause_is_told_in_words_of_placets_own(fault: BaseException, cause: str) -> None:
    assert known_cause(fault) == cause
    assert "secret" not in known_cause(fault)


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
