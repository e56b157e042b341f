"""Whether a new policy is asked about before it decides: one that lost something against the one that is served.

The files of what was served last are kept beside the bundles, under the digest of their names and contents, and that
digest in the ledger. So the question survives a restart, and a file that was changed meanwhile is not believed.
"""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING, Final

from placet.core.errors import LedgerUnavailableError, PolicyInvalidError
from placet.opa.archive import ArchiveError, packed, unpacked
from placet.opa.bundle_cache import BundleCache
from placet.opa.removals import what_it_lost
from placet.opa.tree import CONFIG, digest_of, tree_of

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping
    from pathlib import Path

    from placet.core.ports import PolicyMemory
    from placet.opa.bundle import Bundle
    from placet.opa.tree import PolicyTree

SUFFIX: Final = ".source.tgz"


class RemovalQuestion:
    """Asks, for one replica; with `asks` False never, but it keeps what is needed for asking later.

    `on_fault` is told of what went wrong in Placet itself.
    """

    def __init__(
        self, memory: PolicyMemory, folder: Path, on_fault: Callable[[BaseException], None], *, asks: bool = True
    ) -> None:
        self._memory = memory
        self._asks = asks
        self._folder = folder
        self._on_fault = on_fault
        self._tenants: dict[str, bytes] = {}

    async def earlier(self, rego_dir: Path) -> tuple[PolicyTree | None, Path | None]:
        """The files that this replica served last, and the file that should hold them but does not.

        No files at the first start, and when they are lost: then there is nothing to compare with.
        """
        digest = await self._memory.served() if self._asks else ""
        if not digest:
            return None, None
        refused: list[Path] = []
        tree = await asyncio.to_thread(self._kept, digest, rego_dir, refused)
        return tree, refused[0] if refused else None

    async def reasons(self, served: Bundle, new: Bundle) -> tuple[str, ...]:
        """What `new` lost, so that it has to be confirmed and is not; () when it may decide."""
        if not self._asks or served.tree is None or new.tree is None:
            return ()
        same = frozenset(
            f"{CONFIG}/{tenant}.yaml"
            for tenant, policy in new.agent_policies.items()
            if served.agent_policies.get(tenant) == policy
        )
        lost = what_it_lost(served.tree, new.tree, {**self._tenants, **served.tree.tenants}, same)
        return () if lost and await self.confirmed(new.revision) else lost

    async def confirmed(self, revision: str) -> bool:
        """Whether somebody confirmed the revision. What cannot be found out is not confirmed."""
        try:
            return await self._memory.confirmed(revision)
        except LedgerUnavailableError:
            return False

    async def keep(self, bundle: Bundle) -> str:
        """Keep the files of what is about to be served; their digest, for the ledger.

        "" when they could not be kept: that is told, and stops nothing.
        """
        if bundle.tree is None:
            return ""
        self._tenants |= bundle.tree.tenants
        files = bundle.tree.deciding
        digest = digest_of(files)
        try:
            await asyncio.to_thread(self._keep, digest, files)
        except OSError as fault:
            self._on_fault(fault)
            return ""
        return digest

    def _keep(self, digest: str, files: Mapping[str, bytes]) -> None:
        cache = BundleCache(self._folder, lambda _: None, SUFFIX)
        content = packed(files)
        if not cache.holds(digest, content):
            cache.keep(digest, content)
        cache.prune({digest})

    def _kept(self, digest: str, rego_dir: Path, refused: list[Path]) -> PolicyTree | None:
        path = BundleCache(self._folder, refused.append, SUFFIX).path(digest)
        try:
            files = unpacked(path.read_bytes())
            if digest_of(files) == digest:
                return tree_of(rego_dir, files)
        except (OSError, ArchiveError, PolicyInvalidError):
            pass  # told likewise
        refused.append(path)
        return None
