"""`placet db`: schema, lost databases, clocks."""

from __future__ import annotations

import asyncio
import shutil
import sqlite3
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

from placet.cli.rendering import exit_codes
from placet.signing.keys import load_or_create_signing_key
from placet.storage.sqlite.backend import SqliteLedger
from tests.cli.data_dirs import run_server_once, tamper
from tests.serving import REGO_DIR
from tests.storage.making import TickingClock

if TYPE_CHECKING:
    from tests.cli.conftest import Placet


def test_new_trail(placet: Placet, data_dir: Path) -> None:
    asyncio.run(run_server_once(data_dir))
    refused = placet("db", "new-trail", "--reason", "the disk was lost")
    assert (refused.code, refused.out) == (exit_codes.USAGE, "")
    assert "nothing that was signed is missing" in refused.complaint
    (data_dir / "placet.db").unlink()
    assert "If the database was there before, restore it" in placet("audit", "verify").complaint
    assert placet("db", "new-trail").code == exit_codes.USAGE
    for reason in (" ", "x" * 1_025):
        assert "in 1 to 1024 bytes" in placet("db", "new-trail", "--reason", reason).complaint
    assert placet("db", "new-trail", "--reason", "x", "--as", "a\u200bnn").complaint.startswith("--as: ")
    ran = placet("db", "new-trail", "--reason", "the disk was lost", "--as", "ann", "-o", "json")
    assert ran.code == 0, ran.err
    [trail_break] = ran.document["breaks"]
    assert (
        trail_break["kind"],
        trail_break["writer"],
        trail_break["expected_sequence"],
        trail_break["found_sequence"],
    ) == (
        "lost",
        "placet",
        6,
        0,
    )
    assert placet("audit", "verify", "--state").code == 0
    [record] = placet("audit", "events", "--kind", "trail.restarted", "-o", "json").document["records"]
    assert record["parts"]["control"] == {"actor": "ann", "reason": "the disk was lost"}
    asyncio.run(run_server_once(data_dir))


def test_new_trail_prints_the_next_steps(placet: Placet, data_dir: Path) -> None:
    asyncio.run(run_server_once(data_dir))
    (data_dir / "placet.db").unlink()
    ran = placet("db", "new-trail", "--reason", "the disk was lost", "--as", "ann")
    assert ran.code == 0, ran.err
    steps = [
        "placet serve",
        "placet kill-switches set",
        "placet autonomy set",
        "placet budgets adjust",
        "audit verify --state",
    ]
    assert [step for step in steps if step not in ran.out] == []


@pytest.mark.parametrize("named", [".placet", "elsewhere here"])
def test_remedies_name_the_data_directory(placet: Placet, data_dir: Path, named: str) -> None:
    chosen = data_dir if named == ".placet" else data_dir.rename(data_dir.with_name(named))
    there = "" if named == ".placet" else f" --data-dir '{named}'"
    asyncio.run(run_server_once(chosen))
    ran = placet("db", "new-trail", "--reason", "x", "--data-dir", named)
    assert f"run `placet serve{there}`" in ran.complaint
    ran = placet("db", "accept-clock", "--reason", "x", "--data-dir", named)
    assert f"`placet serve{there}`" in ran.err + ran.out
    (chosen / "placet.db").unlink()
    checks = {each["check"]: each for each in placet("doctor", "--data-dir", named, "-o", "json").document["checks"]}
    assert f"run `placet db new-trail --reason TEXT{there}`" in checks["trail"]["detail"]
    ran = placet("serve", "--data-dir", named, "--rego-dir", REGO_DIR, "--listen", "127.0.0.1:0")
    assert f"run `placet db new-trail --reason TEXT{there}`" in ran.complaint
    ran = placet("db", "new-trail", "--reason", "x", "--data-dir", named)
    assert f"`placet serve{there}`" in ran.out
    assert f"`placet audit verify --state{there}`" in ran.out


