"""Decide whether a new policy must be confirmed by a person because it lost restrictions of the served one.

The ledger stores the files of the policy that was served last, and a copy is stored beside the bundles. Both are named
by the digest of their names and contents, so a changed copy is recognised and not used. Therefore the comparison works
after a restart, after the loss of the data directory, and after the loss of the database. A policy that cannot be
compared must be confirmed too.
"""

from __future__ import annotations

import asyncio
from dataclasses import dataclass
from typing import TYPE_CHECKING, Final

from placet.kernel.clock import rfc3339
from placet.kernel.errors import Diagnostic, LedgerUnavailableError, PolicyInvalidError, PolicyUnreadableError
from placet.policy.bundles.bundle_cache import BundleCache
from placet.policy.bundles.removals import find_removals
from placet.policy.files.archive import ArchiveError, pack, unpack
from placet.policy.files.tenant_files import parse_tenants
from placet.policy.files.tree import CONFIG, digest_of, tree_of
from placet.revisions.status import Hold, ServedSource

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping, Sequence
    from pathlib import Path

    from placet.policy.bundles.bundle import Bundle
    from placet.policy.files.tree import PolicyTree
    from placet.revisions.ports import PolicyMemory
    from placet.revisions.pushed import Pusher
    from placet.tenants.policy import TenantPolicy


SUFFIX: Final = ".source.tgz"
TWO_PEOPLE: Final = "two_people:"
"""Begins the name of a confirmation by two people. One by a single person does not count where two are needed."""


@dataclass(frozen=True, slots=True)
class PreviousPolicy:
    """The policy that was served before this process started."""

    tree: PolicyTree | None = None  # None when nothing was served, or no copy can be read
    digests: frozenset[str] = frozenset()  # of the files of all policies that may have been served last
    errors: tuple[str, ...] = ()  # why copies could not be read

    @property
    def incomparable(self) -> str:
        """Why nothing can be compared with it; "" when it can be, and when no policy was ever served."""
        if self.tree is not None or not self.errors:
            return ""
        return f"what changed since the policy served last could not be compared, because {'; '.join(self.errors)}"

    def matches(self, bundle: Bundle) -> bool:
        """Return whether the bundle was built from the same files."""
        return bundle.tree is not None and digest_of(bundle.tree.deciding) in self.digests


