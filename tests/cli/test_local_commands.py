"""What works on files alone: audit verify|key|checkpoint, db, doctor."""

from __future__ import annotations

import asyncio
import contextlib
import json
import os
import shutil
import socket
import sqlite3
import stat
import subprocess
import tempfile
import time
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest

from placet.audit import chain
from placet.cli.doctor import installation
from placet.cli.doctor.check import failed
from placet.cli.rendering import exit_codes
from placet.kernel.errors import ConfigurationError
from placet.policy.bundles.bundle import build_bundle
from placet.policy.toolchain.binary import find_opa
from placet.server.ledger import open_recorded
from placet.server.ledger_clock import LedgerClock
from placet.server.settings import Settings
from placet.server.settings_sources import load_settings
from placet.signing.keys import PUBLIC_NAME, generate_signing_key, load_or_create_signing_key
from placet.signing.pinned_checkpoints import MARKER_NAME
from placet.storage.migrate import SchemaState, SchemaStatus
from placet.storage.sqlite.backend import SqliteLedger
from placet.v1 import audit_pb2, control_pb2
from tests.sdk.scripted_server import GET_POLICY_STATUS, VERIFY_AUDIT, ScriptedServer
from tests.serving import REGO_DIR
from tests.storage.making import TickingClock, commitment

if TYPE_CHECKING:
    from collections.abc import Iterator

    from placet.policy.toolchain.binary import Opa
    from tests.cli.conftest import Placet


def append(data_dir: Path, records: int, first: int = 0) -> None:
    """Some records, and a checkpoint over them."""

    async def write() -> None:
        key = load_or_create_signing_key(data_dir / "keys")
        ledger = SqliteLedger.open(data_dir / "placet.db", writer="placet", signing_key=key, clock=TickingClock())
        await ledger.commit([commitment(number) for number in range(first, first + records)])
        await ledger.checkpoint()
        await ledger.close()

    asyncio.run(write())


def tamper(database: Path, sql: str) -> None:
    connection = sqlite3.connect(database)
    assert connection.execute(sql).rowcount > 0
    connection.commit()
    connection.close()


@pytest.fixture
def data_dir(empty_folder: Path) -> Path:
    """The default data directory, with five records."""
    made = empty_folder / ".placet"
    made.mkdir()
    append(made, 5)
    return made


def test_verify(placet: Placet, data_dir: Path) -> None:
    ran = placet("audit", "verify")
    assert (ran.code, ran.out, ran.err) == (0, "ok: records 5, chains 1, checkpoints 1\n", "")
    document = placet("audit", "verify", "--data-dir", data_dir, "-o", "json").document
    assert document == {"ok": True, "records": 5, "chains": 1, "checkpoints": 1, "problems": []}


def test_verify_finds_a_changed_byte(placet: Placet, data_dir: Path) -> None:
    tamper(data_dir / "placet.db", "update audit_records set body = body || ' ' where sequence = 3")
    ran = placet("audit", "verify")
    assert ran.code == exit_codes.CHECK_FAILED
    assert "hash_mismatch" in ran.out
    document = placet("audit", "verify", "-o", "json").document
    assert not document["ok"]
    assert {"kind", "writer", "sequence", "detail"} == set(document["problems"][0])
    assert any(each["kind"] == "hash_mismatch" and each["sequence"] == 3 for each in document["problems"])


async def start_and_stop(data_dir: Path) -> None:
    """As a server does, without a policy."""
    faults: list[BaseException] = []
    async with contextlib.AsyncExitStack() as stack:
        await open_recorded(stack, Settings(data_dir=data_dir), LedgerClock(TickingClock(), 60), faults.append)
    assert not faults


def test_verify_of_a_database_that_lost_its_end(placet: Placet, data_dir: Path, tmp_path: Path) -> None:
    shutil.copy(data_dir / "placet.db", tmp_path / "older")
    asyncio.run(start_and_stop(data_dir))
    assert placet("audit", "verify").code == 0
    shutil.copy(tmp_path / "older", data_dir / "placet.db")
    ran = placet("audit", "verify", "-o", "json")
    assert ran.code == exit_codes.CHECK_FAILED
    (problem,) = ran.document["problems"]
    assert (problem["kind"], problem["writer"], problem["sequence"]) == ("newest_checkpoint_missing", "placet", 6)
    assert "records up to 6 are gone or others; was placet.db-wal removed, an older copy restored" in problem["detail"]
    public_key = data_dir / "keys" / PUBLIC_NAME
    assert placet("audit", "verify", "--public-key", public_key).code == exit_codes.CHECK_FAILED
    assert placet("audit", "verify", "--database", tmp_path / "older", "--public-key", public_key).code == 0
    found = {each["check"]: each for each in placet("doctor", "-o", "json").document["checks"]}["trail"]
    assert not found["ok"]
    assert "the chain of placet ends at record 5" in found["detail"]


