"""Find the one OPA that Placet works with, and Regal, its linter."""

from __future__ import annotations

import hashlib
import os
import re
import shutil
import sysconfig
from dataclasses import dataclass
from pathlib import Path
from typing import Final

from placet.kernel.errors import ConfigurationError
from placet.policy.toolchain.process import is_executable, run
from placet.policy.toolchain.tool_sources import OPA, OPA_VERSION

CHECKOUT_TOOLS: Final = Path(".tools", "bin")
"""Where `make setup` puts programs, below a checkout of Placet."""
INSTALL_REMEDY: Final = "run `placet tools install`"
_VERSION_TIMEOUT_SECONDS: Final = 10.0


@dataclass(frozen=True, slots=True)
class Opa:
    """An OPA that may be run."""

    path: Path
    version: str

    @property
    def sha256(self) -> str:
        """Digest of the program, in hex. OSError when it cannot be read."""
        with self.path.open("rb") as file:
            return hashlib.file_digest(file, "sha256").hexdigest()


def opa_version() -> str:
    """The version of OPA that Placet is tested with; no other is run."""
    return OPA_VERSION


def find_opa(setting: str | Path = "") -> Opa:
    """Find OPA: the setting if there is one, else that of the installation, else the one on PATH.

    Nothing in the working folder is run: relative entries of PATH are passed over. Raises ConfigurationError, in one
    line with
    the remedy, when there is none or it is of another version.
    """
    path = _find("opa", setting)
    wanted = opa_version()
    remedy = f"{INSTALL_REMEDY}, or `go install {OPA.module}@v{wanted}`"
    if path is None:
        raise ConfigurationError(f"opa: not found in {installation_dir()} nor on PATH; {remedy}")
    if not is_executable(path):
        raise ConfigurationError(f"{path}: no such program; {remedy}")
    found = version_of(path)
    if found != wanted:
        raise ConfigurationError(f"{path}: is OPA {found or 'of no readable version'}, not {wanted}; {remedy}")
    return Opa(path, found)


def find_regal(setting: str | Path = "") -> Path | None:
    """Find Regal likewise; None when it is not installed.

    Raises ConfigurationError when the setting names no program.
    """
    path = _find("regal", setting)
    if setting and (path is None or not is_executable(path)):
        raise ConfigurationError(f"{setting}: no such program; {INSTALL_REMEDY}")
    return path


def version_of(opa: Path) -> str:
    """Ask an OPA for its version; empty when it does not tell."""
    told = run(opa, ["version"], timeout_seconds=_VERSION_TIMEOUT_SECONDS)
    found = re.search(r"^Version: (\S+)$", told.stdout, re.MULTILINE)
    return found.group(1) if found and told.code == 0 else ""


def installation_dir() -> Path:
    """Where this installation keeps programs: `.tools/bin` of a checkout, else beside the command `placet`."""
    server = Path(__file__).resolve().parents[3]
    return server.parent / CHECKOUT_TOOLS if server.name == "server" else Path(sysconfig.get_path("scripts"))


def _find(name: str, setting: str | Path) -> Path | None:
    if setting:
        return Path(setting).absolute()
    candidate = installation_dir() / name
    if is_executable(candidate):
        return candidate
    folders = os.environ.get("PATH", "").split(os.pathsep)
    on_path = shutil.which(name, path=os.pathsep.join(each for each in folders if Path(each).is_absolute()))
    return Path(on_path) if on_path else None
