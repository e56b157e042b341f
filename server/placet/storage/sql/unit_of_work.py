"""State that a batch of commitments touches: as it was read in the transaction, and as it will be."""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Final, TypeVar

from placet.audit.state_record import CounterChange, state_changes
from placet.kernel.state import COUNTER_MAX, ZERO_USAGE, PutIfVersion, RequireVersion, Reserve, Settle

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping, Sequence

    from placet.audit.records import Commitment
    from placet.audit.state_record import StateChanges
    from placet.kernel.state import Change, CounterKey, Row, RowKey, Usage

Moved = tuple[int, int, int, int]
"""A counter: used, reserved, created_at_us, resets_at_us. A plain tuple: eight are made for each decision."""


Key = TypeVar("Key")
Value = TypeVar("Value")
_COUNTED: Final = (Reserve, Settle)


@dataclass(frozen=True, slots=True)
class WriteSet:
    """What the changes of commitments are about, each once and sorted: locks are taken in one order everywhere."""

    written: Sequence[RowKey]
    compared: Sequence[RowKey]
    counters: Sequence[CounterKey]


def write_set(commitments: Iterable[Commitment]) -> WriteSet:
    """What has to be read before the commitments can be checked."""
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
    """Checks changes and makes them, commitment by commitment. What was changed is in `rows` and `counters`."""

    def __init__(self, rows: Mapping[RowKey, Row], counters: Mapping[CounterKey, Usage], now_us: int) -> None:
        self._read_rows = rows
        self._read_counters = counters
        self._now_us = now_us
        self.rows: dict[RowKey, Row] = {}
        self.counters: dict[CounterKey, Moved] = {}
        self._puts: list[tuple[Row, Row | None]] = []
        self._moves: list[CounterChange] = []

    def apply(self, changes: Sequence[Change]) -> Change | None:
        """Make all the changes and give None; or none of them, and give the first that does not hold."""
        self._puts, self._moves = [], []
        before = _UndoLog([], [])
        for change in changes:
            if not self._make(change, before):
                _rollback(self.rows, before.rows)
                _rollback(self.counters, before.counters)
                return change
        return None

    def applied(self) -> StateChanges:
        """What the last `apply` that held did, for its record."""
        return state_changes(self._puts, self._moves)

    def read_version(self, key: RowKey) -> int:
        """The version of the row when the transaction read it, 0 when there was none."""
        row = self._read_rows.get(key)
        return row.version if row is not None else 0

    def _make(self, change: Change, before: _UndoLog) -> bool:
        """Make the change if it holds, and note what was there."""
        if isinstance(change, Reserve):
            return self._reserve(change, before)
        match change:
            case Settle(counter, released, spent, resets_at_us):
                was = self.counters.get(counter)
                used, reserved, created_at_us, _ = was or self._read(counter)
                before.counters.append((counter, was))
                new_used, new_reserved = _held(used + spent), _held(reserved + released)
                self.counters[counter] = (new_used, new_reserved, created_at_us, resets_at_us)
                moved_by = (new_reserved - reserved, new_used - used)
                self._moves.append(
                    CounterChange(counter, *moved_by, new_reserved, new_used, created_at_us, resets_at_us)
                )
            case PutIfVersion(row):
                was_row = self._row(row.key)
                if (was_row.version if was_row is not None else 0) != row.version:
                    return False
                before.rows.append((row.key, self.rows.get(row.key)))
                written = self.rows[row.key] = replace(row, version=row.version + 1)
                self._puts.append((written, was_row))
            case RequireVersion(key, version):
                compared = self._row(key)
                return (compared.version if compared is not None else 0) == version
        return True

    def _reserve(self, change: Reserve, before: _UndoLog) -> bool:
        """Apart, and first: most changes are this one."""
        counter, amount, limit, resets_at_us = change
        was = self.counters.get(counter)
        used, reserved, created_at_us, _ = was or self._read(counter)
        if used + reserved + amount > (COUNTER_MAX if limit is None else limit):
            return False
        before.counters.append((counter, was))
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
    """What one commitment found where it changed something, None for nothing: to be put back when not all holds."""

    rows: list[tuple[RowKey, Row | None]]
    counters: list[tuple[CounterKey, Moved | None]]


def _rollback(changed: dict[Key, Value], before: list[tuple[Key, Value | None]]) -> None:
    for key, was in reversed(before):
        if was is None:
            changed.pop(key, None)
        else:
            changed[key] = was


def _held(value: int) -> int:
    return min(max(value, -COUNTER_MAX), COUNTER_MAX)
