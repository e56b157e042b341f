"""Errors of the store never claim that a change was not made if it may have been made."""

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
    text = status_of(LedgerUnavailableError("x"), request_name).message
    assert "the change may have been made or not: look first" in text
    assert "not made" not in text


@pytest.mark.parametrize("request_name", ["AuthorizeRequest", "SetKillSwitchRequest", "QueryDecisionsRequest"])
def test_a_known_cause_comes_first(request_name: str) -> None:
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
def test_a_cause_is_described_in_a_text_of_placet(fault: BaseException, cause: str) -> None:
    assert known_cause(fault) == cause
    assert "secret" not in known_cause(fault)


def test_a_failed_commit_of_a_decision_says_to_try_again() -> None:
    text = status_of(LedgerUnavailableError("x"), "AuthorizeRequest").message
    assert "it is not certain that the decision was recorded" in text
    assert "the same idempotency_key" in text


def test_no_text_claims_that_a_change_was_not_made() -> None:
    files = [
        *(ROOT / "server" / "placet").rglob("*.py"),
        *(ROOT / "docs").glob("*.md"),
        *(ROOT / "proto").rglob("*.proto"),
    ]
    assert [path.name for path in files if DENIED.search(" ".join(path.read_text().split()))] == []