def test_new_trail_warns_of_a_policy_without_comparison(placet: Placet, data_dir: Path) -> None:
    asyncio.run(run_server_once(data_dir))
    bundles = data_dir / "bundles"
    bundles.mkdir()
    (bundles / "0.source.tgz").touch()
    (data_dir / "placet.db").unlink()
    assert "without a comparison" not in placet("db", "new-trail", "--reason", "x").out
    shutil.rmtree(bundles)
    (data_dir / "placet.db").unlink()
    output = placet("db", "new-trail", "--reason", "x").out
    assert f"{Path('.placet/bundles')} has no policy that was served before" in output
    assert "rego without a comparison. Check for lost restrictions" in output


@pytest.mark.parametrize("command", ["new-trail", "accept-clock"])
def test_recovery_without_a_database(placet: Placet, empty_folder: Path, command: str) -> None:
    ran = placet("db", command, "--reason", "try")
    assert (ran.code, ran.out) == (exit_codes.USAGE, "")
    assert f"there is no database in {empty_folder / '.placet'}" in ran.complaint
    assert "--data-dir" in ran.complaint
    assert not list(empty_folder.iterdir())
    (empty_folder / ".placet").mkdir()
    (empty_folder / ".placet" / "placet.db").touch()
    ran = placet("db", command, "--reason", "try")
    assert (ran.code, ran.out) == (exit_codes.USAGE, "")
    assert "holds no record yet. Name the server's data directory with --data-dir" in ran.complaint
    assert [path.name for path in (empty_folder / ".placet").rglob("*")] == ["placet.db"]
    assert not (empty_folder / ".placet" / "placet.db").stat().st_size


def test_db_status_and_upgrade(placet: Placet, data_dir: Path) -> None:
    ran = placet("db", "status", "-o", "json")
    assert ran.code == 0
    assert ran.document["state"] == "current"
    assert ran.document["revision"] == ran.document["wanted"]
    assert ["state", "current"] in [line.split() for line in placet("db", "upgrade").out.splitlines()]
    tamper(data_dir / "placet.db", "update alembic_version set version_num = '9999'")
    assert placet("db", "status").code == exit_codes.CHECK_FAILED
    ran = placet("db", "upgrade")
    assert ran.code == exit_codes.USAGE
    assert "newer Placet" in ran.complaint


def test_db_upgrade_of_an_empty_file(placet: Placet, data_dir: Path) -> None:
    (data_dir / "placet.db").unlink()
    (data_dir / "placet.db").touch()
    assert placet("db", "status", "-o", "json").document["state"] == "empty"
    assert placet("db", "upgrade", "-o", "json").document["state"] == "current"
    ran = placet("audit", "verify")
    assert ran.code == exit_codes.CHECK_FAILED
    assert "no_records" in ran.out


def test_db_of_a_file_that_is_not_a_database(placet: Placet, data_dir: Path) -> None:
    (data_dir / "placet.db").write_text("this is no database, however long it is looked at" * 100)
    ran = placet("db", "status")
    assert ran.code == exit_codes.USAGE
    assert "is not a database" in ran.complaint


def test_db_with_a_missing_table(placet: Placet, data_dir: Path) -> None:
    connection = sqlite3.connect(data_dir / "placet.db")
    connection.execute("drop table audit_parts")
    connection.close()
    ran = placet("audit", "verify", "-o", "json")
    assert ran.code == exit_codes.CHECK_FAILED
    assert [(each["kind"], each["detail"]) for each in ran.document["problems"]] == [
        ("database_damaged", "The database is damaged: there is no table audit_parts")
    ]
    ran = placet("db", "status", "-o", "json")
    assert (ran.code, ran.document["state"], ran.document["missing"]) == (1, "damaged", ["audit_parts"])
    assert ["missing", "audit_parts"] in [line.split() for line in placet("db", "status").out.splitlines()]
    ran = placet("db", "upgrade")
    assert ran.code == exit_codes.USAGE
    assert "is damaged" in ran.complaint


def test_db_upgrade_while_a_server_runs(placet: Placet, data_dir: Path) -> None:
    key = load_or_create_signing_key(data_dir / "keys")
    ledger = SqliteLedger.open(data_dir / "placet.db", writer="placet", signing_key=key, clock=TickingClock())
    ran = placet("db", "upgrade")
    asyncio.run(ledger.close())
    assert ran.code == exit_codes.USAGE
    assert "is in use by process" in ran.complaint
