from __future__ import annotations

import json
import subprocess
import time
from contextlib import contextmanager
from typing import TYPE_CHECKING

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
ALONE = """
import sys
import placet.sdk
print(placet.sdk.__file__)
print(*sorted({name.split(".")[0] for name in sys.modules} & {"sqlalchemy", "pydantic", "orjson", "uvloop", "yaml"}))
"""


@contextmanager
def serving(environment: Environment, data_dir: Path) -> Iterator[str]:
    """The address of an installed `placet serve` with its own OPA; it must stop cleanly afterwards."""
    flags = ["--listen", "127.0.0.1:0", "--data-dir", str(data_dir), "--opa-path", str(ROOT / ".tools/bin/opa")]
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


def test_the_sdk_needs_grpcio_and_protobuf_alone(bare: Environment) -> None:
    assert bare.run("python", "-c", LISTED).split() == ["grpcio", "placet", "protobuf", "typing-extensions"]
    where, heavy = bare.run("python", "-c", ALONE).split("\n")[:2]
    assert str(bare.bin.parent) in where
    assert heavy == ""


def test_the_command_without_the_extra_says_what_to_install(bare: Environment) -> None:
    told = ended([bare.bin / "placet", "--version"], clean_env(), bare.folder)
    assert told.returncode == 2
    assert "placet[server]" in told.stderr
    assert "Traceback" not in told.stderr


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
