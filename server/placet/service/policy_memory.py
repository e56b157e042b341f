"""What a replica served last and which policies people confirmed, kept in the ledger: it outlives the process."""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Final

import orjson

from placet.core.changes import Kept, Row, RowKey, Wanted
from placet.core.record_codec import SYSTEM_TENANT

if TYPE_CHECKING:
    from collections.abc import Callable

    from placet.core.ports import Clock, Ledger

SERVED: Final = "served"
CONFIRMED: Final = "confirmed"
REMEMBER_TRIES_MAX: Final = 3
"""Nobody else writes the row of a replica, unless another has its name; then the last one is remembered."""


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

    async def remember(self, digest: str) -> None:
        """It serves these files now."""
        key, body = served_key(self.replica), orjson.dumps({"digest": digest})
        for _ in range(REMEMBER_TRIES_MAX):
            row = await self._row(key) or Row(key, SERVED, self.clock.wall_us(), b"")
            [written] = await self.ledger().put_rows([replace(row, body=body)])
            if written:
                return

    async def confirmed(self, revision: str) -> bool:
        """Whether somebody confirmed that the revision may take restrictions away."""
        return await self._row(confirmed_key(revision)) is not None

    async def _row(self, key: RowKey) -> Row | None:
        return (await self.ledger().load(Wanted([key]))).rows.get(key)
