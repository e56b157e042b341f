"""The outbox: claims deliveries that are due, and keeps what became of them, each by compare-and-set."""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING, Protocol

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
    """What the outbox needs of the ledger. Raises LedgerUnavailableError."""

    async def due_rows(self, table: StateTable, now_us: int, limit: int) -> Sequence[Row]:
        """Rows of all tenants that are due, the earliest first."""
        ...

    async def put_unaudited(self, rows: Sequence[Row]) -> Sequence[bool]:
        """Write each as its next version, without a record; whether `row.version` was still the stored one."""
        ...


class Outbox:
    """The deliveries of all tenants. What another replica changed meanwhile is left as that one wants it.

    `on_error` is told of rows that cannot be read; they are tried no more.
    """

    def __init__(self, rows: Rows, on_error: Callable[[BaseException], None]) -> None:
        self._rows = rows
        self._on_error = on_error

    async def due(self, now_us: int, until_us: int, limit: int) -> Sequence[Delivery]:
        """Claim at most `limit` deliveries that are due, for this caller alone until `until_us`."""
        found = await self._rows.due_rows(StateTable.WEBHOOK_OUTBOX, now_us, limit)
        moved = [self._claimed(row, now_us, until_us) for row in found]
        won = await self._rows.put_unaudited(moved) if moved else ()
        mine = [replace(row, version=row.version + 1) for row, mine in zip(moved, won, strict=True) if mine]
        return [Delivery.read(row) for row in mine if row.due_at_us]

    async def done(self, delivery: Delivery) -> bool:
        """The receiver took it."""
        return await self._put(sent(delivery))

    async def later(self, delivery: Delivery, due_at_us: int, error: str) -> bool:
        """It is to be tried again."""
        return await self._put(later(delivery, due_at_us, error))

    async def give_up(self, delivery: Delivery, error: str) -> bool:
        """It is not to be tried again; its row is kept."""
        return await self._put(gave_up(delivery, error))

    async def _put(self, row: Row) -> bool:
        """Whether it was still this caller's."""
        [mine] = await self._rows.put_unaudited([row])
        return mine

    def _claimed(self, row: Row, now_us: int, until_us: int) -> Row:
        try:
            return claimed(Delivery.read(row), now_us, until_us)
        except DeliveryUnreadableError as fault:
            self._on_error(fault)
            return unreadable(row)
