"""A revision that an external OPA serves, with the tenants' files of the release that Placet verified."""

from __future__ import annotations

from typing import TYPE_CHECKING

from placet.engine.bundle_revision import BundleRevision

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable, Sequence

    from placet.engine.client import OpaClient
    from placet.kernel.model import Indeterminate, Verdict
    from placet.policy.bundles.bundle import Bundle


class ExternalRevision(BundleRevision):
    """A verdict of another revision is never used: the inputs were made by the tenants' files of this one.

    OPA changes its revision when it likes. An answer by another one gives Indeterminate, after `follow(revision)`,
    which makes that revision the served one if it can: then the caller gathers its inputs again.
    """

    def __init__(
        self, bundle: Bundle, client: OpaClient, confirmed_at: float, follow: Callable[[str], Awaitable[None]]
    ) -> None:
        super().__init__(bundle, confirmed_at)
        self._follow = follow
        self._client = client.expecting(bundle.revision, self._places, self._answered_by)
        self._others = 0  # answers by another revision
        self._other = ""  # that of the last one

    async def evaluate(self, inputs: Sequence[bytes]) -> Sequence[Verdict | Indeterminate]:
        """Return one verdict for each input, in order. One that takes long is Indeterminate.slow."""
        others = self._others
        verdicts = await self._client.evaluate(inputs)
        await self._follow_since(others)
        return verdicts

    async def evaluate_singly(self, inputs: Sequence[bytes]) -> Sequence[Verdict | Indeterminate]:
        """Return one verdict for each input, in order. Each has the whole time limit of a query."""
        others = self._others
        verdicts = await self._client.evaluate_singly(inputs)
        await self._follow_since(others)
        return verdicts

    def _answered_by(self, revision: str) -> None:
        self._others += 1
        self._other = revision

    async def _follow_since(self, others: int) -> None:
        if self._others != others:
            await self._follow(self._other)
