"""`placet doctor --production`: each thing that is unsafe is listed with its remedy, and what is safe passes."""

from __future__ import annotations

import asyncio
import json
import os
from typing import TYPE_CHECKING, Any

import pytest
from pydantic import SecretStr

from placet.cli.doctor import kept_checkpoint, machine, production
from placet.cli.doctor.check import passed
from placet.cli.doctor.production import production_checks
from placet.cli.rendering import exit_codes
from placet.server.settings.judged import JUDGED, judged_settings
from placet.server.settings.model import Settings
from placet.storage.migrate import db_upgrade
from tests.authentication.token_servers import token_settings
from tests.cli.data_dirs import run_server_once
from tests.serving import serving

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

    from placet.cli.doctor.check import Check
    from tests.cli.conftest import Placet

DAYS_MAX = kept_checkpoint.DAYS_MAX
TLS = {"tls_cert_file": "tls.crt", "tls_key_file": "tls.key"}


@pytest.fixture
def safe(data_dir: Path, tmp_path: Path, placet: Placet, monkeypatch: pytest.MonkeyPatch) -> dict[str, Any]:
    """Settings that pass every check, on a machine that does."""
    asyncio.run(run_server_once(data_dir))
    data_dir.chmod(0o700)
    kept = tmp_path / "kept.json"
    kept.write_text(placet("audit", "checkpoint").out)
    for name in ("auth.toml", "tls.crt", "tls.key"):
        (data_dir.parent / name).touch(0o600)
    (data_dir.parent / "auth.toml").write_text('accept = ["token"]')
    (data_dir.parent / "rego").mkdir()
    monkeypatch.setattr(os, "geteuid", lambda: 1000)
    monkeypatch.setattr(production, "clock_state", lambda: True)
    monkeypatch.setattr(production, "free_ratio", lambda _: 0.5)
    monkeypatch.setattr(production, "network_file_system", lambda _: None)
    monkeypatch.setattr(kept_checkpoint, "device_of", hash)
    monkeypatch.setattr(kept_checkpoint, "DAYS_MAX", 1_000_000)  # the clock of the test stands still
    return {"data_dir": data_dir, "auth_file": "auth.toml", "listen": "0.0.0.0:7070", **TLS, "kept": kept}


def unsafe(choices: dict[str, Any], **changes: Any) -> dict[str, Check]:
    chosen = choices | changes
    kept = chosen.pop("kept")
    return {check.name: check for check in production_checks(Settings(**chosen), kept) if not check.ok}


def test_safe_settings_pass(safe: dict[str, Any]) -> None:
    assert unsafe(safe) == {}


@pytest.mark.parametrize(
    ("changes", "name", "detail"),
    [
        ({"auth_file": "", "listen": "127.0.0.1:0"}, "authentication", "every process of this machine"),
        ({"unsafe_no_auth": True}, "authentication", "everyone who reaches the port"),
        ({"tls_cert_file": "", "tls_key_file": "", "unsafe_no_auth": True}, "tls", "no TLS at listen 0.0.0.0:7070"),
        (
            {**dict.fromkeys(TLS, ""), "listen": "127.0.0.1:0", "http_listen": "0.0.0.0:8080", "unsafe_no_auth": True},
            "tls",
            "no TLS at http_listen 0.0.0.0:8080",
        ),
        ({"kept": None}, "kept checkpoint", "none is named"),
        ({"clock_skew_max_seconds": 0}, "clock", "clock_skew_max_seconds is 0"),
        ({"confirm_policy_removals": False}, "policy removals", "cut off may allow more"),
        ({"replica_id": "b"}, "replicas", "budgets and approvals apart"),
    ],
)
def test_unsafe_settings(safe: dict[str, Any], changes: dict[str, Any], name: str, detail: str) -> None:
    check = unsafe(safe, **changes)[name]
    assert detail in check.detail
    assert check.remedy


def key_readable(folder: Path) -> None:
    (folder / ".placet" / "keys" / "audit_ed25519.pem").chmod(0o640)


def permit_key_readable(folder: Path) -> None:
    permits = folder / ".placet" / "keys" / "permits"
    permits.mkdir(0o700)
    (permits / "1.pem").touch(0o644)


def data_readable(folder: Path) -> None:
    (folder / ".placet").chmod(0o755)


def tls_key_readable(folder: Path) -> None:
    (folder / "tls.key").chmod(0o604)


