"""Fixtures of the tests that ask an OPA."""

from __future__ import annotations

import subprocess
from typing import TYPE_CHECKING

import pytest

from placet.policy.bundles.bundle import Bundle
from placet.policy.toolchain.binary import find_opa
from tests.engine.lying_opa import LyingOpa

if TYPE_CHECKING:
    from collections.abc import AsyncIterator
    from pathlib import Path


@pytest.fixture
async def lying_opa(tmp_path: Path) -> AsyncIterator[LyingOpa]:
    async with LyingOpa(tmp_path / "opa.sock").listening() as opa:
        yield opa


TINY_POLICY = """package placet.main

decisions[index] := {"effect": "deny", "rule_id": "canary.alive", "findings": [finding]} if {
	some index, _ in input.batch
	finding := {"effect": "deny", "rule_id": "canary.alive", "reason": "alive", "details": {}}
}
"""


@pytest.fixture(scope="session")
def opa() -> Path:
    """The real OPA."""
    return find_opa().path


@pytest.fixture
def tiny_bundle(tmp_path: Path, opa: Path) -> Bundle:
    """A bundle that answers everything as the canary is answered, at revision r1."""
    rego = tmp_path / "tiny"
    rego.mkdir()
    (rego / "main.rego").write_text(TINY_POLICY)
    path = tmp_path / "tiny.tar.gz"
    subprocess.run([opa, "build", "-b", rego, "--revision", "r1", "-o", path], check=True)
    return Bundle(path=path, revision="r1", agent_policies={}, content=path.read_bytes())
