"""The state that a batch of commitments uses: as the transaction read it, and as it will be."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Final, TypeVar

from msgspec import structs

from placet.audit.state_record import CounterChange, state_changes
from placet.kernel.state import COUNTER_MAX, ZERO_USAGE, PutIfVersion, RequireVersion, Reserve, Settle

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping, Sequence

    from placet.audit.records import Commitment
    from placet.audit.state_record import StateChanges
    from placet.kernel.state import Change, CounterKey, Row, RowKey, Usage

Moved = tuple[int, int, int, int]
"""A counter: used, reserved, created_at_us, resets_at_us. A plain tuple, because each decision makes eight."""


Key = TypeVar("Key")
Value = TypeVar("Value")
_COUNTED: Final = (Reserve, Settle)


@dataclass(frozen=True, slots=True)
class WriteSet:
    """The keys of what commitments change or compare.

    They are distinct and sorted, so that locks are taken in one order everywhere.
    """

    written: Sequence[RowKey]
    """Rows to write."""
    compared: Sequence[RowKey]
    """Rows whose version is required but that are not written."""
    counters: Sequence[CounterKey]


def write_set(commitments: Iterable[Commitment]) -> WriteSet:
    """Return the keys that must be read before the commitments can be checked."""
    written: set[RowKey] = set()
    compared: set[RowKey] = set()
    counted: set[CounterKey] = set()
    for commitment in commitments:
        for change in commitment.changes:
            if isinstance(change, _COUNTED):
                counted.add(change.counter)
            elif isinstance(change, PutIfVersion):
                written.add(change.row.key)
            else:
                compared.add(change.key)
    return WriteSet(sorted(written), sorted(compared - written), sorted(counted))


class UnitOfWork:
    """Checks and applies changes, commitment by commitment. `rows` and `counters` hold what changed."""

    def __init__(self, rows: Mapping[RowKey, Row], counters: Mapping[CounterKey, Usage], now_us: int) -> None:
        self._read_rows = rows
        self._read_counters = counters
        self._now_us = now_us
        self.rows: dict[RowKey, Row] = {}
        self.counters: dict[CounterKey, Moved] = {}
        self._puts: list[tuple[Row, Row | None]] = []
        self._moves: list[CounterChange] = []

    def apply(self, changes: Sequence[Change]) -> Change | None:
        """Apply all changes and return None; or apply none and return the first that does not hold."""
        self._puts, self._moves = [], []
        undo = _UndoLog([], [])
        for change in changes:
            if not self._make(change, undo):
                _rollback(self.rows, undo.rows)
                _rollback(self.counters, undo.counters)
                return change
        return None

    def applied(self) -> StateChanges:
        """Return the changes of the last successful `apply`, for its record."""
        return state_changes(self._puts, self._moves)

    def read_version(self, key: RowKey) -> int:
        """Return the version of the row when the transaction read it; 0 for no row."""
        row = self._read_rows.get(key)
        return row.version if row is not None else 0

    def _make(self, change: Change, undo: _UndoLog) -> bool:
        """Apply the change if it holds, and note the previous value in `undo`."""
        if isinstance(change, Reserve):
            return self._reserve(change, undo)
        match change:
            case Settle(counter, released, spent, resets_at_us):
                previous = self.counters.get(counter)
                used, reserved, created_at_us, _ = previous or self._read(counter)
                undo.counters.append((counter, previous))
                new_used, new_reserved = _clamped(used + spent), _clamped(reserved + released)
                self.counters[counter] = (new_used, new_reserved, created_at_us, resets_at_us)
                difference = (new_reserved - reserved, new_used - used)
                self._moves.append(
                    CounterChange(counter, *difference, new_reserved, new_used, created_at_us, resets_at_us)
                )
            case PutIfVersion(row):
                previous_row = self._row(row.key)
                if (previous_row.version if previous_row is not None else 0) != row.version:
                    return False
                undo.rows.append((row.key, self.rows.get(row.key)))
                written = self.rows[row.key] = structs.replace(row, version=row.version + 1)
                self._puts.append((written, previous_row))
            case RequireVersion(key, version):
                compared = self._row(key)
                return (compared.version if compared is not None else 0) == version
        return True

    def _reserve(self, change: Reserve, undo: _UndoLog) -> bool:
        """Apply a reservation. Separate, and checked first, because most changes are reservations."""
        counter, amount, limit, resets_at_us = change
        previous = self.counters.get(counter)
        used, reserved, created_at_us, _ = previous or self._read(counter)
        if used + reserved + amount > (COUNTER_MAX if limit is None else limit):
            return False
        undo.counters.append((counter, previous))
        reserved += amount
        self.counters[counter] = (used, reserved, created_at_us, resets_at_us)
        self._moves.append(CounterChange(counter, amount, 0, reserved, used, created_at_us, resets_at_us))
        return True

    def _row(self, key: RowKey) -> Row | None:
        return self.rows.get(key) or self._read_rows.get(key)

    def _read(self, counter: CounterKey) -> Moved:
        usage = self._read_counters.get(counter, ZERO_USAGE)
        return (usage.used, usage.reserved, usage.created_at_us or self._now_us, 0)


@dataclass(frozen=True, slots=True)
class _UndoLog:
    """The values that one commitment replaced; None for new keys. Used to roll back when a change does not hold."""

    rows: list[tuple[RowKey, Row | None]]
    counters: list[tuple[CounterKey, Moved | None]]


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
