"""`make sbom` writes a valid CycloneDX document that lists what is locked, and OPA."""

from __future__ import annotations

import hashlib
import json
import subprocess
import sys
from typing import TYPE_CHECKING, Any

import pytest
from cyclonedx.schema import SchemaVersion
from cyclonedx.validation.json import JsonStrictValidator
from packaging.utils import canonicalize_name

from tests.packaging.environments import ROOT
from tests.packaging.test_locks import pins
from tests.support.deploy_tools import load_tool

if TYPE_CHECKING:
    from pathlib import Path

SCRIPT = str(ROOT / "deploy/tools/sbom.py")


@pytest.fixture(scope="module")
def text(tmp_path_factory: pytest.TempPathFactory) -> str:
    file = tmp_path_factory.mktemp("sbom") / "below" / "sbom.json"
    done = subprocess.run([sys.executable, SCRIPT, str(file)], capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    assert "components of a server" in done.stdout
    return file.read_text()


@pytest.fixture(scope="module")
def components(text: str) -> dict[str, dict[str, Any]]:
    return {component["name"]: component for component in json.loads(text)["components"]}


def test_it_is_valid(text: str) -> None:
    validator = JsonStrictValidator(SchemaVersion.V1_6)
    assert validator.validate_str(text) is None
    broken = text.replace('"type": "library"', '"type": "book"', 1)
    assert validator.validate_str(broken) is not None, "the validator reads it"
    assert json.loads(text)["metadata"]["component"]["name"] == "placet"


def test_it_lists_every_locked_package_with_its_hashes(components: dict[str, dict[str, Any]]) -> None:
    locked = pins("requirements.lock")
    listed = {canonicalize_name(name): each["version"] for name, each in components.items() if name != "opa"}
    assert listed == locked
    for name, each in components.items():
        hashes = [found for reference in each.get("externalReferences", []) for found in reference.get("hashes", [])]
        assert hashes or each.get("hashes"), name
        assert each["purl"].startswith("pkg:"), name


def test_what_only_tests_use_is_excluded(components: dict[str, dict[str, Any]]) -> None:
    required = {canonicalize_name(name) for name, each in components.items() if each["scope"] == "required"}
    assert required == {*pins("deploy/server.lock"), "opa"}
    assert components["pytest"]["scope"] == "excluded"


def test_opa_is_the_installed_program(components: dict[str, dict[str, Any]]) -> None:
    version = (ROOT / "server/placet/policy/toolchain/OPA_VERSION").read_text().strip()
    digest = hashlib.sha256((ROOT / ".tools/bin/opa").read_bytes()).hexdigest()
    assert components["opa"]["version"] == version
    assert components["opa"]["hashes"] == [{"alg": "SHA-256", "content": digest}]


def test_the_same_files_give_the_same_bytes(text: str, tmp_path: Path) -> None:
    again = tmp_path / "again.json"
    subprocess.run([sys.executable, SCRIPT, str(again)], check=True, capture_output=True)
    assert again.read_text() == text


def test_without_opa_the_remedy_is_named(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    tool = load_tool("sbom", monkeypatch)
    monkeypatch.setattr(tool, "OPA", tmp_path / "opa")
    assert tool.main([str(tmp_path / "sbom.json")]) == 1
    assert "Remedy: make setup" in capsys.readouterr().err
