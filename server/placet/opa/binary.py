"""Find the one OPA that Placet works with, and Regal, its linter."""

from __future__ import annotations

import re
import shutil
from dataclasses import dataclass
from functools import cache
from importlib.resources import files
from pathlib import Path
from typing import Final

from placet.core.errors import SetupError
from placet.opa.command import is_executable, run

TOOLS: Final = Path(".tools", "bin")
"""Where `make setup` puts programs, below the working folder or the repository."""
_VERSION_TIMEOUT_SECONDS: Final = 10.0
_MODULE: Final = "github.com/open-policy-agent/opa"


@dataclass(frozen=True, slots=True)
class Opa:
    """An OPA that may be run."""

    path: Path
    version: str


@cache
def opa_version() -> str:
    """The version of OPA that Placet is tested with; no other is run."""
    return files("placet.opa").joinpath("OPA_VERSION").read_text(encoding="utf-8").strip()


def find_opa(setting: str | Path = "") -> Opa:
    """Find OPA: the setting if there is one, else `.tools/bin/opa`, else PATH.

    Raises SetupError, in one line with the remedy, when there is none or it is of another version.
    """
    path = _find("opa", setting)
    wanted = opa_version()
    remedy = f"run `make setup`, or `go install {_MODULE}@v{wanted}`"
    if path is None:
        raise SetupError(f"opa: not found in {TOOLS} nor on PATH; {remedy}")
    if not is_executable(path):
        raise SetupError(f"{path}: no such program; {remedy}")
    found = version_of(path)
    if found != wanted:
        raise SetupError(f"{path}: is OPA {found or 'of no readable version'}, not {wanted}; {remedy}")
    return Opa(path, found)


def find_regal(setting: str | Path = "") -> Path | None:
    """Find Regal likewise; None when it is not installed. Raises SetupError when the setting names no program."""
    path = _find("regal", setting)
    if setting and (path is None or not is_executable(path)):
        raise SetupError(f"{setting}: no such program; run `make setup`")
    return path


def version_of(opa: Path) -> str:
    """Ask an OPA for its version; empty when it does not tell."""
    told = run(opa, ["version"], timeout_seconds=_VERSION_TIMEOUT_SECONDS)
    found = re.search(r"^Version: (\S+)$", told.stdout, re.MULTILINE)
    return found.group(1) if found and told.code == 0 else ""


def _find(name: str, setting: str | Path) -> Path | None:
    if setting:
        return Path(setting).absolute()
    repository = Path(__file__).resolve().parents[3]
    for folder in (Path.cwd(), repository):
        candidate = folder / TOOLS / name
        if is_executable(candidate):
            return candidate
    on_path = shutil.which(name)
    return Path(on_path).absolute() if on_path else None
