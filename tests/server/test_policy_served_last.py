"""What was served last is known after the data directory, or the database, was lost."""

from __future__ import annotations

import contextlib
import shutil
import sqlite3
import subprocess
import sys
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

from placet.sdk import Action, Client, ControlClient, Effect, Identity
from tests.serving import serving, settings
from tests.support.bundle_cache import VARIABLE

if TYPE_CHECKING:
    from placet.server.settings.model import Settings
    from tests.serving import Server

READ = Action("jira.search", {"query": "x"})
AGENT = Identity(agent="triage-agent", tenant="acme")


@pytest.fixture(autouse=True)
def empty_disks(monkeypatch: pytest.MonkeyPatch) -> None:
    """A server finds only the bundles that a server before it built in the same data directory."""
    monkeypatch.delenv(VARIABLE, raising=False)


def cut(chosen: Settings) -> None:
    """Cut the tenant's file off, with one value changed before."""
    file = chosen.rego_dir / "config" / "acme.yaml"
    whole = file.read_text()
    file.write_text(whole.partition("  destinations:")[0].replace("maxLength: 500", "maxLength: 501"))


def held(server: Server, served: str) -> str:
    """The revision that waits while the served one decides."""
    status = server.running.policies.status()
    assert (status.revision, status.ready, bool(status.held_revision)) == (served, True, True)
    assert any("lost restrictions: destinations" in reason for reason in status.held_reasons)
    return status.held_revision


def test_a_replica_with_an_empty_disk_asks_against_what_another_served(postgres_url: str, tmp_path: Path) -> None:
    one, two, three = (
        settings(tmp_path / name, database_url=postgres_url, replica_id=name) for name in ("one", "two", "three")
    )
    with serving(one) as server:
        served = server.running.policies.status().revision
    with serving(two) as server:  # the same policy, on a disk of its own
        status = server.running.policies.status()
        assert (status.revision, status.held_revision) == (served, "")
    cut(three)
    with serving(three) as server, ControlClient(server.address) as control:
        revision = held(server, served)
        done = control.confirm_policy(revision, actor="ann", reason="it is meant")
        assert (done.activated, done.policy_revision) == (True, revision)
    cut(two)
    with serving(two) as server:  # it was confirmed for all
        assert server.running.policies.status().revision == revision


def test_a_lost_cache_is_made_up_for_by_the_ledger(tmp_path: Path) -> None:
    chosen = settings(tmp_path)
    with serving(chosen) as server:
        served = server.running.policies.status().revision
    shutil.rmtree(chosen.bundles_dir)
    with serving(chosen) as server:
        assert server.running.policies.status().held_revision == ""
    cut(chosen)
    shutil.rmtree(chosen.bundles_dir)
    with serving(chosen) as server:
        held(server, served)


def test_a_lost_database_is_made_up_for_by_the_cache(tmp_path: Path) -> None:
    chosen = settings(tmp_path)
    with serving(chosen) as server:
        served = server.running.policies.status().revision
    cut(chosen)
    for path in tmp_path.glob("placet.db*"):
        path.unlink()
    command = [
        str(Path(sys.executable).with_name("placet")),
        "db",
        "new-trail",
        "--data-dir",
        str(tmp_path),
        "--reason",
        "lost",
    ]
    subprocess.run(command, check=True, capture_output=True)
    with serving(chosen) as server:
        assert held(server, served) != served


@pytest.mark.parametrize("asks", [True, False])
def test_what_cannot_be_compared_denies_everything_until_it_is_confirmed(tmp_path: Path, *, asks: bool) -> None:
    chosen = settings(tmp_path, confirm_policy_removals=asks)
    with serving(chosen) as server:
        first = server.running.policies.status().revision
    cut(chosen)
    shutil.rmtree(chosen.bundles_dir)
    with contextlib.closing(sqlite3.connect(tmp_path / "placet.db")) as database, database:  # as older versions left it
        database.execute("delete from control_requests where id = 'policy.served_last'")
    with serving(chosen) as server, ControlClient(server.address) as control, Client(server.address) as client:
        if not asks:
            assert server.running.policies.status().revision not in {"", first}
            return
        status = control.policy_status()
        assert (status.serving, status.policy_revision) == (False, "")
        assert any("could not be compared, because" in reason for reason in status.held_reasons)
        assert any("placet policy confirm" in reason for reason in status.not_serving_reasons)
        decided = client.authorize(READ, AGENT)
        assert (decided.effect, decided.rule_id) == (Effect.DENY, "pdp.engine_unavailable")
        done = control.confirm_policy(status.held_revision, actor="ann", reason="it is meant")
        assert done.activated
        assert client.authorize(READ, AGENT).effect is Effect.ALLOW
        assert control.policy_status().serving