def policy_writable(folder: Path) -> None:
    (folder / "rego" / "acme.yaml").touch()
    (folder / "rego" / "acme.yaml").chmod(0o666)


def auth_writable(folder: Path) -> None:
    (folder / "auth.toml").chmod(0o606)


def people_twice(folder: Path) -> None:
    issuer = """
[[issuers]]
issuer = "https://%s.example"
audience = "placet"
algorithms = "RS256"
people = true
people_when = {groups = "employees"}
grants = [{role = "approver", tenants = "acme"}]
"""
    (folder / "auth.toml").write_text('accept = ["jwt"]\n' + issuer % "one" + issuer % "other")


def auth_wrong(folder: Path) -> None:
    (folder / "auth.toml").write_text("accept = []")


def auth_missing(folder: Path) -> None:
    (folder / "auth.toml").unlink()


@pytest.mark.parametrize(
    ("break_it", "name", "detail"),
    [
        (key_readable, "private files", "audit_ed25519.pem"),
        (permit_key_readable, "private files", "1.pem"),
        (data_readable, "private files", ".placet"),
        (tls_key_readable, "private files", "tls.key"),
        (policy_writable, "policy files", "acme.yaml"),
        (auth_writable, "authentication", "auth.toml"),
        (auth_missing, "authentication", "auth.toml"),
        (auth_wrong, "people", "accept: "),
        (people_twice, "people", "issuers[0] and issuers[1]: a person with an account at both is two people in acme"),
    ],
)
def test_unsafe_files(safe: dict[str, Any], break_it: Callable[[Path], None], name: str, detail: str) -> None:
    break_it(safe["data_dir"].parent)
    found = unsafe(safe)
    assert list(found) == [name]
    assert detail in found[name].detail


def test_a_tls_key_that_its_group_reads_is_fine(safe: dict[str, Any]) -> None:
    """So does a secret that Kubernetes mounts with fsGroup."""
    (safe["data_dir"].parent / "tls.key").chmod(0o640)
    assert unsafe(safe) == {}


@pytest.mark.parametrize(
    ("what", "value", "name", "detail"),
    [
        ("clock_state", False, "clock", "not synchronised"),
        ("free_ratio", 0.05, "free space", "5% of the disk is free"),
        ("network_file_system", "nfs4", "replicas", "is on nfs4"),
    ],
)
def test_unsafe_machine(
    safe: dict[str, Any], monkeypatch: pytest.MonkeyPatch, what: str, value: object, name: str, detail: str
) -> None:
    monkeypatch.setattr(production, what, lambda *_: value)
    found = unsafe(safe)
    assert list(found) == [name]
    assert detail in found[name].detail
    assert found[name].remedy


