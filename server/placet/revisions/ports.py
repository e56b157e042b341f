"""Protocols between policy sources and the ledger. `placet.revisions.memory` implements `PolicyMemory`."""

from __future__ import annotations

from typing import TYPE_CHECKING, Protocol

if TYPE_CHECKING:
    from collections.abc import Sequence

    from placet.revisions.status import PolicyStatus, ServedSource


class PolicyMemory(Protocol):
    """Facts about policies that outlive this replica. Every method raises LedgerUnavailableError."""

    async def served(self) -> Sequence[ServedSource]:
        """Return what this replica served last, then what any replica served last, as far as they are known."""
        ...

    async def newest_release_us(self) -> int:
        """Return when the newest release was created that any replica served, in microseconds; 0 when none was."""
        ...

    async def confirmed(self, revision: str) -> bool:
        """Return whether a person confirmed that the revision may remove restrictions."""
        ...


class StatusSource(Protocol):
    """Provides the status of the served policy."""

    def status(self) -> PolicyStatus:
        """Return which policy is served, and whether a newer one was refused."""
        ...
