from __future__ import annotations

import json
import subprocess
import time
from contextlib import contextmanager
from typing import TYPE_CHECKING

import pytest

from tests.packaging.environments import ROOT, Environment, clean_env, ended

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

READY_WITHIN_SECONDS = 30
STOPPED_WITHIN_SECONDS = 15
DENIED, NEEDS_APPROVAL = 3, 4

LISTED = """
from importlib.metadata import distributions
print(*sorted(each.metadata["Name"].lower().replace("_", "-") for each in distributions()))
"""
VERIFYING = """
from placet.sdk import verify_permit
from placet.sdk import Action, Identity, PermitKeys
verify_permit("x", Action("t"), PermitKeys("{}"), identity=Identity("a", "acme"))
"""
LOADED_MODULES = """
import sys
import placet.sdk
print(placet.sdk.__file__)
print(*sorted({name.split(".")[0] for name in sys.modules} & {"sqlalchemy", "pydantic", "orjson", "uvloop", "yaml"}))
"""


@contextmanager
def serving(environment: Environment, data_dir: Path) -> Iterator[str]:
    """The address of an installed `placet serve` with its own OPA; it must stop cleanly afterwards."""
    flags = ["--listen", "127.0.0.1:0", "--data-dir", str(data_dir), "--opa-path", str(ROOT / ".tools/bin/opa")]
    flags += ["--rego-dir", str(ROOT / "rego")]
    command = [str(environment.bin / "placet"), "serve", *flags]
    with (environment.folder / "serve.log").open("w+") as log:
        process = subprocess.Popen(command, cwd=environment.folder, env=clean_env(), stderr=log)
        try:
            yield ready_address(process, data_dir / "serve.json", environment.folder / "serve.log")
            process.terminate()
            assert process.wait(STOPPED_WITHIN_SECONDS) == 0
        finally:
            process.kill()
            process.wait(STOPPED_WITHIN_SECONDS)


def ready_address(process: subprocess.Popen[bytes], ready: Path, log: Path) -> str:
    """The bound address, once the server has written it."""
    deadline = time.monotonic() + READY_WITHIN_SECONDS
    while not (ready.exists() and ready.stat().st_size):
        assert process.poll() is None, log.read_text()
        assert time.monotonic() < deadline, log.read_text()
        time.sleep(0.05)
    address: str = json.loads(ready.read_bytes())["address"]
    return address


def test_the_sdk_needs_grpcio_protobuf_and_the_common_protos_only(bare: Environment) -> None:
    needed = ["googleapis-common-protos", "grpcio", "placet-sdk", "protobuf", "typing-extensions"]
    assert bare.run("python", "-c", LISTED).split() == needed
    where, heavy = bare.run("python", "-c", LOADED_MODULES).split("\n")[:2]
    assert str(bare.bin.parent) in where
    assert heavy == ""


def test_the_sdk_alone_has_no_command_and_says_what_permits_need(bare: Environment) -> None:
    assert not (bare.bin / "placet").exists()
    told = ended([bare.bin / "python", "-c", VERIFYING], clean_env(), bare.folder)
    assert "pip install 'placet-sdk[permits]'" in told.stderr


def test_a_broken_installation_says_how_to_repair_it(server: Environment) -> None:
    hidden = "import sys; sys.modules['typer'] = None; from placet.__main__ import main; sys.exit(main())"
    told = ended([server.bin / "python", "-c", hidden], clean_env(), server.folder)
    assert told.returncode == 2
    assert "pip install --force-reinstall placet" in told.stderr
    assert "Traceback" not in told.stderr


@pytest.mark.parametrize("arguments", [["--help"], ["serve", "--help"], ["demo", "--help"], ["tools", "--help"]])
def test_help_works_as_installed(server: Environment, arguments: list[str]) -> None:
    assert "Usage: placet" in server.run("placet", *arguments)


def test_an_empty_folder_serves_no_example_as_if_it_were_policy(server: Environment, tmp_path: Path) -> None:
    for command in (["serve"], ["policy", "check"]):
        told = ended([server.bin / "placet", *command], clean_env(), tmp_path)
        assert told.returncode == 2
        assert "rego: no such policy folder; name yours with --rego-dir" in told.stderr
        assert "placet/_rego" in told.stderr
    assert not list(tmp_path.iterdir())


def test_the_demonstration_runs_as_installed_in_an_empty_folder(server: Environment, tmp_path: Path) -> None:
    opa = ["--opa-path", str(ROOT / ".tools/bin/opa"), "--listen", "127.0.0.1:0"]
    told = ended([server.bin / "placet", "demo", "--exit", *opa], clean_env(), tmp_path)
    assert told.returncode == 0, told.stderr
    assert "Audit trail: ok" in told.stdout


def test_the_remedy_for_a_missing_opa_is_one_that_the_installation_has(server: Environment, tmp_path: Path) -> None:
    (tmp_path / "rego").mkdir()
    env = clean_env() | {"PATH": str(tmp_path)}
    told = ended([server.bin / "placet", "serve"], env, tmp_path)
    assert told.returncode == 2
    assert "run `placet tools install`" in told.stderr
    assert "make setup" not in told.stderr
    nothing = ended([server.bin / "placet", "tools", "install", "opa", "--dir", tmp_path / "bin"], env, tmp_path)
    assert nothing.returncode == 2
    assert "install Go 1.26 or newer, and run this again; or put the program" in nothing.stderr


def test_the_version_is_told(server: Environment) -> None:
    assert server.run("placet", "--version").strip() == "placet 0.1.0"


def test_an_installed_server_decides_and_its_trail_verifies(server: Environment, tmp_path: Path) -> None:
    data_dir = tmp_path / "data"
    with serving(server, data_dir) as address:
        asked = ["authorize", "--address", address, "--output", "json", "--tenant", "acme", "--agent", "packaging"]
        said = server.run("placet", *asked, "--tool", "no.such.tool", "--params", "{}", codes=[DENIED])
    decision = json.loads(said)
    assert (decision["effect"], decision["rule_id"]) in {("deny", "pdp.unknown_tool"), ("deny", "pdp.unknown_tenant")}
    assert decision["policy_revision"]
    server.run("placet", "audit", "verify", "--data-dir", data_dir)
