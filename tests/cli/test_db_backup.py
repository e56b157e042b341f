"""`placet db backup`: a copy of one moment while servers write, verified, and what a restored copy lacks is found."""

from __future__ import annotations

import asyncio
import shutil
import threading
from typing import TYPE_CHECKING

import pytest

from placet import sdk
from placet.cli.rendering import exit_codes
from placet.kernel.errors import ConfigurationError
from tests.cli.data_dirs import run_server_once, tamper
from tests.serving import REGO_DIR, serving, settings

if TYPE_CHECKING:
    from pathlib import Path

    from tests.cli.conftest import Placet


def test_a_backup_is_one_verified_file(placet: Placet, data_dir: Path, tmp_path: Path) -> None:
    copy = tmp_path / "copy.db"
    ran = placet("db", "backup", copy, "-o", "json")
    assert ran.code == 0, ran.err
    assert ran.document["records"] == 5
    assert ran.document["bytes"] == copy.stat().st_size
    assert copy.stat().st_mode & 0o777 == 0o600
    assert [path.name for path in tmp_path.iterdir() if "copy" in path.name] == ["copy.db"], "one file is the copy"
    verified = placet(
        "audit", "verify", "--database", copy, "--public-key", data_dir / "keys" / "audit_ed25519.pub.pem"
    )
    assert verified.code == 0, verified.out


def test_a_backup_replaces_nothing(placet: Placet, data_dir: Path, tmp_path: Path) -> None:
    copy = tmp_path / "copy.db"
    copy.write_text("an earlier backup")
    ran = placet("db", "backup", copy)
    assert ran.code == exit_codes.USAGE
    assert "exists already, and a backup replaces nothing" in ran.complaint
    assert copy.read_text() == "an earlier backup"
    ran = placet("db", "backup", data_dir / "placet.db")
    assert "exists already" in ran.complaint


def test_no_backup_of_a_damaged_trail(placet: Placet, data_dir: Path, tmp_path: Path) -> None:
    tamper(data_dir / "placet.db", "UPDATE audit_records SET body = x'00' WHERE sequence = 3")
    ran = placet("db", "backup", tmp_path / "copy.db")
    assert ran.code == exit_codes.CHECK_FAILED
    assert "does not verify, so" in ran.err
    assert [path for path in tmp_path.iterdir() if path.name != "here"] == []


@pytest.mark.parametrize("missing", ["folder", "database", "keys"])
def test_what_is_missing_is_told(placet: Placet, data_dir: Path, tmp_path: Path, missing: str) -> None:
    target = tmp_path / "copy.db"
    if missing == "folder":
        target = tmp_path / "nowhere" / "copy.db"
    elif missing == "database":
        (data_dir / "placet.db").unlink()
    else:
        shutil.rmtree(data_dir / "keys")
    ran = placet("db", "backup", target)
    assert ran.code == exit_codes.USAGE
    told = {"folder": "cannot be written", "database": "there is no database", "keys": "there is no such file"}
    assert told[missing] in ran.complaint
    assert not target.exists()


def test_postgres_has_its_own_tools(placet: Placet, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PLACET_DATABASE_URL", "postgresql://placet@db.internal/placet")
    ran = placet("db", "backup", tmp_path / "copy.db")
    assert (ran.code, "pg_basebackup" in ran.complaint) == (exit_codes.USAGE, True)


def test_a_backup_while_a_server_decides(placet: Placet, tmp_path: Path) -> None:
    """The copy verifies with its state, and the server's guard of its files sees nothing."""
    stop = threading.Event()
    decided: list[sdk.Effect] = []
    with serving(settings(tmp_path / "data", rego_dir=REGO_DIR)) as server:

        def ask() -> None:
            with sdk.Client(server.address, timeout=60) as client:
                while not stop.is_set():
                    identity = sdk.Identity("support-agent", "acme", user=f"u_{len(decided)}")
                    decided.append(client.authorize(sdk.Action("jira.search"), identity).effect)

        asking = threading.Thread(target=ask)
        asking.start()
        try:
            copies = [tmp_path / f"copy{number}.db" for number in range(3)]
            counts = [
                placet("db", "backup", copy, "--data-dir", server.data_dir, "-o", "json").document["records"]
                for copy in copies
            ]
            before = len(decided)
            threading.Event().wait(0.5)
        finally:
            stop.set()
            asking.join(60)
    assert counts == sorted(counts)
    assert len(decided) > before, "the server goes on"
    assert set(decided) == {sdk.Effect.ALLOW}
    assert placet("audit", "verify", "--state", "--data-dir", server.data_dir).code == 0


def test_a_restore_that_lost_the_tail_is_found_and_recorded(placet: Placet, data_dir: Path, tmp_path: Path) -> None:
    copy, kept = tmp_path / "copy.db", tmp_path / "kept.json"
    asyncio.run(run_server_once(data_dir))
    records = placet("db", "backup", copy, "-o", "json").document["records"]
    asyncio.run(run_server_once(data_dir))
    kept.write_text(placet("audit", "checkpoint").out)
    assert placet("audit", "verify", "--checkpoint", kept).code == 0

    # On a new machine the copy and the keys verify: a chain that ends earlier is a whole chain.
    elsewhere = ("--database", copy, "--public-key", data_dir / "keys" / "audit_ed25519.pub.pem")
    assert placet("audit", "verify", "--state", *elsewhere).code == 0
    # The checkpoint that was kept elsewhere shows that the tail is lost.
    ran = placet("audit", "verify", *elsewhere, "--checkpoint", kept, "-o", "json")
    assert ran.code == exit_codes.CHECK_FAILED
    [problem] = ran.document["problems"]
    assert (problem["kind"], problem["sequence"]) == ("kept_checkpoint_mismatch", records + 1)

    # In place, the notes beside the keys refuse the start until a person records the loss.
    for path in data_dir.glob("placet.db*"):
        path.unlink()
    shutil.copy(copy, data_dir / "placet.db")
    with pytest.raises(ConfigurationError, match="older"):
        asyncio.run(run_server_once(data_dir))
    assert placet("db", "new-trail", "--reason", "disk lost, backup restored").code == 0
    asyncio.run(run_server_once(data_dir))
    assert placet("audit", "verify", "--state").code == 0
    assert placet("audit", "verify", "--checkpoint", kept).code == exit_codes.CHECK_FAILED, "what is lost stays lost"
