"""`placet audit verify`, `public-key` and `checkpoint`: on files, without a server."""

from __future__ import annotations

import asyncio
import json
import shutil
from typing import TYPE_CHECKING

import pytest

from placet.audit import chain
from placet.cli.rendering import exit_codes
from placet.signing.keys import PUBLIC_NAME
from placet.v1 import audit_pb2
from tests.cli.data_dirs import append, run_server_once, tamper
from tests.sdk.scripted_server import VERIFY_AUDIT, ScriptedServer

if TYPE_CHECKING:
    from pathlib import Path

    from tests.cli.conftest import Placet


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


def test_verify_of_a_truncated_database(placet: Placet, data_dir: Path, tmp_path: Path) -> None:
    shutil.copy(data_dir / "placet.db", tmp_path / "older")
    asyncio.run(run_server_once(data_dir))
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
    check = {each["check"]: each for each in placet("doctor", "-o", "json").document["checks"]}["trail"]
    assert not check["ok"]
    assert "the chain of placet ends at record 5" in check["detail"]


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


def test_verify_of_state_with_older_records(placet: Placet, data_dir: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    body = chain._body
    with monkeypatch.context() as patched:
        patched.setattr(chain, "_body", lambda *arguments: body(*arguments).replace(b'"state_changes":0,', b""))
        append(data_dir, 3, first=5)
    ran = placet("audit", "verify", "--state")
    assert ran.code == 0
    assert "cannot be replayed before record 9 of placet" in ran.out


def test_verify_a_copy_with_a_stored_key_and_checkpoint(placet: Placet, data_dir: Path, tmp_path: Path) -> None:
    checkpoint_file, key, copy = tmp_path / "kept.json", tmp_path / "key.pem", tmp_path / "copy.db"
    key.write_text(placet("audit", "public-key").out)
    checkpoint_file.write_text(placet("audit", "checkpoint").out)
    shutil.copy(data_dir / "placet.db", copy)
    arguments = ("audit", "verify", "--database", copy, "--public-key", key, "--checkpoint", checkpoint_file)
    assert placet(*arguments).code == 0
    shutil.rmtree(data_dir)
    data_dir.mkdir()
    append(data_dir, 5)  # a new whole chain, signed with a new key
    assert placet("audit", "verify").code == 0
    ran = placet("audit", "verify", "--public-key", key, "--checkpoint", checkpoint_file)
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


def test_verify_names_an_unreadable_checkpoint_file(placet: Placet, data_dir: Path, tmp_path: Path) -> None:
    checkpoint_file = tmp_path / "kept.json"
    ran = placet("audit", "verify", "--checkpoint", checkpoint_file)
    assert (ran.code, ran.out) == (exit_codes.USAGE, "")
    assert ran.complaint.startswith(f"{checkpoint_file}: No such file or directory; use --checkpoint with a file that ")
    checkpoint_file.write_text("{")
    ran = placet("audit", "verify", "--checkpoint", checkpoint_file)
    assert (ran.code, ran.out) == (exit_codes.USAGE, "")
    assert ran.complaint.startswith(f"{checkpoint_file}: the kept checkpoints cannot be read; ")
    assert data_dir.is_dir()


@pytest.mark.parametrize("command", [("audit", "verify"), ("audit", "public-key"), ("db", "status"), ("keys", "list")])
def test_a_data_dir_that_is_a_file(placet: Placet, tmp_path: Path, command: tuple[str, ...]) -> None:
    file = tmp_path / "file"
    file.touch()
    ran = placet(*command, "--data-dir", file)
    assert (ran.code, ran.out) == (exit_codes.USAGE, "")
    assert ran.complaint == f"{file}: is a file, not a directory; name a directory with --data-dir"


def test_verify_without_a_key_names_the_remedy(placet: Placet, data_dir: Path) -> None:
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


def test_verify_by_a_server_that_does_not_run(placet: Placet, unused_address: str) -> None:
    ran = placet("audit", "verify", "--server", "--address", unused_address, "--timeout", "0.5")
    assert ran.code == exit_codes.NO_DECISION
    assert ran.complaint


def test_key(placet: Placet, data_dir: Path) -> None:
    pem = (data_dir / "keys" / PUBLIC_NAME).read_text()
    assert placet("audit", "public-key").out == pem
    document = placet("audit", "public-key", "-o", "json").document
    assert document["pem"] == pem
    assert len(document["key_id"]) == 16


def test_checkpoint(placet: Placet, data_dir: Path) -> None:
    [entry] = json.loads(placet("audit", "checkpoint", "--data-dir", str(data_dir)).out)["checkpoints"]
    assert (entry["checkpoint"]["writer"], entry["checkpoint"]["sequence"]) == ("placet", 5)
    assert placet("audit", "checkpoint", "--output", "json").out == placet("audit", "checkpoint").out
    shown = [line.split() for line in placet("audit", "checkpoint", "-o", "table").out.splitlines()]
    assert shown[0] == ["writer", "sequence", "head", "key_id"]
    assert shown[1][:2] == ["placet", "5"]


@pytest.mark.parametrize(
    "arguments", [["audit", "public-key"], ["audit", "checkpoint"], ["db", "status"], ["db", "upgrade"]]
)
def test_commands_without_a_database(placet: Placet, arguments: list[str]) -> None:
    ran = placet(*arguments)
    assert (ran.code, ran.out) == (exit_codes.USAGE, "")
    assert ".placet/" in ran.complaint
