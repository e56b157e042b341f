"""The built distribution and the environments it is installed into, once for all tests here."""

from __future__ import annotations

import sys
from typing import TYPE_CHECKING

import pytest

from tests.packaging.environments import ROOT, WHEELS, install, run

if TYPE_CHECKING:
    from pathlib import Path

    from tests.packaging.environments import Environment


@pytest.fixture(scope="session")
def built(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The folder with the sdist and the wheel; the wheel is built from the sdist, so the sdist is whole."""
    if not any(WHEELS.glob("hatchling-*.whl")):
        pytest.fail("no wheels to build with in .tools/wheels. Remedy: make setup")
    folder = tmp_path_factory.mktemp("dist")
    run(sys.executable, "-m", "build", "--outdir", folder, ROOT, folder=folder)
    run(sys.executable, "-m", "build", "--wheel", "--outdir", folder, ROOT / "deploy/sdk", folder=folder)
    return folder


@pytest.fixture(scope="session")
def wheel(built: Path) -> Path:
    [found] = built.glob("placet-*.whl")
    return found


@pytest.fixture(scope="session")
def sdk_wheel(built: Path) -> Path:
    [found] = built.glob("placet_sdk-*.whl")
    return found


@pytest.fixture(scope="session")
def bare(sdk_wheel: Path, tmp_path_factory: pytest.TempPathFactory) -> Environment:
    """Placet as an agent runtime installs it: the SDK alone."""
    return install(tmp_path_factory.mktemp("bare"), str(sdk_wheel))


@pytest.fixture(scope="session")
def server(wheel: Path, tmp_path_factory: pytest.TempPathFactory) -> Environment:
    """Placet as one who runs it installs it."""
    return install(tmp_path_factory.mktemp("server"), str(wheel))
