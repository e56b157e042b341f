"""Expires reservations without a reported outcome, and purges old idempotency keys. The background sweeper runs it."""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

from placet.audit.records import Committed
from placet.budgets.give_backs import GiveBacks, add_changes, run_counter
from placet.budgets.reservations import counters_beside, expire, from_row, to_row
from placet.kernel.limits import EXPIRY_ROWS_MAX, PURGED_KEYS_MAX
from placet.kernel.state import EMPTY_SNAPSHOT, PutIfVersion, ReadSet, StateTable
from placet.outcomes.bounds import bounds_by_tenant
from placet.outcomes.records import reservation_expired_commitment

if TYPE_CHECKING:
    from placet.audit.ports import Ledger
    from placet.audit.records import Commitment
    from placet.budgets.give_backs import GiveBackBounds
    from placet.budgets.reservations import Reservation
    from placet.kernel.clock import Clock
    from placet.kernel.policy_files import CurrentFiles
    from placet.kernel.state import CounterKey, Usage
    from placet.outcomes.ports import OutcomeSettings

_HOUR_US: Final = 3_600_000_000


async def expire_due(
    ledger: Ledger,
    clock: Clock,
    policies: CurrentFiles[OutcomeSettings] | None = None,
    bounds: GiveBackBounds | None = None,
) -> int:
    """Expire every reservation that is due, EXPIRY_ROWS_MAX in one commit, and return how many expired.

    What is released counts as given back, within the bounds of the tenant's file or else within `bounds`. Other
    replicas may do the same at the same time: a reservation expires once, and the second commit conflicts. Raises
    LedgerUnavailableError.
    """
    expired = 0
    while True:
        now_us = clock.wall_us()
        due = await ledger.due_rows(StateTable.RESERVATIONS, now_us, EXPIRY_ROWS_MAX)
        if not due:
            return expired
        expired_now = [from_row(row) for row in due]
        bounds_of = bounds_by_tenant(policies, {reservation.tenant for reservation in expired_now}, bounds)
        counters = {
            counter
            for reservation in expired_now
            if bounds_of[reservation.tenant] is not None
            for counter in counters_beside(reservation)
        }
        snapshot = await ledger.load(ReadSet(counters=sorted(counters))) if counters else EMPTY_SNAPSHOT
        running = dict(snapshot.counters)
        commitments = [_expired(each, bounds_of[each.tenant], running, now_us) for each in expired_now]
        results = await ledger.commit(commitments)
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


def _expired(
    reservation: Reservation, bounds: GiveBackBounds | None, running: dict[CounterKey, Usage], now_us: int
) -> Commitment:
    give_backs = None
    if bounds is not None:
        run = run_counter(reservation.tenant, reservation.run_id)
        give_backs = GiveBacks(bounds, running, run, executed=False, permit_valid=False)
    after, settled = expire(reservation, give_backs)
    beside = give_backs.changes() if give_backs is not None else ()
    add_changes(running, beside)
    changes = [*beside, PutIfVersion(to_row(after))]
    return reservation_expired_commitment(after, settled, changes, now_us, give_backs)
