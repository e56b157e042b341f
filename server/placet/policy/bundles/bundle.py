"""Build the bundle of a policy folder: the one file that OPA serves, named by a digest of everything in it.

The bytes of a bundle follow from the policy folder. When the cache holds the same bytes, the bundle passed every check
before, and OPA does not run again. A cached file with other bytes is reported and built again. OPA receives the bytes
that were built here, never the cached file.
"""

from __future__ import annotations

import errno
import json
import os
import tempfile
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING, Final

from placet.kernel.disk_errors import remedy_for
from placet.kernel.errors import ConfigurationError, Diagnostic, PolicyInvalidError
from placet.policy.bundles.bundle_cache import BundleCache
from placet.policy.bundles.compiled import MODULE, compiled_files
from placet.policy.checks.check import serving_problems
from placet.policy.checks.rule_check import check_rules
from placet.policy.files.archive import ArchiveError, pack, unpack
from placet.policy.files.staging import TENANTS, policy_files, staged, tenants_document
from placet.policy.files.tenant_files import parse_tenants
from placet.policy.files.tree import CAPABILITIES, digest_of, read_tree
from placet.policy.rego.hardening import hardened
from placet.policy.rego.tokens import forget_tokens
from placet.policy.toolchain.binary import opa_version
from placet.policy.toolchain.process import run
from placet.revisions.pushed import UNKNOWN_PUSHER, Pusher

if TYPE_CHECKING:
    from collections.abc import Callable, Collection, Mapping

    from placet.policy.checks.rule_check import RuleCheck
    from placet.policy.files.tree import PolicyTree
    from placet.tenants.policy import TenantPolicy

REVISION_CHARS: Final = 32
"""Hex digits of the digest that name a revision: 128 bits, so that no two policies share a name."""
BUNDLE_FORMAT: Final = b"9"
"""Part of the digest. Increased when checks or staged files change, so that older cached bundles are not used."""
REGO_VERSION: Final = 1
_NO_SPACE: Final = "no space left on device"
"""Part of OPA's message when the disk is full, which is not an error of the policy."""


@dataclass(frozen=True, slots=True)
class Bundle:
    """A bundle that passed every check."""

    path: Path  # the copy in the cache, for people; the folder of one that is not stored
    revision: str
    agent_policies: Mapping[str, TenantPolicy]  # by tenant
    content: bytes
    tree: PolicyTree | None = None  # the files that it was built from
    git_commit: str = ""  # of the policy folder, as far as it is known
    pusher: Pusher = UNKNOWN_PUSHER  # who published its release
    created_at_us: int = 0  # when it was released, in wall-clock microseconds; 0 for one that was built from a folder


def build_bundle(
    rego_dir: Path,
    opa: Path,
    cache_dir: Path,
    on_mismatch: Callable[[Path], None] = lambda _: None,
    needed: Collection[str] = (),
    rules: Callable[[PolicyTree, Path], RuleCheck] = check_rules,
) -> Bundle:
    """Build the bundle of a policy folder. Skips the checks when the cache holds the same bundle.

    `on_mismatch` receives a cached file whose content does not match its name. The revisions in `needed` stay in the
    cache, however old they are. `rules` checks the rules; a server passes
    `check_rules_apart`. Raises PolicyInvalidError with every problem and its file and line. Raises
    ConfigurationError when OPA cannot be run or the cache cannot be written. Blocks for several runs of `opa`, so call
    it in a thread.
    """
    return bundle_of(read_tree(rego_dir), opa, cache_dir, on_mismatch, needed, rules)


def bundle_of(
    tree: PolicyTree,
    opa: Path,
    cache_dir: Path,
    on_mismatch: Callable[[Path], None] = lambda _: None,
    needed: Collection[str] = (),
    rules: Callable[[PolicyTree, Path], RuleCheck] = check_rules,
) -> Bundle:
    """Build the bundle of a tree, like `build_bundle`."""
    bundle = unchecked_bundle(tree)
    cache = BundleCache(cache_dir, on_mismatch)
    if not cache.contains(bundle.revision, bundle.content):
        try:
            cache_dir.mkdir(mode=0o700, parents=True, exist_ok=True)
            tenants = tenants_document(bundle.agent_policies)
            with staged(tree, tests=False, tenants=tenants, parent=cache_dir) as stage:
                problems = serving_problems(tree, bundle.agent_policies, stage, opa, rules)
                if problems:
                    raise PolicyInvalidError(problems)
                _check_with_opa(tree, stage, opa, bundle.content)
            cache.store(bundle.revision, bundle.content)
            cache.prune({bundle.revision, *needed})
        except OSError as error:
            remedy = remedy_for(error, "make it writable or set data_dir")
            raise ConfigurationError(f"{cache_dir}: cannot be written: {error.strerror}; {remedy}") from error
    return replace(bundle, path=cache.path(bundle.revision))


def unchecked_bundle(tree: PolicyTree) -> Bundle:
    """Build the bundle of a tree without OPA: it passed no check but those of the tenants' files, and is not stored.

    Raises PolicyInvalidError for invalid tenants' files.
    """
    policies = parse_tenants(tree)
    tenants = tenants_document(policies)
    revision = _revision(tree, tenants)
    content = pack(_members(hardened(tree), tenants, compiled_files(tree, policies), revision))
    forget_tokens()
    return Bundle(tree.root, revision, policies, content, tree)


def _revision(tree: PolicyTree, tenants: bytes) -> str:
    """Return the revision: a digest over the inputs of the bundle, the version of OPA and the bundle format."""
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


def _members(tree: PolicyTree, tenants: bytes, compiled: Mapping[str, bytes], revision: str) -> dict[str, bytes]:
    """Return the files of the bundle by name: the manifest, modules, and data in their folders."""
    manifest = json.dumps({"revision": revision, "roots": [""], "rego_version": REGO_VERSION}).encode()
    files = {**dict(policy_files(tree, tenants)), **compiled}
    return {"/.manifest": manifest, **{f"/{name}": content for name, content in files.items()}}


def _check_with_opa(tree: PolicyTree, stage: Path, opa: Path, content: bytes) -> None:
    """Check with ``opa build`` that OPA loads the bundle and leaves out no module: a lost deny would be an allow.

    Raises PolicyInvalidError when it does not, and OSError when OPA has no space to write.
    """
    with tempfile.TemporaryDirectory(prefix="placet-bundle-", dir=stage.parent) as folder:
        source, output = Path(folder, "bundle.tar.gz"), Path(folder, "built.tar.gz")
        source.write_bytes(content)
        arguments = ["build", "--bundle", str(source.absolute()), "--capabilities", CAPABILITIES]
        result = run(opa, [*arguments, "--output", str(output.absolute())], cwd=stage)
        if result.exit_code != 0:
            if _NO_SPACE in result.message:
                raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))
            raise PolicyInvalidError([Diagnostic(str(tree.root), f"opa build failed: {result.message}")])
        missing = sorted({*tree.modules, MODULE} - _built_names(tree, source.absolute(), output))
        if missing:
            raise PolicyInvalidError([Diagnostic(tree.where(name), "opa build left it out") for name in missing])


def _built_names(tree: PolicyTree, source: Path, output: Path) -> set[str]:
    """Return the names of the files in OPA's output. OPA prefixes those of modules with the path of the source."""
    try:
        return {name.removeprefix(str(source)).lstrip("/") for name in unpack(output.read_bytes())}
    except ArchiveError as error:
        raise PolicyInvalidError([Diagnostic(str(tree.root), f"opa build failed: its output {error}")]) from error
