"""Commands that read the database themselves, on PostgreSQL."""

from __future__ import annotations

import asyncio
import shutil
from typing import TYPE_CHECKING
from urllib.parse import urlsplit

import pytest

from placet.cli.rendering import exit_codes
from placet.server.settings.sources import load_settings
from placet.signing.keys import PUBLIC_NAME, PublicKeys, load_or_create_signing_key
from placet.storage.postgres.backend import PostgresLedger
from tests.storage.making import TickingClock, commitment

if TYPE_CHECKING:
    from pathlib import Path

    from tests.cli.conftest import Placet
    from tests.postgres import Postgres

REPLICAS = ("a", "b")


async def record(url: str, folder: Path) -> None:
    """A decision and a checkpoint by each of two replicas with keys of their own."""
    for number, writer in enumerate(REPLICAS, 1):
        key = load_or_create_signing_key(folder / writer / "keys")
        ledger = PostgresLedger.open(url, writer=writer, signing_key=key, keys=PublicKeys.of(), clock=TickingClock())
        await ledger.commit([commitment(number)])
        await ledger.checkpoint()
        await ledger.close()


@pytest.fixture
def recorded(postgres_url: str, tmp_path: Path) -> Path:
    """The folder of the replicas' data directories."""
    asyncio.run(record(postgres_url, tmp_path))
    return tmp_path


def public_keys(folder: Path) -> list[str]:
    options = [("--public-key", str(folder / writer / "keys" / PUBLIC_NAME)) for writer in REPLICAS]
    return [word for option in options for word in option]


def test_verify_with_the_keys_of_all_replicas(placet: Placet, postgres_url: str, recorded: Path) -> None:
    ran = placet("audit", "verify", "--database-url", postgres_url, *public_keys(recorded))
    assert (ran.code, ran.out) == (0, "ok: records 2, chains 2, checkpoints 2\n")


def test_verify_names_a_missing_key(placet: Placet, postgres_url: str, recorded: Path) -> None:
    ran = placet("audit", "verify", "--database-url", postgres_url, "--data-dir", recorded / "a", "-o", "json")
    assert ran.code == exit_codes.CHECK_FAILED
    (problem,) = ran.document["problems"]
    assert (problem["kind"], problem["writer"]) == ("checkpoint_signature", "b")
    assert problem["detail"].endswith(", which was not given")
    shutil.copy(recorded / "b" / "keys" / PUBLIC_NAME, recorded / "a" / "keys" / "audit_b.pub.pem")
    assert placet("audit", "verify", "--database-url", postgres_url, "--data-dir", recorded / "a").code == 0


def test_stored_checkpoints(
    placet: Placet, postgres_url: str, postgres_server: Postgres, recorded: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("PLACET_DATABASE_URL", postgres_url)
    checkpoint_file = recorded / "kept.json"
    checkpoint_file.write_text(placet("audit", "checkpoint").out)
    arguments = ["audit", "verify", *public_keys(recorded), "--checkpoint", str(checkpoint_file)]
    assert placet(*arguments).code == 0
    database = urlsplit(postgres_url).path.strip("/")
    for table in ("audit_records", "audit_parts", "audit_writers", "audit_checkpoints", "idempotency_keys"):
        postgres_server.run(f"TRUNCATE {table}", database)
    ran = placet(*arguments)
    assert ran.code == exit_codes.CHECK_FAILED
    assert "kept_checkpoint_mismatch" in ran.out


def test_db_status_and_upgrade(placet: Placet, postgres_url: str) -> None:
    ran = placet("db", "status", "--database-url", postgres_url, "-o", "json")
    assert (ran.code, ran.document["state"]) == (exit_codes.CHECK_FAILED, "empty")
    ran = placet("db", "upgrade", "--database-url", postgres_url, "-o", "json")
    assert (ran.code, ran.document["state"]) == (0, "current")
    assert placet("db", "status", "--database-url", postgres_url).code == 0


def test_no_database_server(placet: Placet) -> None:
    url = "postgresql://placet:hunter2@127.0.0.1:1/placet"
    for command in (["db", "status"], ["db", "upgrade"], ["audit", "checkpoint"]):
        ran = placet(*command, "--database-url", url)
        assert ran.code == exit_codes.USAGE
        assert ran.complaint.startswith("postgresql://placet@127.0.0.1:1/placet: ")
        assert "hunter2" not in ran.err


def test_doctor(placet: Placet, postgres_url: str, recorded: Path) -> None:
    ran = placet(
        "doctor", "--database-url", postgres_url, "--data-dir", recorded / "a", "--replica-id", "a", "-o", "json"
    )
    checks = {check["check"]: check for check in ran.document["checks"]}
    assert checks["database"]["ok"], checks["database"]
    assert checks["signing key"]["ok"], checks["signing key"]
    ran = placet(
        "doctor", "--database-url", postgres_url, "--data-dir", recorded / "a", "--replica-id", "b", "-o", "json"
    )
    checks = {check["check"]: check for check in ran.document["checks"]}
    assert "are signed with the key" in checks["signing key"]["detail"]


def test_doctor_checks_that_commits_are_durable(
    placet: Placet, postgres_server: Postgres, postgres_url: str, tmp_path: Path
) -> None:
    database = load_settings({"database_url": postgres_url})[0].database.name.rpartition("/")[2]
    postgres_server.run(f"ALTER DATABASE {database} SET synchronous_commit = off")
    ran = placet("doctor", "--database-url", postgres_url, "--data-dir", tmp_path / "new", "-o", "json")
    checks = {check["check"]: check for check in ran.document["checks"]}
    assert "synchronous_commit is off" in checks["database"]["detail"]


def test_settings_show_no_password(placet: Placet) -> None:
    url = "postgresql://placet:hunter2@db.internal/placet?sslmode=require"
    ran = placet("serve", "--print-settings", "--database-url", url, "-o", "json")
    shown = {each["name"]: each["value"] for each in ran.document["settings"]}
    assert shown["database_url"] == "postgresql://placet@db.internal/placet"
    assert "hunter2" not in ran.out


@pytest.mark.parametrize("url", ["mysql://x", "postgresql://[::1/x", "placet", "postgresql://x/?no_such=1"])
def test_invalid_urls(placet: Placet, url: str) -> None:
    ran = placet("db", "status", "--database-url", url)
    assert ran.code == exit_codes.USAGE
    assert ran.complaint.startswith("database_url (--database-url): ")
    assert "write e.g." in ran.complaint or "must begin with postgresql://" in ran.complaint
