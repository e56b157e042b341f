"""What can happen to a file of the data directory, and how a server is shown to have taken no harm of it."""

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

    from placet.server.settings import Settings

READ: Final = Action("jira.search", {"query": "x"})
AGENT: Final = Identity(agent="triage-agent", tenant="acme")
HARMLESS: Final = ""


def decide(address: str, count: int = 1) -> list[str]:
    """Ids of decisions, each an allow by the rule that the shipped policies have for it."""
    with Client(address, timeout=20) as client:
        answers = [client.authorize(READ, AGENT) for _ in range(count)]
    assert {(each.effect.value, each.rule_id) for each in answers} == {("allow", "tools.listed_read")}
    return [each.decision_id for each in answers]


def remove(path: Path, _: Path) -> None:
    path.unlink()


def put_an_older(path: Path, older: Path) -> None:
    shutil.copy2(older, path)


def cut(path: Path, _: Path) -> None:
    os.truncate(path, path.stat().st_size // 2)


def empty(path: Path, _: Path) -> None:
    os.truncate(path, 0)


def make_unreadable(path: Path, _: Path) -> None:
    """A directory in its place: root may read whatever its mode is."""
    path.unlink()
    path.mkdir(mode=0o700)


FAULTS: Final = (remove, put_an_older, cut, empty, make_unreadable)


def require_whole(given: Settings, decided: list[str]) -> None:
    """All that was told is in the trail, which verifies to the end that its keys know of."""
    report = given.database.verify(load_public_keys(given.keys_dir), PinnedCheckpoints(given.keys_dir).read())
    assert report.ok, report.problems
    assert not look_for_breaks(given.database, given.replica_id, PinnedCheckpoints(given.keys_dir))
    if given.database_url:
        return
    with closing(connect_reader(given.data_dir / "placet.db")) as database:
        stored = {each for (each,) in database.execute("SELECT decision_id FROM audit_records WHERE decision_id <> ''")}
    assert stored == set(decided)
