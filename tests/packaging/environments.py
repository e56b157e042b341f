"""What users install: the distribution, built, then installed into empty environments outside the checkout.

Everything comes from .tools/wheels, which `make setup` filled by hash, so that no network is needed and no other
version can slip in; pip resolves from the built wheel's own metadata.
"""

from __future__ import annotations

import os
import subprocess
import sys
import venv
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Sequence

ROOT = Path(__file__).resolve().parents[2]
WHEELS = ROOT / ".tools/wheels"
STEP_TIMEOUT_SECONDS = 100


@dataclass(frozen=True)
class Environment:
    """A virtual environment that knows nothing of the checkout, with a working folder outside it."""

    bin: Path
    folder: Path

    def run(self, program: str, *arguments: str | Path, codes: Sequence[int] = (0,)) -> str:
        """What an installed program prints; it must end with one of `codes`."""
        done = ended([self.bin / program, *arguments], clean_env(), self.folder)
        assert done.returncode in codes, f"{done.args} ended with {done.returncode}:\n{done.stdout}\n{done.stderr}"
        return done.stdout


def clean_env() -> dict[str, str]:
    """This environment, less whatever could lead an interpreter or Placet back to the checkout."""
    leading = ("PYTHON", "PLACET_", "PIP_", "VIRTUAL_ENV", "COV_")
    return {name: value for name, value in os.environ.items() if not name.startswith(leading)}


def ended(command: Sequence[str | Path], env: dict[str, str], folder: Path) -> subprocess.CompletedProcess[str]:
    """How a command ended and what it said."""
    return subprocess.run(
        command, env=env, cwd=folder, capture_output=True, text=True, check=False, timeout=STEP_TIMEOUT_SECONDS
    )


def run(*command: str | Path, folder: Path) -> None:
    """Run a step of building or installing, which must do without a package index."""
    env = clean_env() | {"PIP_NO_INDEX": "1", "PIP_FIND_LINKS": str(WHEELS), "PIP_DISABLE_PIP_VERSION_CHECK": "1"}
    done = ended(command, env, folder)
    assert done.returncode == 0, f"{command} ended with {done.returncode}:\n{done.stdout}\n{done.stderr}"


def install(folder: Path, requirement: str) -> Environment:
    """A new environment in `folder` with `requirement` and what it asks for."""
    venv.create(folder / "venv")
    python = folder / "venv/bin/python"
    (folder / "work").mkdir()
    run(sys.executable, "-m", "pip", "--python", python, "install", "--quiet", requirement, folder=folder)
    return Environment(python.parent, folder / "work")
