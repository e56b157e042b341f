"""State that a batch of commitments touches: as it was read in the transaction, and as it will be."""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import TYPE_CHECKING

from placet.core.changes import UNUSED, Expect, Put, Reserve, Settle, Usage

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping, Sequence

    from placet.core.changes import Change, CounterKey, Row, RowKey
    from placet.core.records import Commitment


@dataclass(frozen=True, slots=True)
class Touched:
    """What the changes of commitments are about, each once and sorted: locks are taken in one order everywhere."""

    written: Sequence[RowKey]
    compared: Sequence[RowKey]
    counters: Sequence[CounterKey]


def touched(commitments: Iterable[Commitment]) -> Touched:
    """What has to be read before the commitments can be checked."""
    written: set[RowKey] = set()
    compared: set[RowKey] = set()
    counted: set[CounterKey] = set()
    for commitment in commitments:
        for change in commitment.changes:
            match change:
                case Put():
                    written.add(change.row.key)
                case Expect():
                    compared.add(change.key)
                case Reserve() | Settle():
                    counted.add(change.counter)
    return Touched(sorted(written), sorted(compared - written), sorted(counted))


class Working:
    """Checks changes and makes them, commitment by commitment. What was changed is in `rows` and `counters`.

    `counters` holds beside each counter when its window ends.
    """

    def __init__(self, rows: Mapping[RowKey, Row], counters: Mapping[CounterKey, Usage], now_us: int) -> None:
        self._read_rows = rows
        self._read_counters = counters
        self._now_us = now_us
        self.rows: dict[RowKey, Row] = {}
        self.counters: dict[CounterKey, tuple[Usage, int]] = {}

    def apply(self, changes: Sequence[Change]) -> Change | None:
        """Make all the changes and give None; or none of them, and give the first that does not hold."""
        step = _Step({}, {})
        for change in changes:
            if not self._make(change, step):
                return change
        self.rows.update(step.rows)
        self.counters.update(step.counters)
        return None

    def read_version(self, key: RowKey) -> int:
        """The version of the row when the transaction read it, 0 when there was none."""
        row = self._read_rows.get(key)
        return row.version if row is not None else 0

    def _make(self, change: Change, step: _Step) -> bool:
        match change:
            case Put(row):
                if self._version(row.key, step) != row.version:
                    return False
                step.rows[row.key] = replace(row, version=row.version + 1)
            case Expect(key, version):
                return self._version(key, step) == version
            case Reserve(counter, amount, limit):
                usage = self._usage(counter, step)
                if limit is not None and usage.used + usage.reserved + amount > limit:
                    return False
                step.counters[counter] = (replace(usage, reserved=usage.reserved + amount), change.resets_at_us)
            case Settle(counter, reserved, used):
                usage = self._usage(counter, step)
                moved = replace(usage, reserved=usage.reserved + reserved, used=usage.used + used)
                step.counters[counter] = (moved, change.resets_at_us)
        return True

    def _version(self, key: RowKey, step: _Step) -> int:
        row = step.rows.get(key) or self.rows.get(key) or self._read_rows.get(key)
        return row.version if row is not None else 0

    def _usage(self, counter: CounterKey, step: _Step) -> Usage:
        moved = step.counters.get(counter) or self.counters.get(counter)
        usage = moved[0] if moved is not None else self._read_counters.get(counter, UNUSED)
        return usage if usage.created_at_us else replace(usage, created_at_us=self._now_us)


@dataclass(frozen=True, slots=True)
class _Step:
    """What one commitment changes, until all of it holds."""

    rows: dict[RowKey, Row]
    counters: dict[CounterKey, tuple[Usage, int]]
