from __future__ import annotations

import re
import subprocess
import tarfile
import zipfile
from email.parser import Parser
from typing import TYPE_CHECKING

import pytest

from tests.packaging.environments import ROOT

if TYPE_CHECKING:
    from pathlib import Path

INFO = "placet-0.1.0.dist-info"


@pytest.fixture
def names(wheel: Path) -> set[str]:
    with zipfile.ZipFile(wheel) as archive:
        return set(archive.namelist())


def tracked(folder: str) -> set[str]:
    """The files below `folder` that a checkout holds, relative to it; empty without a checkout."""
    listing = ["git", "ls-files", "--cached", "--others", "--exclude-standard", "--", folder]
    said = subprocess.run(listing, cwd=ROOT, capture_output=True, text=True, check=True).stdout
    return {line.removeprefix(f"{folder}/") for line in said.splitlines() if (ROOT / line).is_file()}


def below(names: set[str], folder: str) -> set[str]:
    return {name.removeprefix(f"{folder}/") for name in names if name.startswith(f"{folder}/")}


def test_only_the_package_is_in_the_wheel(names: set[str]) -> None:
    assert {name.split("/")[0] for name in names} == {"placet", INFO}


def test_every_module_is_in_the_wheel(names: set[str]) -> None:
    own = {name for name in below(names, "placet") if not name.startswith(("_rego/", "_proto/", "_demo/"))}
    assert own == tracked("server/placet")
    assert {"policy/toolchain/OPA_VERSION", "py.typed", "v1/authorization_pb2.py", "v1/authorization_pb2.pyi"} <= own


def test_the_database_can_be_upgraded_from_the_wheel(names: set[str]) -> None:
    migrations = below(names, "placet/storage/migrations")
    assert "env.py" in migrations
    assert any(name.startswith("versions/") and name.endswith(".py") for name in migrations)


def test_policies_are_in_the_wheel_without_their_tests(names: set[str]) -> None:
    policies = below(names, "placet/_rego")
    assert policies == {name for name in tracked("rego") if not name.endswith("_test.rego")}
    assert "placet/main/main.rego" in policies


def test_protos_are_in_the_wheel(names: set[str]) -> None:
    assert below(names, "placet/_proto") == tracked("proto")


def test_the_demonstration_is_in_the_wheel(names: set[str]) -> None:
    assert below(names, "placet/_demo") == tracked("deploy/demo")


def test_the_sdk_wheel_holds_only_the_sdk_and_requires_three_packages(sdk_wheel: Path) -> None:
    with zipfile.ZipFile(sdk_wheel) as archive:
        names = set(archive.namelist())
        metadata = Parser().parsestr(archive.read("placet_sdk-0.1.0.dist-info/METADATA").decode())
    own = {name for name in names if not name.startswith("placet_sdk-0.1.0.dist-info/")}
    wanted = {f"placet/{folder}/{name}" for folder in ("sdk", "v1") for name in tracked(f"server/placet/{folder}")}
    assert own == wanted | {"placet/__init__.py", "placet/py.typed", "placet/LICENSE"}
    needs = [line for line in metadata.get_all("Requires-Dist", []) if "extra ==" not in line]
    assert sorted(re.split(r"[<>=]", need)[0] for need in needs) == ["googleapis-common-protos", "grpcio", "protobuf"]
    assert set(metadata.get_all("Provides-Extra", [])) == {"permits"}


def test_the_metadata_names_every_package_of_the_server(wheel: Path) -> None:
    with zipfile.ZipFile(wheel) as archive:
        metadata = Parser().parsestr(archive.read(f"{INFO}/METADATA").decode())
        licence = archive.read(f"{INFO}/licenses/LICENSE").decode()
    needs = [line for line in metadata.get_all("Requires-Dist", []) if "extra ==" not in line]
    assert {"grpcio", "typer", "sqlalchemy"} <= {re.split(r"[<>=\[]", need)[0] for need in needs}
    assert {"server", "permits"} <= set(metadata.get_all("Provides-Extra", []))
    assert metadata["License-Expression"] == "Apache-2.0"
    assert "Apache License" in licence


def test_the_sdist_holds_the_tests_and_the_lock(built: Path) -> None:
    [found] = built.glob("placet-*.tar.gz")
    with tarfile.open(found) as archive:
        names = {name.split("/", 1)[1] for name in archive.getnames() if "/" in name}
    assert {"requirements.lock", "Makefile", "tests/packaging/test_contents.py", "LICENSE"} <= names
    assert not {name.split("/")[0] for name in names} & {".venv", ".tools", ".git", "dist"}