def test_new_trail(placet: Placet, data_dir: Path) -> None:
    asyncio.run(start_and_stop(data_dir))
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
    [found] = ran.document["breaks"]
    assert (found["kind"], found["writer"], found["expected_sequence"], found["found_sequence"]) == (
        "lost",
        "placet",
        6,
        0,
    )
    assert placet("audit", "verify", "--state").code == 0
    [told] = placet("audit", "events", "--kind", "trail.restarted", "-o", "json").document["records"]
    assert told["parts"]["control"] == {"actor": "ann", "reason": "the disk was lost"}
    asyncio.run(start_and_stop(data_dir))


def test_new_trail_says_what_to_do_next(placet: Placet, data_dir: Path) -> None:
    asyncio.run(start_and_stop(data_dir))
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
    asyncio.run(start_and_stop(chosen))
    ran = placet("db", "new-trail", "--reason", "x", "--data-dir", named)
    assert f"run `placet serve{there}`" in ran.complaint
    ran = placet("db", "accept-clock", "--reason", "x", "--data-dir", named)
    assert f"`placet serve{there}`" in ran.err + ran.out
    (chosen / "placet.db").unlink()
    told = {each["check"]: each for each in placet("doctor", "--data-dir", named, "-o", "json").document["checks"]}
    assert f"run `placet db new-trail --reason TEXT{there}`" in told["trail"]["detail"]
    ran = placet("serve", "--data-dir", named, "--rego-dir", REGO_DIR, "--listen", "127.0.0.1:0")
    assert f"run `placet db new-trail --reason TEXT{there}`" in ran.complaint
    ran = placet("db", "new-trail", "--reason", "x", "--data-dir", named)
    assert f"`placet serve{there}`" in ran.out
    assert f"`placet audit verify --state{there}`" in ran.out


def test_new_trail_says_when_the_policy_decides_unasked(placet: Placet, data_dir: Path) -> None:
    asyncio.run(start_and_stop(data_dir))
    bundles = data_dir / "bundles"
    bundles.mkdir()
    (bundles / "0.source.tgz").touch()
    (data_dir / "placet.db").unlink()
    assert "without a comparison" not in placet("db", "new-trail", "--reason", "x").out
    shutil.rmtree(bundles)
    (data_dir / "placet.db").unlink()
    said = placet("db", "new-trail", "--reason", "x").out
    assert f"{Path('.placet/bundles')} has no policy that was served before" in said
    assert "rego without a comparison. Check for lost restrictions" in said


def test_verify_of_state(placet: Placet, data_dir: Path) -> None:
    ran = placet("audit", "verify", "--state")
    assert (ran.code, ran.out) == (0, "ok: records 5, chains 1, checkpoints 1, rows 0, counters 0\n")
    database = data_dir / "placet.db"
    tamper(database, "insert into kill_switches values ('acme', 'ks_1', 1, 'set', 5, null, '{}')")
    assert placet("audit", "verify").code == 0
    ran = placet("audit", "verify", "--state")
    assert ran.code == exit_codes.CHECK_FAILED
    assert ran.out.startswith("1 problem: records 5, chains 1, checkpoints 1, rows 1, counters 0\n")
    document = placet("audit", "verify", "--state", "-o", "json").document
    assert document["state"] == {"rows": 1, "counters": 0, "unproven": 0, "replayed_from": []}
    [problem] = document["problems"]
    assert problem["kind"] == "state_unexpected"
    where = {"table": "kill_switches", "tenant": "acme", "id": "ks_1", "expected": "no row", "found": "version 1 set"}
    assert where.items() <= problem.items()


