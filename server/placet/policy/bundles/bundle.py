"""Policy as it is served: one bundle, named by the digest of all that decides.

The bundle's bytes follow from the policy folder. A copy in the cache that is the same, byte by byte, passed every check
before, and OPA need not run for it; whatever else stands there is left aside, told, and built anew. OPA is given the
bytes that were made here, never the file.
"""

from __future__ import annotations

import errno
import json
import os
import tempfile
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Final

from placet.kernel.disk_faults import remedy_for
from placet.kernel.errors import ConfigurationError, Diagnostic, PolicyInvalidError
from placet.policy.bundles.bundle_cache import BundleCache
from placet.policy.checks.check import serving_problems
from placet.policy.files.archive import ArchiveError, pack, unpack
from placet.policy.files.staging import TENANTS, policy_files, staged, tenants_document
from placet.policy.files.tenant_files import parse_tenants
from placet.policy.files.tree import CAPABILITIES, digest_of, read_tree
from placet.policy.rego.hardening import hardened
from placet.policy.toolchain.binary import opa_version
from placet.policy.toolchain.process import first_line, run

if TYPE_CHECKING:
    from collections.abc import Callable, Collection, Mapping

    from placet.policy.files.tree import PolicyTree
    from placet.tenants.policy import TenantPolicy

REVISION_CHARS: Final = 32
"""Hex digits of the digest that name a revision: 128 bits, so that no two policies share a name."""
BUNDLE_FORMAT: Final = b"4"
"""Part of the digest. Raised when what is checked or staged changes, so that an older cache is not trusted."""
REGO_VERSION: Final = 1
_NO_ROOM: Final = "no space left on device"
"""How OPA says that the disk is full, which is no fault of the policy."""


@dataclass(frozen=True, slots=True)
class Bundle:
    """A bundle that passed every check: its bytes, its revision, and the agent_policy of each tenant in it.

    `path` is the copy in the cache, for people; `tree` the files that it was made of.
    """

    path: Path
    revision: str
    agent_policies: Mapping[str, TenantPolicy]
    content: bytes
    tree: PolicyTree | None = None


def build_bundle(
    rego_dir: Path,
    opa: Path,
    cache_dir: Path,
    on_refused: Callable[[Path], None] = lambda _: None,
    needed: Collection[str] = (),
) -> Bundle:
    """Make the bundle of a policy folder; it is not checked again when the cache holds the same.

    `on_refused` is told of a file of the cache that is not the bundle of its name; revisions that are `needed` stay in
    the cache however old. Raises PolicyInvalidError with every problem found (file and line), ConfigurationError when
    OPA
    cannot be run or the cache cannot be written. Blocks for the time of some `opa` runs; call it in a thread.
    """
    return bundle_of(read_tree(rego_dir), opa, cache_dir, on_refused, needed)


def bundle_of(
    tree: PolicyTree,
    opa: Path,
    cache_dir: Path,
    on_refused: Callable[[Path], None] = lambda _: None,
    needed: Collection[str] = (),
) -> Bundle:
    """Make the bundle of a tree that was read; see `build_bundle`."""
    policies = parse_tenants(tree)
    tenants = tenants_document(policies)
    revision = _revision(tree, tenants)
    content = pack(_members(hardened(tree), tenants, revision))
    cache = BundleCache(cache_dir, on_refused)
    if not cache.holds(revision, content):
        try:
            cache_dir.mkdir(mode=0o700, parents=True, exist_ok=True)
            with staged(tree, tests=False, tenants=tenants, parent=cache_dir) as stage:
                problems = serving_problems(tree, policies, stage, opa)
                if problems:
                    raise PolicyInvalidError(problems)
                _try(tree, stage, opa, content)
            cache.keep(revision, content)
            cache.prune({revision, *needed})
        except OSError as error:
            remedy = remedy_for(error, "mend it or set data_dir")
            raise ConfigurationError(f"{cache_dir}: cannot be written: {error.strerror}; {remedy}") from error
    return Bundle(cache.path(revision), revision, policies, content, tree)


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
    return digest_of(inputs)[:REVISION_CHARS]


def _members(tree: PolicyTree, tenants: bytes, revision: str) -> dict[str, bytes]:
    """The files of the bundle as OPA reads them: the manifest, modules, and data below their folders."""
    manifest = json.dumps({"revision": revision, "roots": [""], "rego_version": REGO_VERSION}).encode()
    return {"/.manifest": manifest, **{f"/{name}": each for name, each in policy_files(tree, tenants)}}


def _try(tree: PolicyTree, stage: Path, opa: Path, content: bytes) -> None:
    """Let OPA take in the very bytes that it is to serve, and see that nothing is left out: a lost deny is an allow."""
    with tempfile.TemporaryDirectory(prefix="placet-bundle-", dir=stage.parent) as folder:
        given, built = Path(folder, "bundle.tar.gz"), Path(folder, "built.tar.gz")
        given.write_bytes(content)
        arguments = ["build", "--bundle", str(given.absolute()), "--capabilities", CAPABILITIES]
        ended = run(opa, [*arguments, "--output", str(built.absolute())], cwd=stage)
        if ended.exit_code != 0:
            reason = first_line(ended.stderr or ended.stdout)
            if _NO_ROOM in reason:
                raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))
            raise PolicyInvalidError([Diagnostic(str(tree.root), f"opa build failed: {reason}")])
        missing = sorted(tree.modules.keys() - _names(tree, given.absolute(), built))
        if missing:
            raise PolicyInvalidError([Diagnostic(tree.where(name), "opa build left it out") for name in missing])


def _names(tree: PolicyTree, given: Path, built: Path) -> set[str]:
    """What OPA made of the bundle, by name; it puts the bundle's own path before those of modules."""
    try:
        return {name.removeprefix(str(given)).lstrip("/") for name in unpack(built.read_bytes())}
    except ArchiveError as error:
        raise PolicyInvalidError([Diagnostic(str(tree.root), f"opa build failed: what it made {error}")]) from error
