"""The shipped policy tree and the pinned OPA."""

from __future__ import annotations

from pathlib import Path

import pytest

from placet.policy.toolchain.binary import find_opa


@pytest.fixture(scope="session")
def rego() -> Path:
    return Path(__file__).parents[2] / "rego"


@pytest.fixture(scope="session")
def opa() -> Path:
    return find_opa().path
