"""Policy as it is served: one bundle, named by the digest of all that decides.

A revision that was built before is taken from the cache without running OPA; another is checked, built and then renamed
into the cache, so that a file there is always whole.
"""

from __future__ import annotations

import contextlib
import hashlib
import json
import os
import tarfile
import tempfile
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Final

from placet.core.errors import PolicyInvalidError, Problem, SetupError
from placet.opa.binary import opa_version
from placet.opa.check import serving_problems
from placet.opa.command import run
from placet.opa.compiling import first_line
from placet.opa.staging import TENANTS, staged, tenants_document
from placet.opa.tenants import parse_tenants
from placet.opa.tree import CAPABILITIES, read_tree, source_digest

if TYPE_CHECKING:
    from collections.abc import Mapping

    from placet.core.agent_policy import AgentPolicy
    from placet.opa.tree import PolicyTree

__all__ = ["Bundle", "build_bundle", "source_digest"]

REVISION_CHARS: Final = 32
"""Hex digits of the digest that name a revision: 128 bits, so that no two policies share a name."""
BUNDLE_FORMAT: Final = b"2"
"""Part of the digest. Raised when what is checked or staged changes, so that an older cache is not trusted."""


@dataclass(frozen=True, slots=True)
class Bundle:
    """A bundle that passed every check: its file, its revision, and the agent_policy of each tenant in it."""

    path: Path
    revision: str
    agent_policies: Mapping[str, AgentPolicy]

    def restore(self, content: bytes) -> None:
        """Write the file again when it is no longer as it was built. OSError when that cannot be done."""
        with contextlib.suppress(FileNotFoundError):
            if self.path.read_bytes() == content:
                return
        self.path.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
        with tempfile.TemporaryDirectory(prefix="placet-bundle-", dir=self.path.parent) as folder:
            written = Path(folder, self.path.name)
            written.write_bytes(content)
            written.replace(self.path)


def build_bundle(rego_dir: Path, opa: Path, cache_dir: Path) -> Bundle:
    """Make the bundle of a policy folder, from the cache when it holds this revision.

    Raises PolicyInvalidError with every problem found (file and line), SetupError when OPA cannot be run or the cache
    cannot be written. Blocks for the time of some `opa` runs; call it in a thread.
    """
    tree = read_tree(rego_dir)
    policies = parse_tenants(tree)
    tenants = tenants_document(policies)
    revision = _revision(tree, tenants)
    path = cache_dir / f"{revision}.tar.gz"
    if not _holds(path, revision):
        try:
            cache_dir.mkdir(mode=0o700, parents=True, exist_ok=True)
            with staged(tree, tests=False, tenants=tenants, parent=cache_dir) as stage:
                problems = serving_problems(tree, policies, stage, opa)
                if problems:
                    raise PolicyInvalidError(problems)
                for name in tree.schemas:  # checked with, and no part of the policy, whatever the file is called
                    (stage / name).unlink()
                _build(tree, stage, opa, path)
        except OSError as error:
            raise SetupError(f"{cache_dir}: cannot be written: {error.strerror}; mend it or set data_dir") from error
    return Bundle(path, revision, policies)


def _revision(tree: PolicyTree, tenants: bytes) -> str:
    """Digest every input by name and content, in the order of the names."""
    inputs = {
        **tree.modules,
        **tree.raw_data,
        **tree.schemas,
        CAPABILITIES: tree.capabilities,
        f"{TENANTS}/": tenants,
        "/opa": opa_version().encode(),
        "/format": BUNDLE_FORMAT,
    }
    digest = hashlib.sha256()
    for name, content in sorted(inputs.items()):
        for part in (name.encode(errors="surrogateescape"), content):
            digest.update(len(part).to_bytes(8, "big") + part)
    return digest.hexdigest()[:REVISION_CHARS]


def _holds(path: Path, revision: str) -> bool:
    """Whether `path` is a whole bundle of that revision."""
    try:
        with tarfile.open(path, "r:gz") as archive:
            names = {member.name.lstrip("/"): member for member in archive}
            manifest = archive.extractfile(names[".manifest"])
            return manifest is not None and json.load(manifest)["revision"] == revision
    except (OSError, EOFError, tarfile.TarError, KeyError, ValueError):
        return False


def _build(tree: PolicyTree, stage: Path, opa: Path, path: Path) -> None:
    revision = path.name.removesuffix(".tar.gz")
    with tempfile.TemporaryDirectory(prefix="placet-bundle-", dir=path.parent) as folder:
        built = Path(folder, "bundle.tar.gz")
        # Nothing is left out by --ignore: it goes by the name at any depth, and would take a pack of that name along.
        # Of a bundle's JSON files OPA reads data.json alone.
        arguments = ["build", "--bundle", "--capabilities", CAPABILITIES, "--revision", revision]
        ended = run(opa, [*arguments, "--output", str(built.absolute()), "."], cwd=stage)
        if ended.code != 0 or not _holds(built, revision):
            reason = first_line(ended.stderr or ended.stdout)
            raise PolicyInvalidError([Problem(str(tree.root), f"opa build failed: {reason}")])
        missing = sorted(tree.modules.keys() - _names(built))
        if missing:  # a deny that is left out is an allow
            raise PolicyInvalidError([Problem(tree.where(name), "opa build left it out") for name in missing])
        _flush(built)
        built.replace(path)
        _flush(path.parent)


def _names(path: Path) -> set[str]:
    with tarfile.open(path, "r:gz") as archive:
        return {name.lstrip("/") for name in archive.getnames()}


def _flush(path: Path) -> None:
    descriptor = os.open(path, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)
