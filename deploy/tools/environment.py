"""Keeps .venv equal to requirements.lock: `environment.py`. Standard library alone: it makes what the rest runs in.

What is installed is fetched once into .tools/wheels, by hash, so that tests can install the built wheel into empty
environments without a network. Stamps hold digests of content: when nothing changed this takes milliseconds.
"""

from __future__ import annotations

import hashlib
import shutil
import subprocess
import sys
from pathlib import Path
from typing import Final

ROOT: Final = Path(__file__).resolve().parents[2]
VENV: Final = ROOT / ".venv"
WHEELS: Final = ROOT / ".tools/wheels"
LOCK: Final = ROOT / "requirements.lock"
PYTHONS: Final = ((3, 11), (3, 14))  # from, below


def main() -> int:
    """Bring .venv up to date. 0 done, 1 could not; pip's own words go to the terminal."""
    if not PYTHONS[0] <= sys.version_info < PYTHONS[1]:
        print(f"setup: Python 3.11, 3.12 or 3.13 is needed, this is {sys.version.split()[0]}", file=sys.stderr)
        return 1
    if VENV.is_symlink():  # the environment of another checkout: only that one may change it
        return 0
    interpreter = f"{sys.version} {sys.base_prefix} {ROOT}".encode()
    locked = digest(interpreter, LOCK.read_bytes())
    described = digest(locked.encode(), (ROOT / "pyproject.toml").read_bytes())
    try:
        if not is_stamped("lock", locked):
            install_locked()
            stamp("lock", locked)
        if not is_stamped("project", described):
            install_project()
            stamp("project", described)
    except subprocess.CalledProcessError as error:
        print(f"setup: `{' '.join(map(str, error.cmd))}` failed, see above. {remedy()}", file=sys.stderr)
        return 1
    return 0


def install_locked() -> None:
    """A new .venv with exactly what requirements.lock says, by hash."""
    print(f"setup: Python {sys.version.split()[0]} environment in .venv, from requirements.lock", flush=True)
    shutil.rmtree(WHEELS, ignore_errors=True)
    WHEELS.mkdir(parents=True)
    subprocess.run([sys.executable, "-m", "venv", "--clear", VENV], check=True)
    exact: list[str | Path] = ["--require-hashes", "--no-deps", "--requirement", LOCK]
    pip("download", "--only-binary", ":all:", "--dest", WHEELS, *exact)
    pip("install", "--no-index", "--find-links", WHEELS, *exact)


def install_project() -> None:
    """Placet itself, editable: what it needs is there already."""
    pip("install", "--no-index", "--no-deps", "--no-build-isolation", "--editable", ROOT)


def pip(*arguments: str | Path) -> None:
    """Run pip of the .venv, heard only when it has a warning or an error."""
    quiet = ["--quiet", "--disable-pip-version-check", "--no-input"]
    subprocess.run([VENV / "bin/python", "-m", "pip", arguments[0], *quiet, *arguments[1:]], check=True)


def remedy() -> str:
    """What most often helps."""
    return "Remedy: is the package index reached, and (Debian) is python3-venv installed? Then `make setup` again."


def digest(*parts: bytes) -> str:
    """One hex SHA-256 over all parts."""
    return hashlib.sha256(b"\0".join(parts)).hexdigest()


def is_stamped(name: str, content: str) -> bool:
    """Whether .venv was last made from this content."""
    file = VENV / f".{name}-stamp"
    return file.is_file() and file.read_text() == content


def stamp(name: str, content: str) -> None:
    """Remember what .venv was made from."""
    (VENV / f".{name}-stamp").write_text(content)


if __name__ == "__main__":
    sys.exit(main())
