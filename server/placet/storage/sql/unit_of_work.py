"""The state that a batch of commitments uses: as the transaction read it, and as it will be."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, TypeVar

from placet.audit.state_record import state_changes
from placet.kernel.state import COUNTER_MAX, ZERO_USAGE, PutIfVersion, RequireVersion, Reserve, Row, Settle

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping, Sequence

    from placet.audit.records import Commitment
    from placet.audit.state_record import CounterEntry, StateChanges
    from placet.kernel.state import Change, CounterKey, RowKey, Usage

Moved = tuple[int, int, int, int]
"""A counter: used, reserved, created_at_us, resets_at_us. A plain tuple, because each decision makes eight."""


Key = TypeVar("Key")
Value = TypeVar("Value")


@dataclass(frozen=True, slots=True)
class WriteSet:
    """The distinct keys of what commitments change or compare. They are sorted before locks are taken."""

    written: Sequence[RowKey]
    """Rows to write."""
    compared: Sequence[RowKey]
    """Rows whose version is required but that are not written."""
    counters: Sequence[CounterKey]


def write_set(commitments: Iterable[Commitment]) -> WriteSet:
    """Return the keys that must be read before the commitments can be checked.

    A new row with the id of the new decision itself, its reservation, is not read: no other decision has that id, which
    the unique index of records ensures.
    """
    written: dict[RowKey, None] = {}  # in the order of the commitments, which is nearly that of the ids
    compared: set[RowKey] = set()
    counted: set[CounterKey] = set()
    for commitment in commitments:
        for change in commitment.changes:
            if isinstance(change, Reserve):  # first, because most changes are reservations
                counted.add(change.counter)
            elif isinstance(change, RequireVersion):
                compared.add(change.key)
            elif isinstance(change, PutIfVersion):
                if change.row.version or not _is_of(change.row.key, commitment):
                    written[change.row.key] = None
            else:
                counted.add(change.counter)
    return WriteSet(list(written), [key for key in compared if key not in written], list(counted))


class UnitOfWork:
    """Checks and applies changes, commitment by commitment. `rows` and `counters` hold what changed."""

    def __init__(self, rows: Mapping[RowKey, Row], counters: Mapping[CounterKey, Usage], now_us: int) -> None:
        self._read_rows = rows
        self._read_counters = counters
        self._now_us = now_us
        self.rows: dict[RowKey, Row] = {}
        self.counters: dict[CounterKey, Moved] = {}
        self._puts: list[tuple[Row, Row | None]] = []
        self._moves: list[CounterEntry] = []
        self._old_rows: list[tuple[RowKey, Row | None]] = []  # what `apply` replaced; None for new keys
        self._old_counters: list[tuple[CounterKey, Moved | None]] = []

    def apply(self, changes: Sequence[Change]) -> Change | None:
        """Apply all changes and return None; or apply none and return the first that does not hold."""
        self._puts, self._moves = [], []
        self._old_rows, self._old_counters = [], []
        for change in changes:
            if isinstance(change, Reserve):  # first, because most changes are reservations
                holds = self._reserve(change)
            elif isinstance(change, RequireVersion):
                holds = self._version(change.key) == change.version
            elif isinstance(change, PutIfVersion):
                holds = self._put(change.row)
            else:
                holds = self._settle(change)
            if not holds:
                _rollback(self.rows, self._old_rows)
                _rollback(self.counters, self._old_counters)
                return change
        return None

    def applied(self) -> StateChanges:
        """Return the changes of the last successful `apply`, for its record."""
        return state_changes(self._puts, self._moves)

    def read_version(self, key: RowKey) -> int:
        """Return the version of the row when the transaction read it; 0 for no row."""
        row = self._read_rows.get(key)
        return row.version if row is not None else 0

    def _reserve(self, change: Reserve) -> bool:
        counter, amount, limit, resets_at_us = change.counter, change.amount, change.limit, change.resets_at_us
        previous = self.counters.get(counter)
        used, reserved, created_at_us, _ = previous or self._read(counter)
        reserved += amount
        if used + reserved > (COUNTER_MAX if limit is None else limit):
            return False
        self._old_counters.append((counter, previous))
        self.counters[counter] = (used, reserved, created_at_us, resets_at_us)
        self._moves.append((*counter, amount, 0, reserved, used, created_at_us, resets_at_us))
        return True

    def _settle(self, change: Settle) -> bool:
        counter, resets_at_us = change.counter, change.resets_at_us
        previous = self.counters.get(counter)
        used, reserved, created_at_us, _ = previous or self._read(counter)
        self._old_counters.append((counter, previous))
        new_used, new_reserved = _clamped(used + change.used), _clamped(reserved + change.reserved)
        self.counters[counter] = (new_used, new_reserved, created_at_us, resets_at_us)
        moved_by = (new_reserved - reserved, new_used - used)
        self._moves.append((*counter, *moved_by, new_reserved, new_used, created_at_us, resets_at_us))
        return True

    def _put(self, row: Row) -> bool:
        key = row.key
        changed = self.rows.get(key)
        previous = changed or self._read_rows.get(key)
        if (previous.version if previous is not None else 0) != row.version:
            return False
        self._old_rows.append((key, changed))
        written = Row(key, row.status, row.created_at_us, row.body, row.due_at_us, row.version + 1)
        self.rows[key] = written
        self._puts.append((written, previous))
        return True

    def _version(self, key: RowKey) -> int:
        row = self.rows.get(key) or self._read_rows.get(key)
        return row.version if row is not None else 0

    def _read(self, counter: CounterKey) -> Moved:
        usage = self._read_counters.get(counter, ZERO_USAGE)
        return (usage.used, usage.reserved, usage.created_at_us or self._now_us, 0)


def _is_of(key: RowKey, commitment: Commitment) -> bool:
    """Return whether the row has the id of the decision that the commitment records."""
    return commitment.decision is not None and key.id == commitment.decision.decision_id


def _rollback(changed: dict[Key, Value], replaced: list[tuple[Key, Value | None]]) -> None:
    """Restore the previous values, the latest first."""
    for key, previous in reversed(replaced):
        if previous is None:
            changed.pop(key, None)
        else:
            changed[key] = previous


def _clamped(value: int) -> int:
    """Limit a counter's value to COUNTER_MAX in either direction."""
    return min(max(value, -COUNTER_MAX), COUNTER_MAX)
