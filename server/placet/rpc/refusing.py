"""Who calls, and the record of a request that broke the contract."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from placet.core.model import Caller
from placet.core.record_codec import refused_commitment
from placet.rpc.fields import tenant_or_nothing
from placet.rpc.handlers import MALFORMED

if TYPE_CHECKING:
    from placet.core.errors import InvalidRequestError
    from placet.core.ports import Clock
    from placet.core.records import Commitment, CommitResult
    from placet.rpc.context import Context
    from placet.service.batching import Batcher


@dataclass(frozen=True, slots=True)
class RefusalLog:
    """Records refused requests. LedgerUnavailableError when it cannot."""

    refusals: Batcher[Commitment, CommitResult]
    clock: Clock

    async def malformed(self, context: Context) -> None:
        """Record bytes that are no message."""
        await self.refused("", "", MALFORMED, context)

    async def refused(self, method: str, tenant: str, error: InvalidRequestError, context: Context) -> None:
        """Record that a request was refused; `method` and `tenant` are "" when they could not be read."""
        commitment = refused_commitment(
            tenant_or_nothing(tenant), caller_of(context), method, error.violations, self.clock.wall_us()
        )
        await self.refusals.submit([commitment])


def caller_of(context: Context) -> Caller:
    """Who calls, as far as it is known."""
    return Caller(peer=context.peer())
