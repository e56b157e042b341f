"""What the serving of policy needs of the ledger. `placet.revisions.memory` implements it."""

from __future__ import annotations

from typing import TYPE_CHECKING, Protocol

if TYPE_CHECKING:
    from collections.abc import Sequence

    from placet.revisions.status import PolicyStatus, ServedSource


class PolicyMemory(Protocol):
    """What is remembered of policy beyond the end of this replica. Raises LedgerUnavailableError."""

    async def served(self) -> Sequence[ServedSource]:
        """What this replica served last, and what any replica did; those that are known, in this order."""
        ...

    async def confirmed(self, revision: str) -> bool:
        """Whether somebody confirmed that the revision may take restrictions away."""
        ...


class StatusSource(Protocol):
    """Where the status of the served policy comes from."""

    def status(self) -> PolicyStatus:
        """What is served, and whether something newer was refused."""
        ...
