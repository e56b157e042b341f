"""The rows and counters that the only writer of a database read or wrote last, kept in memory.

A commit reads them here instead of from the tables, and so do decisions that gather facts: without a query, and without
waiting for another thread. The commit still checks every change against them. The cache holds what is committed: the
changes of a transaction are staged, and published once it is durable. Any failure drops everything, and so does a
transaction that finds that another connection has written to the database since the last one.
"""

from __future__ import annotations

import threading
from typing import TYPE_CHECKING, Any, Final, Generic, NamedTuple, TypeVar

from placet.kernel.state import ReadSet, Snapshot, Usage

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping

    from placet.kernel.state import CounterKey, Row, RowKey

Key = TypeVar("Key")
Value = TypeVar("Value")
COUNTERS_HELD_MAX: Final = 8_192
"""About 5 MB. Counters that are not used become the first to be dropped."""
ROWS_HELD_MAX: Final = 2_048
"""2 MB of ordinary rows, and 8 MB at most."""
ROW_BYTES_MAX: Final = 4_096
"""Larger rows, such as approvals with long parameters, are read from the database."""


_MISSING: Final = object()


class Found(NamedTuple):
    """What the cache holds of a read set, and what has to be read."""

    snapshot: Snapshot
    missing: ReadSet
    generation: int
    """For `StateCache.remember`."""


class StateCache:
    """Thread-safe. All methods but `find` and `remember` belong to the writer's thread."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._rows: _Recent[RowKey, Row | None] = _Recent(ROWS_HELD_MAX)
        self._counters: _Recent[CounterKey, Usage] = _Recent(COUNTERS_HELD_MAX)
        self._staged_rows: dict[RowKey, Row | None] = {}
        self._staged_counters: dict[CounterKey, Usage] = {}
        self._data_version: int | None = None
        self._generation = 0

    def begin(self, data_version: int) -> None:
        """Begin a transaction. Drop everything when `data_version` says that another connection has written."""
        self._staged_rows, self._staged_counters = {}, {}
        if data_version != self._data_version:
            self.drop()
            self._data_version = data_version

    def rows(self, keys: Iterable[RowKey]) -> dict[RowKey, Row | None]:
        """Return the rows that are known, with None for those that are known not to exist."""
        with self._lock:
            return self._rows.get_all(keys)

    def counters(self, keys: Iterable[CounterKey]) -> dict[CounterKey, Usage]:
        """Return the counters that are known. Those that do not exist are `ZERO_USAGE`."""
        with self._lock:
            return self._counters.get_all(keys)

    def stage(self, rows: Mapping[RowKey, Row | None], counters: Mapping[CounterKey, Usage]) -> None:
        """Note what the transaction read or will have written."""
        self._staged_rows.update(rows)
        self._staged_counters.update(counters)

    def publish(self) -> None:
        """Take over what was staged. Called once the transaction is durable."""
        with self._lock:
            self._generation += 1
            for key, row in self._staged_rows.items():
                if row is None or len(row.body) <= ROW_BYTES_MAX:
                    self._rows.put(key, row)
                else:
                    self._rows.remove(key)
            self._counters.put_all(self._staged_counters)

    def drop(self) -> None:
        """Forget everything. The next transaction reads from the database."""
        with self._lock:
            self._generation += 1
            self._data_version = None
            self._rows.clear()
            self._counters.clear()

    def find(self, read_set: ReadSet) -> Found:
        """Return what is known as of the last commit. In any thread."""
        with self._lock:
            rows, counters = self._rows.get_all(read_set.rows), self._counters.get_all(read_set.counters)
            generation = self._generation
        missing = ReadSet(
            [key for key in read_set.rows if key not in rows],
            [key for key in read_set.counters if key not in counters],
        )
        return Found(
            Snapshot({key: row for key, row in rows.items() if row is not None}, counters), missing, generation
        )

    def remember(self, found: Found, read: Snapshot) -> None:
        """Keep what was read of `found.missing`, unless a commit may have changed it in the meantime. In any thread."""
        with self._lock:
            if self._generation != found.generation:
                return
            for key in found.missing.rows:
                row = read.rows.get(key)
                if row is None or len(row.body) <= ROW_BYTES_MAX:
                    self._rows.put(key, row)
            for counter in found.missing.counters:
                self._counters.put(counter, read.usage(counter))


class _Recent(Generic[Key, Value]):
    """A mapping of the entries that were used last: between half of `held_max` and `held_max` of them."""

    def __init__(self, held_max: int) -> None:
        self._half = held_max // 2
        self._new: dict[Key, Value] = {}
        self._old: dict[Key, Value] = {}

    def get_all(self, keys: Iterable[Key]) -> dict[Key, Value]:
        found: dict[Key, Value] = {}
        missing: Any = _MISSING
        for key in keys:
            value = self._new.get(key, missing)
            if value is missing:
                value = self._old.get(key, missing)
                if value is missing:
                    continue
                self.put(key, value)
            found[key] = value
        return found

    def put_all(self, entries: Mapping[Key, Value]) -> None:
        if len(self._new) + len(entries) < self._half:
            self._new.update(entries)
            return
        for key, value in entries.items():
            self.put(key, value)

    def put(self, key: Key, value: Value) -> None:
        self._new[key] = value
        if len(self._new) >= self._half:
            self._old, self._new = self._new, {}

    def remove(self, key: Key) -> None:
        self._new.pop(key, None)
        self._old.pop(key, None)

    def clear(self) -> None:
        self._new.clear()
        self._old.clear()
