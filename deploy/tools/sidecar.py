"""Write the files that deploy/opa.Dockerfile copies into a folder, and print the policy revision: `sidecar.py FOLDER`.

Run it in .venv. The bundle is the one that `placet serve` builds from rego/, with the same revision. In addition it has
deploy/opa/authz.rego, which restricts OPA to decisions and health checks.
"""

from __future__ import annotations

import shutil
import sys
import tarfile
import tempfile
from pathlib import Path
from typing import Final

from fetch import OPA_STATIC, ROOT, fetch, path_of

from placet.kernel.errors import PlacetError
from placet.policy.bundles.bundle import build_bundle
from placet.policy.toolchain.tool_sources import OPA, FetchError

AUTHZ: Final = ROOT / "deploy/opa/authz.rego"


def main(arguments: list[str]) -> int:
    """Write the files. Return 0, 1 when that fails, or 2 for wrong arguments."""
    if len(arguments) != 1:
        print("usage: sidecar.py FOLDER", file=sys.stderr)
        return 2
    folder = Path(arguments[0])
    folder.mkdir(parents=True, exist_ok=True)
    try:
        fetch(OPA_STATIC)
        shutil.copy(path_of(OPA_STATIC), folder / "opa")
        print(write_bundle(ROOT / "rego", folder / "bundle.tar.gz"))
    except (FetchError, PlacetError) as error:
        print(f"sidecar: {error}", file=sys.stderr)
        return 1
    return 0


def write_bundle(rego_dir: Path, target: Path) -> str:
    """Write the bundle of `rego_dir`, with the authorization rule of the sidecar, to `target`. Return its revision."""
    with tempfile.TemporaryDirectory() as cache:
        bundle = build_bundle(rego_dir, path_of(OPA), Path(cache))
        with tarfile.open(bundle.path) as built, tarfile.open(target, "w:gz") as written:
            for member in built:
                written.addfile(member, built.extractfile(member))
            written.add(AUTHZ, arcname="/system/authz.rego")
    return bundle.revision


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
