"""The outbox: claims deliveries that are due, and stores the result of each attempt.

All replicas share the outbox in the ledger. Every write is a compare-and-set on the version of the row, so a replica
never overwrites the change of another one.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Protocol

from msgspec import structs

from placet.kernel.state import StateTable
from placet.notifications.delivery import (
    Delivery,
    DeliveryUnreadableError,
    claimed,
    gave_up,
    later,
    sent,
    unreadable,
)

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from placet.kernel.state import Row


class Rows(Protocol):
    """The part of the ledger that the outbox needs. All methods raise LedgerUnavailableError."""

    async def due_rows(self, table: StateTable, now_us: int, limit: int) -> Sequence[Row]:
        """Return at most `limit` due rows of all tenants, the earliest first."""
        ...

    async def put_unaudited(self, rows: Sequence[Row]) -> Sequence[bool]:
        """Write each row as its next version, without an audit record.

        Returns for each row whether it was written: whether `row.version` was still the stored version.
        """
        ...


class Outbox:
    """The deliveries of all tenants. All methods raise LedgerUnavailableError.

    `on_error` receives a DeliveryUnreadableError for each row that cannot be read; such rows are not tried again.
    """

    def __init__(self, rows: Rows, on_error: Callable[[BaseException], None]) -> None:
        self._rows = rows
        self._on_error = on_error

    async def claim_due(self, now_us: int, until_us: int, limit: int) -> Sequence[Delivery]:
        """Claim at most `limit` due deliveries. No other replica claims them before `until_us`."""
        due = await self._rows.due_rows(StateTable.WEBHOOK_OUTBOX, now_us, limit)
        claims = [self._claimed(row, now_us, until_us) for row in due]
        written = await self._rows.put_unaudited(claims) if claims else ()
        won = [structs.replace(row, version=row.version + 1) for row, won in zip(claims, written, strict=True) if won]
        return [Delivery.read(row) for row in won if row.due_at_us]  # an unreadable row is due no more

    async def mark_sent(self, delivery: Delivery) -> bool:
        """Store that the receiver accepted the delivery. Returns False when another replica has claimed it."""
        return await self._put(sent(delivery))

    async def retry_at(self, delivery: Delivery, due_at_us: int, error: str) -> bool:
        """Store that the attempt failed and when to try again. Returns False when another replica has claimed it."""
        return await self._put(later(delivery, due_at_us, error))

    async def give_up(self, delivery: Delivery, error: str) -> bool:
        """Store that there will be no further attempt; the row stays. False when another replica has claimed it."""
        return await self._put(gave_up(delivery, error))

    async def _put(self, row: Row) -> bool:
        [written] = await self._rows.put_unaudited([row])
        return written

    def _claimed(self, row: Row, now_us: int, until_us: int) -> Row:
        try:
            return claimed(Delivery.read(row), now_us, until_us)
        except DeliveryUnreadableError as error:
            self._on_error(error)
            return unreadable(row)