def test_root_is_unsafe(safe: dict[str, Any], monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(os, "geteuid", lambda: 0)
    assert list(unsafe(safe)) == ["user"]


def test_a_clock_that_cannot_be_asked_is_told_and_no_failure(
    safe: dict[str, Any], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(production, "clock_state", lambda: None)
    chosen = {name: value for name, value in safe.items() if name != "kept"}
    checks = {check.name: check for check in production_checks(Settings(**chosen), safe["kept"])}
    assert (checks["clock"].ok, checks["clock"].detail.startswith("not known here")) == (True, True)


def test_a_checkpoint_on_the_same_disk(safe: dict[str, Any], monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(kept_checkpoint, "device_of", lambda _: 1)
    assert "same file system" in unsafe(safe)["kept checkpoint"].detail


def test_an_old_checkpoint(safe: dict[str, Any], monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(kept_checkpoint, "DAYS_MAX", DAYS_MAX)
    assert "days ago; what followed could be replaced" in unsafe(safe)["kept checkpoint"].detail


def test_a_checkpoint_of_another_trail(safe: dict[str, Any]) -> None:
    kept = safe["kept"]
    kept.write_text(kept.read_text().replace('"writer":"placet"', '"writer":"other"'))
    assert "the database does not hold it" in unsafe(safe)["kept checkpoint"].detail
    kept.write_text("{}")
    assert "cannot be read" in unsafe(safe)["kept checkpoint"].detail


def test_the_role_and_the_tls_of_postgres(safe: dict[str, Any], postgres_url: str) -> None:
    db_upgrade(postgres_url)
    found = unsafe(safe, database_url=postgres_url, kept=None)
    assert "is a superuser" in found["database role"].detail
    assert "database tls" not in found, "a socket needs none"
    for url, safe_there in {
        "postgresql://placet@127.0.0.1:1/x": True,
        "postgresql://placet@192.0.2.1:1/x?sslmode=verify-full": True,
        "postgresql://placet@192.0.2.1:1/x?sslmode=require": False,
        "postgresql://placet@192.0.2.1:1/x": False,
    }.items():
        assert production._database_tls(Settings(database_url=url)).ok is safe_there, url


def test_the_mounts(tmp_path: Path) -> None:
    mounts = tmp_path / "mounts"
    mounts.write_text(f"/dev/sda / ext4 rw 0 0\nhost:/x {tmp_path.resolve()} nfs4 rw 0 0\n")
    assert machine.network_file_system(tmp_path / "data", mounts) == "nfs4"
    assert machine.network_file_system(tmp_path.parent, mounts) is None
    assert machine.network_file_system(tmp_path, tmp_path / "missing") is None


def test_this_machine_answers(tmp_path: Path) -> None:
    assert machine.clock_state() in {True, False, None}
    assert 0 <= machine.free_ratio(tmp_path) <= 1


@pytest.fixture
def only_production(monkeypatch: pytest.MonkeyPatch) -> None:
    """The other checks build policies; tests/cli/test_doctor_command.py tests them."""
    monkeypatch.setattr("placet.cli.commands.server.doctor.run_checks", lambda *_: [passed("python", "3.11")])


@pytest.mark.usefixtures("only_production")
def test_the_command(placet: Placet, safe: dict[str, Any]) -> None:
    arguments = ["doctor", "--production", "--auth-file", "auth.toml", "--kept-checkpoint", safe["kept"], "-o", "json"]
    ran = placet(*arguments)
    assert (ran.code, ran.document["ok"]) == (0, True), ran.out
    assert {"check", "ok", "detail", "remedy"} == set(ran.document["checks"][-1])
    ran = placet("doctor", "--production")
    assert ran.code == exit_codes.CHECK_FAILED
    assert "remedy: set auth_file" in ran.out
    assert "authentication" not in placet("doctor").out
    ran = placet("doctor", "--kept-checkpoint", safe["kept"])
    assert (ran.code, "--production" in ran.complaint) == (exit_codes.USAGE, True)


def found_by(placet: Placet, *arguments: object) -> dict[str, dict[str, Any]]:
    ran = placet("doctor", "--production", "-o", "json", *map(str, arguments))
    return {check["check"]: check for check in ran.document["checks"]}


@pytest.mark.usefixtures("only_production")
def test_the_settings_of_the_running_server_are_judged(placet: Placet, tmp_path: Path) -> None:
    chosen = token_settings(tmp_path / "data", confirm_policy_removals=False)
    given = ("--data-dir", chosen.data_dir)
    with serving(chosen) as server:
        found = found_by(placet, *given)
        assert f"process {os.getpid()}, {server.address}" in found["judged settings"]["detail"]
        assert "other values of confirm_policy_removals, listen, auth_file" in found["judged settings"]["detail"]
        assert (found["authentication"]["ok"], found["policy removals"]["ok"]) == (True, False)
        assert found_by(placet, *given, "--address", server.address)["policy removals"]["ok"] is False
        found = found_by(placet, *given, "--address", "127.0.0.1:1")
        assert "the server at 127.0.0.1:1 does not use" in found["judged settings"]["detail"]
    found = found_by(placet, *given)
    assert "as given to this command: no server runs on" in found["judged settings"]["detail"]
    assert (found["authentication"]["ok"], found["policy removals"]["ok"]) == (False, True)


@pytest.mark.usefixtures("only_production")
def test_the_right_flags_do_not_hide_an_unsafe_server(placet: Placet, safe: dict[str, Any]) -> None:
    running = {**judged_settings(Settings()), "unsafe_no_auth": True, "replica_id": 7, "added_later": "x"}
    document = {"address": "127.0.0.1:7070", "pid": os.getpid(), "settings": running}
    (safe["data_dir"] / "serve.json").write_text(json.dumps(document))
    found = found_by(placet, "--auth-file", "auth.toml")
    assert "unsafe_no_auth is set" in found["authentication"]["detail"]
    assert found["replicas"]["ok"], "a value of another type is not taken"


def test_no_judged_setting_is_secret() -> None:
    fields = Settings.model_fields
    assert set(JUDGED) <= fields.keys()
    assert not [name for name in JUDGED if fields[name].annotation is SecretStr]
    assert json.loads(json.dumps(judged_settings(Settings()))) == judged_settings(Settings())
