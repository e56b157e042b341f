"""Expires reservations without a reported outcome, and purges old idempotency keys. The background sweeper runs it."""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

from placet.audit.records import Committed
from placet.budgets.reservations import expire, from_row, to_row
from placet.kernel.limits import EXPIRY_ROWS_MAX, PURGED_KEYS_MAX
from placet.kernel.state import PutIfVersion, StateTable
from placet.outcomes.records import reservation_expired_commitment

if TYPE_CHECKING:
    from placet.audit.ports import Ledger
    from placet.audit.records import Commitment
    from placet.kernel.clock import Clock
    from placet.kernel.state import Row

_HOUR_US: Final = 3_600_000_000


async def expire_due(ledger: Ledger, clock: Clock) -> int:
    """Expire every reservation that is due, EXPIRY_ROWS_MAX in one commit, and return how many expired.

    Other replicas may do the same at the same time: a reservation expires once, and the second commit conflicts. Raises
    LedgerUnavailableError.
    """
    expired = 0
    while True:
        now_us = clock.wall_us()
        due = await ledger.due_rows(StateTable.RESERVATIONS, now_us, EXPIRY_ROWS_MAX)
        if not due:
            return expired
        results = await ledger.commit([_expired(row, now_us) for row in due])
        committed = sum(isinstance(result, Committed) for result in results)
        if not committed:
            return expired
        expired += committed


async def purge_idempotency_keys(ledger: Ledger, clock: Clock, retention_hours: int) -> int:
    """Purge idempotency keys older than `retention_hours`, PURGED_KEYS_MAX in one commit, and return how many.

    Raises LedgerUnavailableError.
    """
    before_us = clock.wall_us() - retention_hours * _HOUR_US
    purged = 0
    while count := await ledger.purge_idempotency_keys(before_us, PURGED_KEYS_MAX):
        purged += count
    return purged


def _expired(row: Row, now_us: int) -> Commitment:
    after, settled = expire(from_row(row))
    return reservation_expired_commitment(after, settled, [PutIfVersion(to_row(after))], now_us)
