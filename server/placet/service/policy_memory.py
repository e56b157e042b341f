"""What a replica served last and which policies people confirmed, kept in the ledger: it outlives the process."""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Final

import orjson

from placet.core.changes import Kept, Put, Row, RowKey, Wanted
from placet.core.record_codec import SYSTEM_TENANT, policy_activated_commitment
from placet.service.transitions import change

if TYPE_CHECKING:
    from collections.abc import Callable

    from placet.core.policy_status import PolicyEvent
    from placet.core.ports import Clock, Ledger
    from placet.core.records import Commitment

SERVED: Final = "served"
CONFIRMED: Final = "confirmed"


def served_key(replica: str) -> RowKey:
    """Where it is remembered what the replica served last."""
    return RowKey(Kept.CONTROL_REQUESTS, SYSTEM_TENANT, f"policy.served:{replica}")


def confirmed_key(revision: str) -> RowKey:
    """Where it is remembered that somebody confirmed the revision."""
    return RowKey(Kept.CONTROL_REQUESTS, SYSTEM_TENANT, f"policy.confirmed:{revision}")


@dataclass(frozen=True, slots=True)
class LedgerMemory:
    """A `PolicyMemory` in the ledger, which is open when it is asked. What one replica confirms is confirmed on all."""

    ledger: Callable[[], Ledger]
    clock: Clock
    replica: str

    async def served(self) -> str:
        """Digest of the files that it served last; "" when it never served any."""
        row = await self._row(served_key(self.replica))
        return str(orjson.loads(row.body)["digest"]) if row is not None else ""

    async def activated(self, event: PolicyEvent) -> None:
        """Record that the revision decides from now on, and remember the files that it is of."""
        await change(self.ledger(), lambda: self._activated(event))

    async def _activated(self, event: PolicyEvent) -> tuple[Commitment, None]:
        now_us, key = self.clock.wall_us(), served_key(self.replica)
        recorded = policy_activated_commitment(
            event.revision, event.engine_version, event.tenants, now_us, event.git_commit
        )
        if not event.source_digest:
            return recorded, None
        row = await self._row(key) or Row(key, SERVED, now_us, b"")
        body = orjson.dumps({"digest": event.source_digest})
        return replace(recorded, changes=(Put(replace(row, body=body)),)), None

    async def confirmed(self, revision: str) -> bool:
        """Whether somebody confirmed that the revision may take restrictions away."""
        return await self._row(confirmed_key(revision)) is not None

    async def _row(self, key: RowKey) -> Row | None:
        return (await self.ledger().load(Wanted([key]))).rows.get(key)
