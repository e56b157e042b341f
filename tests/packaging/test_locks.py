from __future__ import annotations

import importlib.metadata
import re
import subprocess
import tomllib

import pytest
from packaging.requirements import Requirement
from packaging.specifiers import SpecifierSet
from packaging.utils import canonicalize_name

from tests.packaging.environments import ROOT

PINNED = re.compile(r"^([A-Za-z0-9._-]+)==([^\s;]+)", re.MULTILINE)
LOCKS = ["requirements.lock", "deploy/server.lock"]
DEBIAN_PYTHON = "3.11.2"
"""The oldest Python that Placet runs on: that of Debian 12."""


def pins(lock: str) -> dict[str, str]:
    return {canonicalize_name(name): version for name, version in PINNED.findall((ROOT / lock).read_text())}


@pytest.mark.parametrize("lock", LOCKS)
def test_every_pin_has_a_hash(lock: str) -> None:
    text = (ROOT / lock).read_text()
    entries = [entry for entry in re.split(r"\n(?=\S)", text) if PINNED.match(entry)]
    assert len(entries) == len(pins(lock)) > 20
    assert all("--hash=sha256:" in entry for entry in entries)


@pytest.mark.parametrize("lock", LOCKS)
def test_no_address_is_locked(lock: str) -> None:
    assert not re.search(r"https?:|--\S*(index|find-links|trusted-host)|file:/", (ROOT / lock).read_text())


def test_the_server_runs_on_what_was_tested() -> None:
    assert pins("deploy/server.lock").items() <= pins("requirements.lock").items()


def test_the_locks_hold_what_the_project_asks_for() -> None:
    project = tomllib.loads((ROOT / "pyproject.toml").read_text())
    extras = project["project"]["optional-dependencies"]
    asked = [*project["project"]["dependencies"], *extras["server"]]
    wanted = {
        "deploy/server.lock": asked,
        "requirements.lock": [*asked, *extras["dev"], *project["build-system"]["requires"]],
    }
    for lock, requirements in wanted.items():
        locked = pins(lock)
        for requirement in map(Requirement, requirements):
            version = locked.get(canonicalize_name(requirement.name))
            assert version is not None, f"{lock} lacks {requirement}: make lock"
            assert requirement.specifier.contains(version), f"{lock} has {version}, not {requirement}: make lock"


def test_every_pin_runs_on_the_python_of_debian() -> None:
    refusing = {}
    for name, version in pins("requirements.lock").items():
        requires = importlib.metadata.distribution(name).metadata.json.get("requires_python", "")
        if not SpecifierSet(str(requires)).contains(DEBIAN_PYTHON):
            refusing[f"{name}=={version}"] = requires
    assert refusing == {}


def test_the_version_of_opa_stands_in_one_place() -> None:
    version = (ROOT / "server/placet/policy/toolchain/OPA_VERSION").read_text().strip()
    command = ["git", "grep", "--files-with-matches", "--fixed-strings", "--word-regexp", version]
    found = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, check=True).stdout.split()
    assert found == ["server/placet/policy/toolchain/OPA_VERSION"]
