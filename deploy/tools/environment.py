"""Keep .venv equal to requirements.lock: `environment.py`.

Uses only the standard library, because it creates the environment of everything else. Downloads each package once into
.tools/wheels, verified by hash, so that tests can install the built wheel into empty environments without a network.
Stamps in .venv have digests of the inputs, so the script takes milliseconds when nothing changed.
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
PYTHONS: Final = ((3, 11), (3, 14))  # from, inclusive, and to, exclusive


def main() -> int:
    """Update .venv. Return 0, or 1 when that fails; the output of pip goes to the terminal."""
    if not PYTHONS[0] <= sys.version_info < PYTHONS[1]:
        print(f"setup: Placet needs Python 3.11, 3.12 or 3.13, but this is {sys.version.split()[0]}", file=sys.stderr)
        return 1
    if VENV.is_symlink():  # the environment of another checkout, which updates it
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
    """Create .venv with exactly the packages of requirements.lock, verified by hash."""
    print(f"setup: Python {sys.version.split()[0]} environment in .venv, from requirements.lock", flush=True)
    shutil.rmtree(WHEELS, ignore_errors=True)
    WHEELS.mkdir(parents=True)
    subprocess.run([sys.executable, "-m", "venv", "--clear", VENV], check=True)
    exact: list[str | Path] = ["--require-hashes", "--no-deps", "--requirement", LOCK]
    pip("download", "--only-binary", ":all:", "--dest", WHEELS, *exact)
    pip("install", "--no-index", "--find-links", WHEELS, *exact)


def install_project() -> None:
    """Install Placet itself, editable, without its dependencies, which are installed already."""
    pip("install", "--no-index", "--no-deps", "--no-build-isolation", "--editable", ROOT)


def pip(*arguments: str | Path) -> None:
    """Run pip of .venv, which prints only warnings and errors. Raises CalledProcessError when it fails."""
    quiet = ["--quiet", "--disable-pip-version-check", "--no-input"]
    subprocess.run([VENV / "bin/python", "-m", "pip", arguments[0], *quiet, *arguments[1:]], check=True)


def remedy() -> str:
    """Return the most frequent remedy."""
    return (
        "Remedy: check that the package index is reachable and (Debian) python3-venv installed; then run `make setup`."
    )


def digest(*parts: bytes) -> str:
    """Return the SHA-256 over all parts, in hex."""
    return hashlib.sha256(b"\0".join(parts)).hexdigest()


def is_stamped(name: str, content: str) -> bool:
    """Return whether .venv was last created from this content."""
    file = VENV / f".{name}-stamp"
    return file.is_file() and file.read_text() == content


def stamp(name: str, content: str) -> None:
    """Record the content that .venv was created from."""
    (VENV / f".{name}-stamp").write_text(content)


if __name__ == "__main__":
    sys.exit(main())
