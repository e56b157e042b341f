"""`placet doctor`: each check, and its remedy."""

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

from placet.cli.doctor import installation
from placet.cli.doctor.check import failed
from placet.cli.rendering import exit_codes
from placet.engine.download import FileReleases
from placet.kernel.errors import ConfigurationError
from placet.policy.bundles.bundle import build_bundle, unchecked_bundle
from placet.policy.bundles.release import make_release
from placet.policy.files.tree import read_tree
from placet.policy.toolchain.binary import find_opa
from placet.server.settings.sources import load_settings
from placet.signing.keys import PUBLIC_NAME, generate_signing_key, load_or_create_signing_key
from placet.signing.pinned_checkpoints import MARKER_NAME
from placet.storage.migrate import SchemaState, SchemaStatus
from placet.v1 import control_pb2
from tests.cli.data_dirs import append, run_server_once
from tests.sdk.scripted_server import GET_POLICY_STATUS, ScriptedServer
from tests.serving import REGO_DIR

if TYPE_CHECKING:
    from collections.abc import Iterator

    from placet.engine.download import Download
    from placet.policy.toolchain.binary import Opa
    from tests.cli.conftest import Placet


@pytest.fixture(scope="session")
def built(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A cache in which the policies are built once for all tests."""
    return tmp_path_factory.mktemp("built")


@pytest.fixture
def healthy(empty_folder: Path, built: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Everything that doctor checks: policies in this folder, and an OPA on PATH."""
    shutil.copytree(REGO_DIR, empty_folder / "rego")
    monkeypatch.setattr(installation, "build_bundle", lambda rego_dir, opa, _: build_bundle(rego_dir, opa, built))
    monkeypatch.setenv("PLACET_LISTEN", "127.0.0.1:0")
    return empty_folder


def diagnose(placet: Placet, *arguments: str) -> tuple[int, dict[str, Any]]:
    ran = placet("doctor", *arguments, "-o", "json")
    checks = {each["check"]: each for each in ran.document["checks"]}
    assert ran.document["ok"] == (ran.code == 0) == all(each["ok"] for each in checks.values())
    assert all(each["detail"] for each in checks.values())
    return ran.code, checks


def test_doctor_passes(placet: Placet, healthy: Path) -> None:
    code, checks = diagnose(placet)
    assert code == 0
    assert list(checks) == [
        "settings", "python", "opa", "policies", "data directory", "disk space", "signing key", "database",
        "trail", "listen",
    ]  # fmt: skip
    assert not (healthy / ".placet").exists()
    assert "FAILS" not in placet("doctor").out


def test_doctor_checks_the_server_in_the_environment(
    placet: Placet, healthy: Path, monkeypatch: pytest.MonkeyPatch, unused_address: str
) -> None:
    del healthy
    monkeypatch.setenv("PLACET_ADDRESS", unused_address)
    code, checks = diagnose(placet)
    assert code == exit_codes.CHECK_FAILED
    assert (checks["server"]["ok"], unused_address in checks["server"]["detail"]) == (False, True)
    assert "listen" not in checks


def test_doctor_wraps_its_lines_on_a_terminal(placet: Placet, healthy: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("sys.stdout.isatty", lambda: True)
    shutil.rmtree(healthy / "rego" / "config")
    lines = placet("doctor", "--rego-dir", "nowhere", "--listen", "127.0.0.1:0").out.splitlines()
    assert any(line.startswith("policies        FAILS  ") for line in lines)
    assert not [line for line in lines if len(line) > 100 and " " in line[23:].strip()]
    (healthy / "keys").mkdir(mode=0o700)
    data = healthy / "data"
    data.write_text("a file")
    lines = placet("doctor", "--data-dir", data).out.splitlines()
    at = next(number for number, line in enumerate(lines) if line.startswith("data directory  FAILS"))
    assert any(
        line.startswith(" " * 23 + "remedy: name another one with --data-dir") for line in lines[at + 1 : at + 4]
    )


def test_doctor_prints_each_finding_on_one_line_elsewhere(placet: Placet, healthy: Path) -> None:
    data = healthy / "data"
    data.write_text("a file")
    ran = placet("doctor", "--data-dir", data)
    documents = placet("doctor", "--data-dir", data, "-o", "json").document["checks"]
    lines = ran.out.splitlines()
    assert len(lines) == len(documents)
    [line] = [line for line in lines if line.startswith("data directory  FAILS  ")]
    assert line.endswith("; remedy: name another one with --data-dir")


def test_doctor_and_a_held_policy(placet: Placet, healthy: Path, server: ScriptedServer) -> None:
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
        check = only_failure(placet, "served policy", "--address", server.address)
        confirm = "confirm the change: placet policy confirm cf21b804aa --reason TEXT"
        assert check["remedy"] == remedy + confirm


def test_doctor_with_data(placet: Placet, healthy: Path) -> None:
    (healthy / ".placet").mkdir()
    append(healthy / ".placet", 1)
    code, checks = diagnose(placet)
    assert code == 0
    assert "readable only by its owner" in checks["signing key"]["detail"]
    assert "schema" in checks["database"]["detail"]


def only_failure(placet: Placet, name: str, *arguments: str) -> dict[str, Any]:
    code, checks = diagnose(placet, *arguments)
    assert code == exit_codes.CHECK_FAILED
    run = [each for each in checks.values() if not each["detail"].startswith("not checked")]
    assert [each["check"] for each in run if not each["ok"]] == [name]
    failure: dict[str, Any] = checks[name]
    return failure


def test_doctor_without_policies(placet: Placet, healthy: Path) -> None:
    shutil.rmtree(healthy / "rego" / "config")
    assert "there is no tenant file" in only_failure(placet, "policies")["detail"]
    assert "--rego-dir" in only_failure(placet, "policies", "--rego-dir", "nowhere")["detail"]
    assert "FAILS" in placet("doctor").out


def test_doctor_and_invalid_rules(
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
    """Run an external OPA with this policy; yield its revision."""
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


def test_doctor_with_an_external_opa(placet: Placet, healthy: Path, unused_address: str) -> None:
    path = healthy / "s"
    with served(REGO_DIR, path) as revision:
        there = ("--opa-address", f"unix://{path}")
        assert f"canary at revision {revision}" in diagnose(placet, *there)[1]["opa"]["detail"]
        assert diagnose(placet, *there, "--opa-required-revision", revision)[0] == 0
        check = only_failure(placet, "opa", *there, "--opa-required-revision", "another")
        assert "another" in check["detail"]
        tenant = healthy / "rego" / "config" / "hooli.yaml"
        tenant.write_text("agent_policy: {allowed_tools: [hooli.search]}")
        check = only_failure(placet, "opa", *there)
        assert "does not list the tool hooli.search of the tenant hooli" in check["detail"]
        tenant.unlink()
        tenant.with_name("acme.yaml").write_text("agent_policy: {allowed_tools: [acme.only_here]}")
        assert "acme.only_here" in only_failure(placet, "opa", *there)["detail"]
    assert "engine_unavailable" in only_failure(placet, "opa", "--opa-address", f"unix://{path}")["detail"]
    assert "engine_unavailable" in only_failure(placet, "opa", "--opa-address", f"http://{unused_address}")["detail"]


def test_doctor_downloads_what_an_external_opa_pulls_once(
    placet: Placet, healthy: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (healthy / "bundle.tar.gz").write_bytes(make_release(unchecked_bundle(read_tree(REGO_DIR)), "", 0))
    downloads: list[str] = []
    get = FileReleases.get

    def counted(releases: FileReleases, tag: str, wait_seconds: float) -> Download:
        downloads.append(tag)
        return get(releases, tag, wait_seconds)

    monkeypatch.setattr(FileReleases, "get", counted)
    path, url = healthy / "s", f"file://{healthy}/bundle.tar.gz"
    with served(REGO_DIR, path) as revision:
        code, checks = diagnose(placet, "--opa-address", f"unix://{path}", "--policy-url", url)
    assert (code, checks["policies"]["detail"]) == (0, f"{url}: revision {revision}")
    assert revision in checks["opa"]["detail"]
    assert downloads == [""]


def test_doctor_and_the_data_directory(placet: Placet, healthy: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (healthy / "file").touch()
    check = only_failure(placet, "data directory", "--data-dir", "file/below")
    assert "is not a directory" in check["detail"]
    access = os.access
    monkeypatch.setattr("os.access", lambda path, mode: str(path) != str(healthy) and access(path, mode))
    assert "make it writable for Placet's user" in only_failure(placet, "data directory")["remedy"]


def test_doctor_and_the_key(placet: Placet, healthy: Path) -> None:
    keys = healthy / ".placet" / "keys"
    load_or_create_signing_key(keys)
    (keys / MARKER_NAME).touch()
    private = keys / "audit_ed25519.pem"
    private.chmod(0o640)
    check = only_failure(placet, "signing key")
    assert "mode 0640" in check["detail"]
    assert "chmod 600" in check["remedy"]
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
    check = only_failure(placet, "signing key")
    assert f"signed with the key {signed}; restore that key" in check["detail"]
    assert sorted(data_dir.iterdir()) == before
    load_or_create_signing_key(data_dir / "keys")
    check = only_failure(placet, "signing key")
    assert f"signed with the key {signed}" in check["detail"]
    assert "restore that key" in check["remedy"]
    assert diagnose(placet, "--replica-id", "another")[0] == 0


@pytest.mark.parametrize(("state", "remedy"), [(SchemaState.OLDER, "db upgrade"), (SchemaState.NEWER, "newer Placet")])
def test_doctor_and_the_schema(
    placet: Placet, healthy: Path, monkeypatch: pytest.MonkeyPatch, state: SchemaState, remedy: str
) -> None:
    (healthy / ".placet").mkdir()
    (healthy / ".placet" / "placet.db").touch()
    monkeypatch.setattr(installation, "db_status", lambda _: SchemaStatus(state, "0000", "0001"))
    assert remedy in only_failure(placet, "database")["remedy"]


def test_doctor_and_a_missing_table(placet: Placet, healthy: Path) -> None:
    (healthy / ".placet").mkdir()
    append(healthy / ".placet", 1)
    connection = sqlite3.connect(healthy / ".placet" / "placet.db")
    connection.execute("drop table idempotency_keys")
    connection.close()
    check = only_failure(placet, "database")
    assert "is damaged, it has no table idempotency_keys" in check["detail"]
    assert "audit verify" in check["remedy"]


def test_doctor_and_the_port(
    placet: Placet, healthy: Path, server: ScriptedServer, monkeypatch: pytest.MonkeyPatch
) -> None:
    del healthy
    monkeypatch.delenv("PLACET_ADDRESS")
    with socket.create_server(("127.0.0.1", 0)) as taken:
        check = only_failure(placet, "listen", "--listen", f"127.0.0.1:{taken.getsockname()[1]}")
    assert "--listen" in check["remedy"]
    server.script(GET_POLICY_STATUS, control_pb2.GetPolicyStatusResponse(serving=True, policy_revision="r1"))
    code, checked = diagnose(placet, "--listen", server.address)
    assert code == 0
    assert "ready, policy r1" in checked["server"]["detail"]


def test_doctor_beside_a_running_server(
    placet: Placet, healthy: Path, server: ScriptedServer, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.delenv("PLACET_ADDRESS")
    server.script(GET_POLICY_STATUS, control_pb2.GetPolicyStatusResponse(ready=False, last_error="OPA is away"))
    check = only_failure(placet, "server", "--listen", server.address)
    assert "not ready: OPA is away" in check["detail"]
    assert "stop" not in check["remedy"]
    data_dir = healthy / ".placet"
    data_dir.mkdir(exist_ok=True)
    with socket.create_server(("127.0.0.1", 0)) as mute:
        address = f"127.0.0.1:{mute.getsockname()[1]}"
        (data_dir / "serve.json").write_text(json.dumps({"address": address, "pid": os.getpid()}))
        check = only_failure(placet, "server", "--listen", address)
        assert f"runs as process {os.getpid()} and does not answer" in check["detail"]
        (data_dir / "serve.json").write_text(json.dumps({"address": "127.0.0.1:1", "pid": os.getpid()}))
        assert "--listen" in only_failure(placet, "listen", "--listen", address)["remedy"]


def test_doctor_counts_the_workers_that_accept_calls(
    placet: Placet, healthy: Path, server: ScriptedServer, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.delenv("PLACET_ADDRESS")
    server.script(GET_POLICY_STATUS, control_pb2.GetPolicyStatusResponse(serving=True, policy_revision="r1"))
    data_dir = healthy / ".placet"
    data_dir.mkdir(exist_ok=True)
    running = {"address": server.address, "pid": os.getpid(), "workers": 2}
    for flag in ("--listen", "--address"):
        (data_dir / "serve.json").write_text(json.dumps({**running, "workers_accepting": 2}))
        code, checked = diagnose(placet, flag, server.address)
        assert (code, checked["workers"]["detail"]) == (0, "2 of 2 accept calls")
        (data_dir / "serve.json").write_text(json.dumps({**running, "workers_accepting": 1}))
        check = only_failure(placet, "workers", flag, server.address)
        assert check["detail"] == "1 of 2 accept calls"
        assert "log" in check["remedy"]
    (data_dir / "serve.json").write_text("[]")
    code, checked = diagnose(placet, "--listen", server.address)
    assert code == 0
    assert "workers" not in checked


def test_doctor_names_slow_packs(placet: Placet, healthy: Path, server: ScriptedServer) -> None:
    del healthy
    slow = control_pb2.SlowPack(pack="policy.slow", tool="t", tenant="acme", milliseconds=250)
    answer = control_pb2.GetPolicyStatusResponse(serving=True, policy_revision="r1", slow_packs=[slow])
    server.script(GET_POLICY_STATUS, answer)
    code, checked = diagnose(placet, "--address", server.address)
    assert code == 0
    assert checked["served policy"]["detail"].endswith("; slow: policy.slow, see `placet policy status`")


def test_doctor_and_a_refused_policy(placet: Placet, healthy: Path, server: ScriptedServer) -> None:
    del healthy
    refused = control_pb2.GetPolicyStatusResponse(
        ready=True, serving=True, policy_revision="r1", last_error="caps.rego:8: wrong\nx.yaml:3: wrong, too"
    )
    refused.loaded_at.FromJsonString("2026-04-24T18:33:01Z")
    refused.refused_since.FromJsonString("2026-04-25T18:33:01Z")
    unseen = control_pb2.GetPolicyStatusResponse()
    unseen.CopyFrom(refused)
    unseen.decides_until.FromJsonString("2026-04-26T18:33:01Z")
    stale = control_pb2.GetPolicyStatusResponse(
        policy_revision="r1", last_error="rego: no such folder", stale=True, not_serving_reasons=["too old"]
    )
    server.script(GET_POLICY_STATUS, refused, unseen, stale)
    detail = only_failure(placet, "served policy", "--address", server.address)["detail"]
    assert "r1 decides since 2026-04-24T18:33:01" in detail
    assert "until a newer one is accepted" in detail
    assert "not served since 2026-04-25T18:33:01" in detail
    assert "caps.rego:8: wrong; x.yaml:3: wrong, too" in detail
    detail = only_failure(placet, "served policy", "--address", server.address)["detail"]
    assert "until 2026-04-26T18:33:01" in detail
    code, checks = diagnose(placet, "--address", server.address)
    assert code == exit_codes.CHECK_FAILED
    assert "not ready: too old" in checks["server"]["detail"]
    assert "every call is denied pdp.policy_stale" in checks["served policy"]["detail"]


def test_doctor_and_a_failing_store(placet: Placet, healthy: Path, server: ScriptedServer) -> None:
    del healthy
    reason = "the store takes no commits: database or disk is full"
    full = control_pb2.GetPolicyStatusResponse(
        ready=True, policy_revision="r1", not_serving_reasons=[reason], store_error="database or disk is full"
    )
    nearly = control_pb2.GetPolicyStatusResponse(ready=True, serving=True, policy_revision="r1", data_dir_free_bytes=9)
    server.script(GET_POLICY_STATUS, full, nearly)
    check = only_failure(placet, "server", "--address", server.address)
    assert reason in check["detail"]
    assert "free disk space on the server" in check["remedy"]
    assert "0 MiB left" in only_failure(placet, "server", "--address", server.address)["detail"]


def test_doctor_and_a_full_disk(placet: Placet, healthy: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    del healthy
    statvfs = os.statvfs
    order = ("bsize", "frsize", "blocks", "bfree", "bavail", "files", "ffree", "favail", "flag", "namemax")

    def full(path: Path, **values: int) -> os.statvfs_result:
        fields = {name: getattr(statvfs(path), f"f_{name}") for name in order} | values
        return os.statvfs_result(tuple(fields[name] for name in order))

    with monkeypatch.context() as patched:
        patched.setattr(os, "statvfs", lambda path: full(path, bavail=1))
        assert "0 MiB left" in only_failure(placet, "disk space")["detail"]
    with monkeypatch.context() as patched:
        patched.setattr(os, "statvfs", lambda path: full(path, files=1_000, favail=3))
        assert "room for 3 more files" in only_failure(placet, "disk space")["detail"]


def not_checked(placet: Placet) -> dict[str, str]:
    _, checks = diagnose(placet)
    return {name: each["detail"] for name, each in checks.items() if each["detail"].startswith("not checked")}


def test_doctor_does_not_pass_checks_that_depend_on_a_failed_one(
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
    asyncio.run(run_server_once(data_dir))
    (data_dir / "placet.db").write_text("this is no database" * 100)
    code, checks = diagnose(placet)
    assert (code, checks["database"]["ok"], checks["trail"]["ok"]) == (exit_codes.CHECK_FAILED, False, False)
    (data_dir / "placet.db").unlink()
    _, checks = diagnose(placet)
    assert not checks["database"]["ok"]
    assert f"is missing or empty, but {Path('.placet/keys')} was used with a database" in checks["database"]["detail"]
    assert "holds no record of placet" in checks["trail"]["detail"]


def test_doctor_and_a_named_server(placet: Placet, healthy: Path, server: ScriptedServer, unused_address: str) -> None:
    del healthy
    assert "placet serve" in only_failure(placet, "server", "--address", unused_address)["remedy"]
    server.script(
        GET_POLICY_STATUS,
        control_pb2.GetPolicyStatusResponse(ready=False, last_error="OPA is away"),
        control_pb2.GetPolicyStatusResponse(ready=True, serving=True),
    )
    assert "OPA is away" in only_failure(placet, "server", "--address", server.address)["detail"]
    assert diagnose(placet, "--address", server.address)[0] == 0


def test_doctor_and_wrong_settings(placet: Placet, healthy: Path) -> None:
    del healthy
    check = only_failure(placet, "settings", "--listen", "0.0.0.0:1", "--replica-id", "a b")
    assert "listen" in check["detail"]
    assert "replica" in check["detail"]


def test_doctor_and_python(placet: Placet, healthy: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    del healthy
    monkeypatch.setattr(installation, "PYTHON_MIN", (3, 99))
    assert "3.11 to 3.13" in only_failure(placet, "python")["remedy"]


def test_the_data_dir_option_replaces_the_setting() -> None:
    assert load_settings({"data_dir": "x"})[0].database.name == "x/placet.db"
