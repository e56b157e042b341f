"""Find OPA in the one version that Placet works with, and Regal, the linter of Rego."""

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
"""Folder below a checkout of Placet into which `make setup` puts programs."""
INSTALL_REMEDY: Final = "run `placet tools install`"
_VERSION_TIMEOUT_SECONDS: Final = 10.0


@dataclass(frozen=True, slots=True)
class Opa:
    """An executable OPA of the required version."""

    path: Path
    version: str

    @property
    def sha256(self) -> str:
        """Digest of the program, in hex. Raises OSError when the file cannot be read."""
        with self.path.open("rb") as file:
            return hashlib.file_digest(file, "sha256").hexdigest()


def opa_version() -> str:
    """Return the version of OPA that Placet is tested with. Placet runs no other version."""
    return OPA_VERSION


def find_opa(setting: str | Path = "") -> Opa:
    """Return the OPA of the setting if there is one, else of the installation, else on PATH.

    Never runs a program of the working folder: relative entries of PATH are skipped. Raises ConfigurationError with the
    remedy when there is no OPA or it has another version.
    """
    path = _find("opa", setting)
    required = opa_version()
    remedy = f"{INSTALL_REMEDY}, or `go install {OPA.module}@v{required}`"
    if path is None:
        raise ConfigurationError(f"opa: not found in {installation_dir()} or on PATH; {remedy}")
    if not is_executable(path):
        raise ConfigurationError(f"{path}: is not an executable file; {remedy}")
    version = version_of(path)
    if version != required:
        actual = f"is OPA {version}" if version else "did not print its version"
        raise ConfigurationError(f"{path}: {actual}, but Placet needs OPA {required}; {remedy}")
    return Opa(path, version)


def find_regal(setting: str | Path = "") -> Path | None:
    """Return the Regal of the setting if there is one, else of the installation, else on PATH; None without one.

    Raises ConfigurationError when the setting does not name an executable file.
    """
    path = _find("regal", setting)
    if setting and (path is None or not is_executable(path)):
        raise ConfigurationError(f"{setting}: is not an executable file; {INSTALL_REMEDY}")
    return path


def version_of(opa: Path) -> str:
    """Return the version that `opa version` prints; empty when it fails or prints none.

    Raises ConfigurationError when the program cannot be started or does not finish within 10 s.
    """
    result = run(opa, ["version"], timeout_seconds=_VERSION_TIMEOUT_SECONDS)
    match = re.search(r"^Version: (\S+)$", result.stdout, re.MULTILINE)
    return match.group(1) if match and result.exit_code == 0 else ""


def installation_dir() -> Path:
    """Return where this installation keeps programs: `.tools/bin` of a checkout, else the folder of `placet`."""
    server = Path(__file__).resolve().parents[3]
    return server.parent / CHECKOUT_TOOLS if server.name == "server" else Path(sysconfig.get_path("scripts"))


def _find(name: str, setting: str | Path) -> Path | None:
    if setting:
        return Path(setting).absolute()
    installed = installation_dir() / name
    if is_executable(installed):
        return installed
    folders = os.environ.get("PATH", "").split(os.pathsep)
    absolute = os.pathsep.join(folder for folder in folders if Path(folder).is_absolute())
    on_path = shutil.which(name, path=absolute)
    return Path(on_path) if on_path else None
