"""Whether a new policy is asked about before it decides: one that lost something against the one that is served.

The ledger holds the files of what was served last, and a copy is kept beside the bundles, both under the digest of
names and contents. So the question survives a restart, a lost data directory and a lost database, and files that were
changed meanwhile are not believed. What cannot be compared is asked about.
"""

from __future__ import annotations

import asyncio
from dataclasses import dataclass
from typing import TYPE_CHECKING, Final

from placet.kernel.errors import LedgerUnavailableError, PolicyInvalidError
from placet.policy.bundles.bundle_cache import BundleCache
from placet.policy.bundles.removals import what_it_lost
from placet.policy.files.archive import ArchiveError, pack, unpack
from placet.policy.files.tenant_files import parse_tenants
from placet.policy.files.tree import CONFIG, digest_of, tree_of
from placet.revisions.status import ServedSource

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping, Sequence
    from pathlib import Path

    from placet.policy.bundles.bundle import Bundle
    from placet.policy.files.tree import PolicyTree
    from placet.revisions.ports import PolicyMemory
    from placet.tenants.policy import TenantPolicy

SUFFIX: Final = ".source.tgz"


@dataclass(frozen=True, slots=True)
class Earlier:
    """What was served before this process began.

    `unread` says why its files, or some of them, could not be read; without a `tree`, none could be. `digests` are of
    all that is known to have been served last.
    """

    tree: PolicyTree | None = None
    digests: frozenset[str] = frozenset()
    unread: tuple[str, ...] = ()

    @property
    def incomparable(self) -> str:
        """Why nothing can be compared with it; "" when it can, or nothing was ever served."""
        if self.tree is not None or not self.unread:
            return ""
        return f"what changed since the policy served last could not be compared, because {'; '.join(self.unread)}"

    def is_of(self, bundle: Bundle) -> bool:
        """Whether the bundle is of the very files that were served last."""
        return bundle.tree is not None and digest_of(bundle.tree.deciding) in self.digests


class RemovalConfirmation:
    """Asks, for one replica; with `asks` False never, but it keeps what is needed for asking later.

    `on_error` is told of what went wrong in Placet itself.
    """

    def __init__(
        self, memory: PolicyMemory, folder: Path, on_error: Callable[[BaseException], None], *, asks: bool = True
    ) -> None:
        self._memory = memory
        self._asks = asks
        self._folder = folder
        self._on_error = on_error
        self._tenants: dict[str, bytes] = {}

    async def earlier(self, rego_dir: Path) -> Earlier:
        """What was served last, as far as ledger and cache still hold it; of a new ledger, what the cache holds."""
        known = await self._memory.served()
        return await asyncio.to_thread(self._earlier, known, rego_dir)

    async def since(self, earlier: Earlier, new: Bundle) -> tuple[str, ...]:
        """What `new` lost since, or why that cannot be told; () when it may decide."""
        if earlier.is_of(new):
            return ()
        if earlier.tree is not None:
            return await self.reasons(earlier.tree, new)
        if not self._asks or not earlier.incomparable or await self.confirmed(new.revision):
            return ()
        return (earlier.incomparable,)

    async def reasons(self, served: PolicyTree | None, new: Bundle) -> tuple[str, ...]:
        """What `new` lost, so that it has to be confirmed and is not; () when it may decide."""
        if not self._asks or served is None or new.tree is None:
            return ()
        tenants = {**self._tenants, **served.tenants}
        lost = await asyncio.to_thread(_lost, served, new.tree, tenants, new.agent_policies)
        return () if lost and await self.confirmed(new.revision) else lost

    async def confirmed(self, revision: str) -> bool:
        """Whether somebody confirmed the revision. What cannot be found out is not confirmed."""
        try:
            return await self._memory.confirmed(revision)
        except LedgerUnavailableError:
            return False

    async def keep(self, bundle: Bundle) -> ServedSource | None:
        """Keep the files of what is about to be served; what the ledger has to keep.

        That the cache cannot keep them is told, and stops nothing.
        """
        if bundle.tree is None:
            return None
        self._tenants |= bundle.tree.tenants
        files = bundle.tree.deciding
        source = ServedSource(digest_of(files), await asyncio.to_thread(pack, files))
        try:
            await asyncio.to_thread(self._keep, source)
        except OSError as fault:
            self._on_error(fault)
        return source

    def _keep(self, source: ServedSource) -> None:
        cache = self._cache()
        if not cache.holds(source.digest, source.content):
            cache.keep(source.digest, source.content)
        cache.prune({source.digest})

    def _cache(self) -> BundleCache:
        return BundleCache(self._folder, lambda _: None, SUFFIX)

    def _earlier(self, known: Sequence[ServedSource], rego_dir: Path) -> Earlier:
        unread: list[str] = []
        sources = known or self._newest_kept()
        trees = (self._tree(source, rego_dir, unread) for source in sources)
        tree = next((each for each in trees if each is not None), None)
        return Earlier(tree, frozenset(source.digest for source in sources), tuple(unread))

    def _newest_kept(self) -> tuple[ServedSource, ...]:
        """What the cache says was served last; () when it holds nothing."""
        newest = max(self._folder.glob(f"*{SUFFIX}"), key=lambda path: path.stat().st_mtime_ns, default=None)
        return (ServedSource(newest.name.removesuffix(SUFFIX)),) if newest is not None else ()

    def _tree(self, source: ServedSource, rego_dir: Path, unread: list[str]) -> PolicyTree | None:
        """The files, from the ledger or else the cache; None when neither holds them, and why is `unread`."""
        if source.content:
            tree = _unpacked(source.content, source.digest, rego_dir)
            if tree is not None:
                return tree
            unread.append("the copy of its files in the ledger is damaged")
        path = self._cache().path(source.digest)
        try:
            content = path.read_bytes()
        except OSError as error:
            unread.append(f"{path}: {error.strerror}")
            return None
        tree = _unpacked(content, source.digest, rego_dir)
        if tree is None:
            unread.append(f"{path} does not hold the files of its name; see who can write there")
        return tree


def _unpacked(content: bytes, digest: str, rego_dir: Path) -> PolicyTree | None:
    try:
        files = unpack(content)
        return tree_of(rego_dir, files) if digest_of(files) == digest else None
    except (ArchiveError, PolicyInvalidError):
        return None


def _lost(
    served: PolicyTree, new: PolicyTree, tenants: Mapping[str, bytes], policies: Mapping[str, TenantPolicy]
) -> tuple[str, ...]:
    try:
        before = parse_tenants(served)
    except PolicyInvalidError:  # served once, by other rules
        before = {}
    same = frozenset(f"{CONFIG}/{tenant}.yaml" for tenant, policy in policies.items() if before.get(tenant) == policy)
    return what_it_lost(served, new, tenants, same)