class RemovalConfirmation:
    """Compares new policies with the served one, for one replica."""

    def __init__(
        self,
        memory: PolicyMemory,
        folder: Path,
        on_error: Callable[[BaseException], None],
        *,
        enabled: bool = True,
        two_people: bool = False,
    ) -> None:
        """Prepare comparisons. The copies are stored in `folder`, and `on_error` receives a failure to store one.

        When `enabled` is false, no policy must be confirmed because of what it lost, but the copies are stored for a
        later comparison. With `two_people` every policy that did not decide before needs two people.
        """
        self._two_people = two_people
        self._memory = memory
        self._enabled = enabled
        self._folder = folder
        self._on_error = on_error
        self._tenants: dict[str, bytes] = {}
        self._newest_release_us = 0  # that this process served

    async def previous(self, rego_dir: Path) -> PreviousPolicy:
        """Return the policy served last, from the ledger; from the folder when the ledger knows none."""
        sources = await self._memory.served()
        return await asyncio.to_thread(self._previous, sources, rego_dir)

    async def hold_since(self, previous: PreviousPolicy, new: Bundle) -> Hold:
        """Return why `new` must be confirmed, compared with what was served before this process. See `hold_after`."""
        lost = await self._removals_since(previous, new)
        return await self._hold(new, lost, known=previous.matches(new))

    async def hold_after(self, served: PolicyTree | None, new: Bundle) -> Hold:
        """Return why `new` must be confirmed, compared with the served files.

        Raises PolicyUnreadableError when the ledger does not answer, because it is then unknown.
        """
        return await self._hold(new, await self._removals(served, new), known=False)

    async def _removals_since(self, previous: PreviousPolicy, new: Bundle) -> tuple[str, ...]:
        """Return what `new` lost since `previous`, or why they cannot be compared; empty when `new` may decide."""
        if previous.matches(new):
            return ()
        if previous.tree is not None:
            return await self._removals(previous.tree, new)
        if not self._enabled or not previous.incomparable or await self.confirmed(new.revision):
            return ()
        return (previous.incomparable,)

    async def _removals(self, served: PolicyTree | None, new: Bundle) -> tuple[str, ...]:
        """Return what `new` lost since `served`; empty when `new` may decide, also because a person confirmed it."""
        if not self._enabled or served is None or new.tree is None:
            return ()
        tenants = {**self._tenants, **served.tenants}
        removals = await asyncio.to_thread(_removals, served, new.tree, tenants, new.agent_policies)
        return () if removals and await self.confirmed(new.revision) else removals

    async def _hold(self, new: Bundle, lost: tuple[str, ...], *, known: bool) -> Hold:
        """Return why `new` must be confirmed: what it lost, that it is older than the newest release, and two people.

        `known` says that the same files decided before. A bundle that does not say when it was created is never older.
        """
        older, name = await self._older(new)
        reasons = (*older, *lost)
        if self._two_people and not known:
            name = f"{TWO_PEOPLE}{name or new.revision}"
            held = Hold((_people_needed(new.pusher), *reasons), name, new.pusher, needs_people=True)
            return Hold() if await self.confirmed(name) else held
        if not older:
            return Hold(lost, "", new.pusher)
        return Hold() if await self.confirmed(name) else Hold(reasons, name, new.pusher)

    async def _older(self, new: Bundle) -> tuple[tuple[str, ...], str]:
        """Return that the bundle is older than the newest release that was served, and the name to confirm it by."""
        if not new.created_at_us:
            return (), ""
        newest_us = max(self._newest_release_us, await self._newest_release())
        if new.created_at_us >= newest_us:
            return (), ""
        created, newest = rfc3339(new.created_at_us), rfc3339(newest_us)
        older = f"it was created at {created}, before the newest policy that was served, which is of {newest}"
        return (older,), f"{new.revision}@{newest_us}"

    def note_release(self, served: Bundle) -> None:
        """Remember in this process when a served release was created."""
        self._newest_release_us = max(self._newest_release_us, served.created_at_us)

    async def _newest_release(self) -> int:
        try:
            return await self._memory.newest_release_us()
        except LedgerUnavailableError as error:
            what = "cannot be compared with the policies served before, because the store does not answer"
            raise PolicyUnreadableError([Diagnostic("the bundle", what)]) from error

    async def confirmed(self, revision: str) -> bool:
        """Return whether a person confirmed the revision; False also when the ledger is unavailable."""
        try:
            return await self._memory.confirmed(revision)
        except LedgerUnavailableError:
            return False

    async def remember(self, bundle: Bundle) -> ServedSource | None:
        """Store a copy of the files that are about to be served, and return it for the ledger.

        A failure to write the copy to the folder is reported to `on_error` and does not prevent serving.
        """
        if bundle.tree is None:
            return None
        self._tenants |= bundle.tree.tenants
        files = bundle.tree.deciding
        source = ServedSource(digest_of(files), await asyncio.to_thread(pack, files), bundle.created_at_us)
        self.note_release(bundle)
        try:
            await asyncio.to_thread(self._store, source)
        except OSError as error:
            self._on_error(error)
        return source

    def _store(self, source: ServedSource) -> None:
        cache = self._cache()
        if not cache.contains(source.digest, source.content):
            cache.store(source.digest, source.content)
        cache.prune({source.digest})

    def _cache(self) -> BundleCache:
        return BundleCache(self._folder, lambda _: None, SUFFIX)

    def _previous(self, sources: Sequence[ServedSource], rego_dir: Path) -> PreviousPolicy:
        errors: list[str] = []
        sources = sources or self._newest_in_folder()
        trees = (self._tree(source, rego_dir, errors) for source in sources)
        tree = next((tree for tree in trees if tree is not None), None)
        return PreviousPolicy(tree, frozenset(source.digest for source in sources), tuple(errors))

    def _newest_in_folder(self) -> tuple[ServedSource, ...]:
        """Return the most recently stored copy of the folder, without its content; empty without one."""
        newest = max(self._folder.glob(f"*{SUFFIX}"), key=lambda path: path.stat().st_mtime_ns, default=None)
        return (ServedSource(newest.name.removesuffix(SUFFIX)),) if newest is not None else ()

    def _tree(self, source: ServedSource, rego_dir: Path, errors: list[str]) -> PolicyTree | None:
        """Return the files of the copy in the ledger, else of the copy in the folder.

        Returns None when neither can be read, and appends the reasons to `errors`.
        """
        if source.content:
            tree = _unpacked(source.content, source.digest, rego_dir)
            if tree is not None:
                return tree
            errors.append("the copy of its files in the ledger is damaged")
        path = self._cache().path(source.digest)
        try:
            content = path.read_bytes()
        except OSError as error:
            errors.append(f"{path}: {error.strerror}")
            return None
        tree = _unpacked(content, source.digest, rego_dir)
        if tree is None:
            errors.append(f"the content of {path} does not match its name; check who can write there")
        return tree


def _people_needed(pusher: Pusher) -> str:
    if pusher.person:
        return f"policy_activation needs two people: {pusher.person} published it, and another person must confirm it"
    by = f"the program {pusher.caller} published it" if pusher.caller else "it is not known who published it"
    return f"policy_activation needs two people: {by}, so two people must confirm it"


def _unpacked(content: bytes, digest: str, rego_dir: Path) -> PolicyTree | None:
    """Return the tree of a copy; None when it is damaged or has another digest."""
    try:
        files = unpack(content)
        return tree_of(rego_dir, files) if digest_of(files) == digest else None
    except (ArchiveError, PolicyInvalidError):
        return None


def _removals(
    served: PolicyTree, new: PolicyTree, tenants: Mapping[str, bytes], policies: Mapping[str, TenantPolicy]
) -> tuple[str, ...]:
    try:
        before = parse_tenants(served)
    except PolicyInvalidError:  # it was valid for an older Placet
        before = {}
    same = frozenset(f"{CONFIG}/{tenant}.yaml" for tenant, policy in policies.items() if before.get(tenant) == policy)
    return find_removals(served, new, tenants, same)