def test_verify_of_state_of_before(placet: Placet, data_dir: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    body = chain._body
    with monkeypatch.context() as patched:
        patched.setattr(chain, "_body", lambda *given: body(*given).replace(b'"state_changes":0,', b""))
        append(data_dir, 3, first=5)
    ran = placet("audit", "verify", "--state")
    assert ran.code == 0
    assert "cannot be replayed before record 9 of placet" in ran.out


def test_verify_a_copy_with_a_key_and_a_checkpoint_kept_elsewhere(
    placet: Placet, data_dir: Path, tmp_path: Path
) -> None:
    kept, key, copy = tmp_path / "kept.json", tmp_path / "key.pem", tmp_path / "copy.db"
    key.write_text(placet("audit", "public-key").out)
    kept.write_text(placet("audit", "checkpoint").out)
    shutil.copy(data_dir / "placet.db", copy)
    given = ("audit", "verify", "--database", copy, "--public-key", key, "--checkpoint", kept)
    assert placet(*given).code == 0
    shutil.rmtree(data_dir)
    data_dir.mkdir()
    append(data_dir, 5)  # a new whole chain, signed with a new key
    assert placet("audit", "verify").code == 0
    ran = placet("audit", "verify", "--public-key", key, "--checkpoint", kept)
    assert ran.code == exit_codes.CHECK_FAILED
    assert "kept_checkpoint_mismatch" in ran.out
    assert "checkpoint_signature" in ran.out


@pytest.mark.parametrize(
    ("arguments", "complaint"),
    [
        (["--public-key", "none.pem"], "none.pem: cannot be read"),
        (["--public-key", "bad"], "bad: is no public key in PEM"),
        (["--checkpoint", "none.json"], "none.json: No such file"),
        (["--checkpoint", "bad"], "bad: the kept checkpoints cannot be read"),
        (["--database", "none.db"], "none.db: there is no database"),
        (["--data-dir", "elsewhere"], "elsewhere/placet.db: there is no database"),
        (["--config", "none.toml"], "none.toml: no such file"),
        (["--server", "--state"], "--server uses the key and the database of the server; omit --state"),
        (
            ["--server", "--checkpoint", "bad"],
            "--server uses the key and the database of the server; omit --checkpoint",
        ),
    ],
)
def test_verify_with_wrong_files(placet: Placet, data_dir: Path, arguments: list[str], complaint: str) -> None:
    (data_dir.parent / "bad").write_text("not this")
    ran = placet("audit", "verify", *arguments)
    assert (ran.code, ran.out) == (exit_codes.USAGE, "")
    assert ran.complaint.startswith(complaint)


def test_a_missing_database_names_the_folder_and_the_flag(placet: Placet, empty_folder: Path) -> None:
    ran = placet("audit", "verify", "--state")
    assert ran.code == exit_codes.USAGE
    assert f"there is no database in {empty_folder / '.placet'}" in ran.complaint
    assert ran.complaint.index("--data-dir") < ran.complaint.index("restore it")


@pytest.mark.parametrize("command", ["new-trail", "accept-clock"])
def test_there_is_no_trail_to_go_on_with(placet: Placet, empty_folder: Path, command: str) -> None:
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


def test_verify_names_a_checkpoint_file_that_cannot_be_read(placet: Placet, data_dir: Path, tmp_path: Path) -> None:
    kept = tmp_path / "kept.json"
    ran = placet("audit", "verify", "--checkpoint", kept)
    assert (ran.code, ran.out) == (exit_codes.USAGE, "")
    assert ran.complaint.startswith(f"{kept}: No such file or directory; use --checkpoint with a file that ")
    kept.write_text("{")
    ran = placet("audit", "verify", "--checkpoint", kept)
    assert (ran.code, ran.out) == (exit_codes.USAGE, "")
    assert ran.complaint.startswith(f"{kept}: the kept checkpoints cannot be read; ")
    assert data_dir.is_dir()


@pytest.mark.parametrize("command", [("audit", "verify"), ("audit", "public-key"), ("db", "status"), ("keys", "list")])
def test_a_data_dir_that_is_a_file(placet: Placet, tmp_path: Path, command: tuple[str, ...]) -> None:
    file = tmp_path / "file"
    file.touch()
    ran = placet(*command, "--data-dir", file)
    assert (ran.code, ran.out) == (exit_codes.USAGE, "")
    assert ran.complaint == f"{file}: is a file, not a directory; name a directory with --data-dir"


def test_verify_without_any_key_tells_where_to_get_one(placet: Placet, data_dir: Path) -> None:
    shutil.rmtree(data_dir / "keys")
    ran = placet("audit", "verify")
    assert ran.code == exit_codes.USAGE
    assert f"{PUBLIC_NAME}: there is no such file; " in ran.complaint
    assert "`placet audit public-key`" in ran.complaint
    assert "--public-key" in ran.complaint


def test_verify_by_the_server(placet: Placet, server: ScriptedServer) -> None:
    problem = audit_pb2.AuditProblem(kind="sequence_gap", writer="placet", sequence=3, detail="d")
    server.script(
        VERIFY_AUDIT,
        audit_pb2.VerifyAuditResponse(ok=True, records=5, chains=1, checkpoints=2),
        audit_pb2.VerifyAuditResponse(ok=False, records=5, chains=1, checkpoints=2, problems=[problem]),
    )
    ran = placet("audit", "verify", "--server")
    assert (ran.code, ran.out) == (0, "ok: records 5, chains 1, checkpoints 2\n")
    ran = placet("audit", "verify", "--server", "-o", "json")
    assert ran.code == exit_codes.CHECK_FAILED
    assert ran.document["problems"] == [{"kind": "sequence_gap", "writer": "placet", "sequence": 3, "detail": "d"}]


def test_verify_by_a_server_that_is_not_there(placet: Placet, nobody: str) -> None:
    ran = placet("audit", "verify", "--server", "--address", nobody, "--timeout", "0.5")
    assert ran.code == exit_codes.NO_DECISION
    assert ran.complaint


def test_key(placet: Placet, data_dir: Path) -> None:
    pem = (data_dir / "keys" / PUBLIC_NAME).read_text()
    assert placet("audit", "public-key").out == pem
    document = placet("audit", "public-key", "-o", "json").document
    assert document["pem"] == pem
    assert len(document["key_id"]) == 16


def test_checkpoint(placet: Placet, data_dir: Path) -> None:
    [kept] = json.loads(placet("audit", "checkpoint", "--data-dir", str(data_dir)).out)["checkpoints"]
    assert (kept["checkpoint"]["writer"], kept["checkpoint"]["sequence"]) == ("placet", 5)
    assert placet("audit", "checkpoint", "--output", "json").out == placet("audit", "checkpoint").out
    shown = [line.split() for line in placet("audit", "checkpoint", "-o", "table").out.splitlines()]
    assert shown[0] == ["writer", "sequence", "head", "key_id"]
    assert shown[1][:2] == ["placet", "5"]


@pytest.mark.parametrize(
    "arguments", [["audit", "public-key"], ["audit", "checkpoint"], ["db", "status"], ["db", "upgrade"]]
)
def test_where_there_is_nothing(placet: Placet, arguments: list[str]) -> None:
    ran = placet(*arguments)
    assert (ran.code, ran.out) == (exit_codes.USAGE, "")
    assert ".placet/" in ran.complaint


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


def test_db_of_a_file_that_is_none(placet: Placet, data_dir: Path) -> None:
    (data_dir / "placet.db").write_text("this is no database, however long it is looked at" * 100)
    ran = placet("db", "status")
    assert ran.code == exit_codes.USAGE
    assert "is not a database" in ran.complaint


def test_db_whose_table_is_gone(placet: Placet, data_dir: Path) -> None:
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


def test_db_upgrade_while_it_is_served(placet: Placet, data_dir: Path) -> None:
    key = load_or_create_signing_key(data_dir / "keys")
    ledger = SqliteLedger.open(data_dir / "placet.db", writer="placet", signing_key=key, clock=TickingClock())
    ran = placet("db", "upgrade")
    asyncio.run(ledger.close())
    assert ran.code == exit_codes.USAGE
    assert "is in use by process" in ran.complaint


@pytest.fixture(scope="session")
def built(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A cache, so that the same policies are built once for all tests."""
    return tmp_path_factory.mktemp("built")


@pytest.fixture
def healthy(empty_folder: Path, built: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """All that doctor looks for: policies here, and an OPA on PATH."""
    shutil.copytree(REGO_DIR, empty_folder / "rego")
    monkeypatch.setattr(installation, "build_bundle", lambda rego_dir, opa, _: build_bundle(rego_dir, opa, built))
    monkeypatch.setenv("PLACET_LISTEN", "127.0.0.1:0")
    return empty_folder


def diagnose(placet: Placet, *arguments: str) -> tuple[int, dict[str, Any]]:
    ran = placet("doctor", *arguments, "-o", "json")
    found = {each["check"]: each for each in ran.document["checks"]}
    assert ran.document["ok"] == (ran.code == 0) == all(each["ok"] for each in found.values())
    assert all(each["detail"] for each in found.values())
    return ran.code, found


def test_doctor_is_content(placet: Placet, healthy: Path) -> None:
    code, found = diagnose(placet)
    assert code == 0
    assert list(found) == [
        "settings", "python", "opa", "policies", "data directory", "disk space", "signing key", "database",
        "trail", "listen",
    ]  # fmt: skip
    assert not (healthy / ".placet").exists()
    assert "FAILS" not in placet("doctor").out


def test_doctor_asks_the_server_that_the_environment_names(
    placet: Placet, healthy: Path, monkeypatch: pytest.MonkeyPatch, nobody: str
) -> None:
    del healthy
    monkeypatch.setenv("PLACET_ADDRESS", nobody)
    code, found = diagnose(placet)
    assert code == exit_codes.CHECK_FAILED
    assert (found["server"]["ok"], nobody in found["server"]["detail"]) == (False, True)
    assert "listen" not in found


def test_doctor_fits_a_terminal_with_the_remedy_below(placet: Placet, healthy: Path) -> None:
    shutil.rmtree(healthy / "rego" / "config")
    told = placet("doctor", "--rego-dir", "nowhere", "--listen", "127.0.0.1:0").out.splitlines()
    assert any(line.startswith("policies        FAILS  ") for line in told)
    assert not [line for line in told if len(line) > 100 and " " in line[23:].strip()]
    (healthy / "keys").mkdir(mode=0o700)
    data = healthy / "data"
    data.write_text("a file")
    told = placet("doctor", "--data-dir", data).out.splitlines()
    at = next(number for number, line in enumerate(told) if line.startswith("data directory  FAILS"))
    assert any(line.startswith(" " * 23 + "remedy: name another one with --data-dir") for line in told[at + 1 : at + 4])


def test_doctor_and_a_policy_that_waits(placet: Placet, healthy: Path, server: ScriptedServer) -> None:
    del healthy
    reasons = {
        "config/acme.yaml:7: ends here, after 90 of the 200 bytes that it had": "restore the truncated file, or ",
        "config/acme.yaml: has lost the end mark `...` that it had": "restore the truncated file, or ",
        "config/acme.yaml: lost restrictions: approvals": "restore what was removed, or ",
        "packs/x.rego: is gone, with its rules": "restore what was removed, or ",
    }
    for reason, remedy in reasons.items():
        held = control_pb2.GetPolicyStatusResponse(
            ready=True, serving=True, policy_revision="r1", held_revision="cf21b804aa", held_reasons=[reason]
        )
        server.script(GET_POLICY_STATUS, held)
        told = only_failure(placet, "served policy", "--address", server.address)
        confirm = "confirm the change: placet policy confirm cf21b804aa --reason TEXT"
        assert told["remedy"] == remedy + confirm


def test_doctor_with_data(placet: Placet, healthy: Path) -> None:
    (healthy / ".placet").mkdir()
    append(healthy / ".placet", 1)
    code, found = diagnose(placet)
    assert code == 0
    assert "readable only by its owner" in found["signing key"]["detail"]
    assert "schema" in found["database"]["detail"]


def only_failure(placet: Placet, name: str, *arguments: str) -> dict[str, Any]:
    code, found = diagnose(placet, *arguments)
    assert code == exit_codes.CHECK_FAILED
    checked = [each for each in found.values() if not each["detail"].startswith("not checked")]
    assert [each["check"] for each in checked if not each["ok"]] == [name]
    failure: dict[str, Any] = found[name]
    return failure


def test_doctor_without_policies(placet: Placet, healthy: Path) -> None:
    shutil.rmtree(healthy / "rego" / "config")
    assert "no tenant has a file" in only_failure(placet, "policies")["detail"]
    assert "--rego-dir" in only_failure(placet, "policies", "--rego-dir", "nowhere")["detail"]
    assert "FAILS" in placet("doctor").out


def test_doctor_and_rules_that_cannot_be_served(
    placet: Placet, healthy: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(installation, "build_bundle", build_bundle)
    temporary = tmp_path / "temporary"
    temporary.mkdir()
    monkeypatch.setattr(tempfile, "tempdir", str(temporary))
    assert "passes every check" in diagnose(placet)[1]["policies"]["detail"]
    rules = next(path for path in (healthy / "rego" / "policy").rglob("*.rego") if "_test" not in path.name)
    rules.write_text(rules.read_text() + "\ndeny contains {\n")
    assert rules.name in only_failure(placet, "policies")["detail"]
    assert not list(temporary.iterdir())
    assert not (healthy / ".placet").exists()


def test_doctor_without_opa(placet: Placet, healthy: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    del healthy

    def missing(_: str) -> Opa:
        raise ConfigurationError("opa: not found; run `make setup`")

    monkeypatch.setattr(installation, "find_opa", missing)
    assert "make setup" in only_failure(placet, "opa")["detail"]


@contextlib.contextmanager
def served(rego_dir: Path, address: Path) -> Iterator[str]:
    """An OPA of somebody else's that serves this policy; its revision."""
    opa = find_opa().path
    with tempfile.TemporaryDirectory() as cache:
        bundle = build_bundle(rego_dir, opa, Path(cache))
        where = ["--addr", f"unix://{address}", "--log-level", "error", "--bundle", str(bundle.path)]
        command = [str(opa), "run", "--server", *where]
        with subprocess.Popen(command) as process:
            until = time.monotonic() + 20
            while not address.exists():
                assert time.monotonic() < until
                time.sleep(0.01)
            yield bundle.revision
            process.terminate()


def test_doctor_with_an_external_opa(placet: Placet, healthy: Path, nobody: str) -> None:
    path = healthy / "s"
    with served(REGO_DIR, path) as revision:
        there = ("--opa-address", f"unix://{path}")
        assert f"canary at revision {revision}" in diagnose(placet, *there)[1]["opa"]["detail"]
        assert diagnose(placet, *there, "--opa-required-revision", revision)[0] == 0
        found = only_failure(placet, "opa", *there, "--opa-required-revision", "another")
        assert "another" in found["detail"]
        tenant = healthy / "rego" / "config" / "hooli.yaml"
        tenant.write_text("agent_policy: {allowed_tools: [hooli.search]}")
        found = only_failure(placet, "opa", *there)
        assert "does not list the tool hooli.search of the tenant hooli" in found["detail"]
        tenant.unlink()
        tenant.with_name("acme.yaml").write_text("agent_policy: {allowed_tools: [acme.only_here]}")
        assert "acme.only_here" in only_failure(placet, "opa", *there)["detail"]
    assert "engine_unavailable" in only_failure(placet, "opa", "--opa-address", f"unix://{path}")["detail"]
    assert "engine_unavailable" in only_failure(placet, "opa", "--opa-address", f"http://{nobody}")["detail"]


def test_doctor_and_the_data_directory(placet: Placet, healthy: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (healthy / "file").touch()
    found = only_failure(placet, "data directory", "--data-dir", "file/below")
    assert "is not a directory" in found["detail"]
    access = os.access
    monkeypatch.setattr("os.access", lambda path, mode: str(path) != str(healthy) and access(path, mode))
    assert "make it writable for Placet's user" in only_failure(placet, "data directory")["remedy"]


def test_doctor_and_the_key(placet: Placet, healthy: Path) -> None:
    keys = healthy / ".placet" / "keys"
    load_or_create_signing_key(keys)
    (keys / MARKER_NAME).touch()
    private = keys / "audit_ed25519.pem"
    private.chmod(0o640)
    found = only_failure(placet, "signing key")
    assert "mode 0640" in found["detail"]
    assert "chmod 600" in found["remedy"]
    assert stat.S_IMODE(private.stat().st_mode) == 0o640
    private.chmod(0o600)
    (keys / PUBLIC_NAME).write_text("no key")
    assert "is no public key" in only_failure(placet, "signing key")["detail"]
    (keys / PUBLIC_NAME).write_bytes(generate_signing_key().public.pem())
    assert "belongs to another key" in only_failure(placet, "signing key")["detail"]
    (keys / PUBLIC_NAME).unlink()
    assert diagnose(placet)[0] == 0
    assert not (keys / PUBLIC_NAME).exists()


def test_doctor_and_the_key_of_another_trail(placet: Placet, healthy: Path) -> None:
    data_dir = healthy / ".placet"
    data_dir.mkdir()
    append(data_dir, 1)
    signed = placet("audit", "public-key", "-o", "json").document["key_id"]
    shutil.rmtree(data_dir / "keys")
    before = sorted(data_dir.iterdir())
    found = only_failure(placet, "signing key")
    assert f"signed with the key {signed}; restore that key" in found["detail"]
    assert sorted(data_dir.iterdir()) == before
    load_or_create_signing_key(data_dir / "keys")
    found = only_failure(placet, "signing key")
    assert f"signed with the key {signed}" in found["detail"]
    assert "restore that key" in found["remedy"]
    assert diagnose(placet, "--replica-id", "another")[0] == 0


@pytest.mark.parametrize(("state", "remedy"), [(SchemaState.OLDER, "db upgrade"), (SchemaState.NEWER, "newer Placet")])
def test_doctor_and_the_schema(
    placet: Placet, healthy: Path, monkeypatch: pytest.MonkeyPatch, state: SchemaState, remedy: str
) -> None:
    (healthy / ".placet").mkdir()
    (healthy / ".placet" / "placet.db").touch()
    monkeypatch.setattr(installation, "db_status", lambda _: SchemaStatus(state, "0000", "0001"))
    assert remedy in only_failure(placet, "database")["remedy"]


def test_doctor_and_a_table_that_is_gone(placet: Placet, healthy: Path) -> None:
    (healthy / ".placet").mkdir()
    append(healthy / ".placet", 1)
    connection = sqlite3.connect(healthy / ".placet" / "placet.db")
    connection.execute("drop table idempotency_keys")
    connection.close()
    found = only_failure(placet, "database")
    assert "is damaged, it has no table idempotency_keys" in found["detail"]
    assert "audit verify" in found["remedy"]


def test_doctor_and_the_port(
    placet: Placet, healthy: Path, server: ScriptedServer, monkeypatch: pytest.MonkeyPatch
) -> None:
    del healthy
    monkeypatch.delenv("PLACET_ADDRESS")
    with socket.create_server(("127.0.0.1", 0)) as taken:
        found = only_failure(placet, "listen", "--listen", f"127.0.0.1:{taken.getsockname()[1]}")
    assert "--listen" in found["remedy"]
    server.script(GET_POLICY_STATUS, control_pb2.GetPolicyStatusResponse(serving=True, policy_revision="r1"))
    code, checked = diagnose(placet, "--listen", server.address)
    assert code == 0
    assert "ready, policy r1" in checked["server"]["detail"]


def test_doctor_beside_its_own_server(
    placet: Placet, healthy: Path, server: ScriptedServer, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.delenv("PLACET_ADDRESS")
    server.script(GET_POLICY_STATUS, control_pb2.GetPolicyStatusResponse(ready=False, last_error="OPA is away"))
    found = only_failure(placet, "server", "--listen", server.address)
    assert "not ready: OPA is away" in found["detail"]
    assert "stop" not in found["remedy"]
    data_dir = healthy / ".placet"
    data_dir.mkdir(exist_ok=True)
    with socket.create_server(("127.0.0.1", 0)) as mute:
        address = f"127.0.0.1:{mute.getsockname()[1]}"
        (data_dir / "serve.json").write_text(json.dumps({"address": address, "pid": os.getpid()}))
        found = only_failure(placet, "server", "--listen", address)
        assert f"runs as process {os.getpid()} and does not answer" in found["detail"]
        (data_dir / "serve.json").write_text(json.dumps({"address": "127.0.0.1:1", "pid": os.getpid()}))
        assert "--listen" in only_failure(placet, "listen", "--listen", address)["remedy"]


def test_doctor_and_a_policy_that_was_refused(placet: Placet, healthy: Path, server: ScriptedServer) -> None:
    del healthy
    said = control_pb2.GetPolicyStatusResponse(
        ready=True, serving=True, policy_revision="r1", last_error="caps.rego:8: wrong\nx.yaml:3: wrong, too"
    )
    said.loaded_at.FromJsonString("2026-04-24T18:33:01Z")
    said.refused_since.FromJsonString("2026-04-25T18:33:01Z")
    unseen = control_pb2.GetPolicyStatusResponse()
    unseen.CopyFrom(said)
    unseen.decides_until.FromJsonString("2026-04-26T18:33:01Z")
    stale = control_pb2.GetPolicyStatusResponse(
        policy_revision="r1", last_error="rego: no such folder", stale=True, not_serving_reasons=["too old"]
    )
    server.script(GET_POLICY_STATUS, said, unseen, stale)
    told = only_failure(placet, "served policy", "--address", server.address)["detail"]
    assert "r1 decides since 2026-04-24T18:33:01" in told
    assert "until a newer one is accepted" in told
    assert "not served since 2026-04-25T18:33:01" in told
    assert "caps.rego:8: wrong; x.yaml:3: wrong, too" in told
    told = only_failure(placet, "served policy", "--address", server.address)["detail"]
    assert "until 2026-04-26T18:33:01" in told
    code, found = diagnose(placet, "--address", server.address)
    assert code == exit_codes.CHECK_FAILED
    assert "not ready: too old" in found["server"]["detail"]
    assert "every call is denied pdp.policy_stale" in found["served policy"]["detail"]


def test_doctor_and_a_store_that_fails(placet: Placet, healthy: Path, server: ScriptedServer) -> None:
    del healthy
    reason = "the store takes no commits: database or disk is full"
    full = control_pb2.GetPolicyStatusResponse(
        ready=True, policy_revision="r1", not_serving_reasons=[reason], store_error="database or disk is full"
    )
    nearly = control_pb2.GetPolicyStatusResponse(ready=True, serving=True, policy_revision="r1", data_dir_free_bytes=9)
    server.script(GET_POLICY_STATUS, full, nearly)
    told = only_failure(placet, "server", "--address", server.address)
    assert reason in told["detail"]
    assert "free disk space on the server" in told["remedy"]
    assert "0 MiB left" in only_failure(placet, "server", "--address", server.address)["detail"]


def test_doctor_and_a_full_disk(placet: Placet, healthy: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    del healthy
    statvfs = os.statvfs
    order = ("bsize", "frsize", "blocks", "bfree", "bavail", "files", "ffree", "favail", "flag", "namemax")

    def full(path: Path, **values: int) -> os.statvfs_result:
        told = {name: getattr(statvfs(path), f"f_{name}") for name in order} | values
        return os.statvfs_result(tuple(told[name] for name in order))

    with monkeypatch.context() as patched:
        patched.setattr(os, "statvfs", lambda path: full(path, bavail=1))
        assert "0 MiB left" in only_failure(placet, "disk space")["detail"]
    with monkeypatch.context() as patched:
        patched.setattr(os, "statvfs", lambda path: full(path, files=1_000, favail=3))
        assert "room for 3 more files" in only_failure(placet, "disk space")["detail"]


def not_checked(placet: Placet) -> dict[str, str]:
    _, found = diagnose(placet)
    return {name: each["detail"] for name, each in found.items() if each["detail"].startswith("not checked")}


def test_doctor_calls_nothing_well_that_a_failure_makes_untrue(
    placet: Placet, healthy: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    data_dir = healthy / ".placet"
    assert diagnose(placet)[1]["trail"]["detail"] == "begins at the first start"
    full = failed("disk space", "full")
    with monkeypatch.context() as patched:
        patched.setattr(installation, "disk_check", lambda _: full)
        because = "not checked, because this fails: "
        assert not_checked(placet) == {
            "signing key": f"{because}disk space",
            "database": f"{because}disk space",
            "trail": f"{because}database",
        }
    data_dir.mkdir()
    asyncio.run(start_and_stop(data_dir))
    (data_dir / "placet.db").write_text("this is no database" * 100)
    code, found = diagnose(placet)
    assert (code, found["database"]["ok"], found["trail"]["ok"]) == (exit_codes.CHECK_FAILED, False, False)
    (data_dir / "placet.db").unlink()
    _, found = diagnose(placet)
    assert not found["database"]["ok"]
    assert f"is missing or empty, but {Path('.placet/keys')} was used with a database" in found["database"]["detail"]
    assert "holds no record of placet" in found["trail"]["detail"]


def test_doctor_and_a_server_that_must_run(placet: Placet, healthy: Path, server: ScriptedServer, nobody: str) -> None:
    del healthy
    assert "placet serve" in only_failure(placet, "server", "--address", nobody)["remedy"]
    server.script(
        GET_POLICY_STATUS,
        control_pb2.GetPolicyStatusResponse(ready=False, last_error="OPA is away"),
        control_pb2.GetPolicyStatusResponse(ready=True, serving=True),
    )
    assert "OPA is away" in only_failure(placet, "server", "--address", server.address)["detail"]
    assert diagnose(placet, "--address", server.address)[0] == 0


def test_doctor_and_wrong_settings(placet: Placet, healthy: Path) -> None:
    del healthy
    found = only_failure(placet, "settings", "--listen", "0.0.0.0:1", "--replica-id", "a b")
    assert "listen" in found["detail"]
    assert "replica" in found["detail"]


def test_doctor_and_python(placet: Placet, healthy: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    del healthy
    monkeypatch.setattr(installation, "PYTHON_MIN", (3, 99))
    assert "3.11 to 3.13" in only_failure(placet, "python")["remedy"]


def test_the_data_directory_of_the_command_line_is_the_settings_own() -> None:
    assert load_settings({"data_dir": "x"})[0].database.name == "x/placet.db"
