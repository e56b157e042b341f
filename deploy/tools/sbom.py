"""Write a software bill of materials of this checkout in CycloneDX: `sbom.py FILE`.

It lists every package of requirements.lock with its hashes, and the program of OPA with the SHA-256 of the installed
file. Packages that a server does not need, because only tests and tools use them, have the scope `excluded`. The same
files give the same bytes.
"""

from __future__ import annotations

import hashlib
import sys
import tomllib
from pathlib import Path
from typing import TYPE_CHECKING, Final

from cyclonedx.model import ExternalReference, ExternalReferenceType, HashAlgorithm, HashType, XsUri
from cyclonedx.model.bom import Bom
from cyclonedx.model.component import Component, ComponentScope, ComponentType
from cyclonedx.model.license import DisjunctiveLicense
from cyclonedx.output import make_outputter
from cyclonedx.schema import OutputFormat, SchemaVersion
from packageurl import PackageURL
from pip_requirements_parser import RequirementsFile

if TYPE_CHECKING:
    from collections.abc import Iterator

ROOT: Final = Path(__file__).resolve().parents[2]
PROJECT: Final = ROOT / "pyproject.toml"
LOCK: Final = ROOT / "requirements.lock"
SERVER_LOCK: Final = ROOT / "deploy/server.lock"
OPA: Final = ROOT / ".tools/bin/opa"
OPA_VERSION: Final = ROOT / "server/placet/policy/toolchain/OPA_VERSION"
SCHEMA: Final = SchemaVersion.V1_6
_APACHE: Final = "Apache-2.0"


def main(arguments: list[str]) -> int:
    """Write the file. Return 0, 1 when OPA is not installed, or 2 for wrong arguments."""
    if len(arguments) != 1:
        print("usage: sbom.py FILE", file=sys.stderr)
        return 2
    if not OPA.is_file():
        print(f"sbom: {OPA} does not exist. Remedy: make setup", file=sys.stderr)
        return 1
    placet, components = project(), [*packages(), opa()]
    needed = [component for component in components if component.scope is ComponentScope.REQUIRED]
    bom = Bom(components=components)
    bom.metadata.component = placet
    bom.register_dependency(placet, needed)
    # They are made by chance, and CycloneDX does not require them. The library's types do not know that.
    bom.serial_number, bom.metadata.timestamp = None, None  # type: ignore[assignment]
    text = make_outputter(bom, OutputFormat.JSON, SCHEMA).output_as_string(indent=2)
    file = Path(arguments[0])
    file.parent.mkdir(parents=True, exist_ok=True)
    file.write_text(text + "\n")
    print(f"sbom: {file}: {len(needed)} components of a server, {len(components) - len(needed)} of tests and tools")
    return 0


def project() -> Component:
    """Return Placet itself, of which everything else is a component."""
    about = tomllib.loads(PROJECT.read_text())["project"]
    return Component(
        name=about["name"],
        version=about["version"],
        description=about["description"],
        type=ComponentType.APPLICATION,
        bom_ref="placet",
        purl=PackageURL("pypi", None, about["name"], about["version"]),
        licenses=[DisjunctiveLicense(id=about["license"])],
    )


def packages() -> Iterator[Component]:
    """Yield the packages of the lock file, with the hashes of each file that may be installed."""
    served = {name for name, _, _ in pins(SERVER_LOCK)}
    for name, version, hashes in pins(LOCK):
        purl = PackageURL("pypi", None, name, version)
        files = ExternalReference(
            type=ExternalReferenceType.DISTRIBUTION,
            url=XsUri(purl.to_string()),
            comment="the hashes are those of all files of this version, one of which is installed",
            hashes=[HashType(alg=HashAlgorithm.SHA_256, content=each) for each in hashes],
        )
        yield Component(
            name=name,
            version=version,
            type=ComponentType.LIBRARY,
            scope=ComponentScope.REQUIRED if name in served else ComponentScope.EXCLUDED,
            bom_ref=f"{name}=={version}",
            purl=purl,
            external_references=[files],
        )


def pins(lock: Path) -> Iterator[tuple[str, str, list[str]]]:
    """Yield the name, the version and the SHA-256 digests of each package."""
    for requirement in RequirementsFile.from_file(str(lock)).requirements:
        yield (
            requirement.name,
            requirement.get_pinned_version,
            [option.removeprefix("sha256:") for option in requirement.hash_options],
        )


def opa() -> Component:
    """Return the program of OPA, which Placet starts."""
    version = OPA_VERSION.read_text().strip()
    digest = hashlib.sha256(OPA.read_bytes()).hexdigest()
    return Component(
        name="opa",
        version=version,
        type=ComponentType.APPLICATION,
        scope=ComponentScope.REQUIRED,
        bom_ref=f"opa=={version}",
        purl=PackageURL("golang", "github.com/open-policy-agent", "opa", f"v{version}"),
        hashes=[HashType(alg=HashAlgorithm.SHA_256, content=digest)],
        licenses=[DisjunctiveLicense(id=_APACHE)],
    )


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
