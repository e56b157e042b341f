"""Faults of files in the data directory, and a check that a server lost nothing."""

from __future__ import annotations

import os
import shutil
from contextlib import closing
from typing import TYPE_CHECKING, Final

from placet.sdk import Action, Client, Identity
from placet.signing.keys import load_public_keys
from placet.signing.pinned_checkpoints import PinnedCheckpoints
from placet.storage.breaks import look_for_breaks
from placet.storage.connections.sqlite import connect_reader

if TYPE_CHECKING:
    from pathlib import Path

    from placet.server.settings.model import Settings

READ: Final = Action("jira.search", {"query": "x"})
AGENT: Final = Identity(agent="triage-agent", tenant="acme")
HARMLESS: Final = ""


def decide(address: str, count: int = 1) -> list[str]:
    """Request `count` reads with permits, check that the shipped policies allow each, and return the decision ids."""
    with Client(address, timeout=20) as client:
        decisions = [client.authorize(READ, AGENT, include_permit=True) for _ in range(count)]
    assert {(decision.effect.value, decision.rule_id) for decision in decisions} == {("allow", "tools.listed_read")}
    return [decision.decision_id for decision in decisions]


def remove(path: Path, _: Path) -> None:
    path.unlink()


def put_an_older(path: Path, older: Path) -> None:
    shutil.copy2(older, path)


def cut(path: Path, _: Path) -> None:
    os.truncate(path, path.stat().st_size // 2)


def empty(path: Path, _: Path) -> None:
    os.truncate(path, 0)


def make_unreadable(path: Path, _: Path) -> None:
    """Replace the file by a directory, because root can read a file of any mode."""
    path.unlink()
    path.mkdir(mode=0o700)


FAULTS: Final = (remove, put_an_older, cut, empty, make_unreadable)


def require_whole(settings: Settings, decided: list[str]) -> None:
    """Check that the trail has exactly these decisions, and verifies up to its pinned checkpoints."""
    report = settings.database.verify(load_public_keys(settings.keys_dir), PinnedCheckpoints(settings.keys_dir).read())
    assert report.ok, report.problems
    assert not look_for_breaks(settings.database, settings.replica_id, PinnedCheckpoints(settings.keys_dir))
    if settings.database_url:
        return
    with closing(connect_reader(settings.data_dir / "placet.db")) as database:
        stored = {
            decision_id
            for (decision_id,) in database.execute("SELECT decision_id FROM audit_records WHERE decision_id <> ''")
        }
    assert stored == set(decided)
