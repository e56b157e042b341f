"""Replay state from the records, and compare it with the tables.

Records pass by in any order of their writers: what is kept of a row is its newest version, of a counter its sums. Both
also keep whether each change found what another one had left, as one number that does not depend on the order. Memory
grows with the state (some 700 bytes a row or counter), not with the records.
"""

from __future__ import annotations

import hashlib
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, Final

from placet.audit.chain import part_digest
from placet.audit.records import RecordKind, StateDifference, StateReport
from placet.audit.state_record import PROVEN, STATE, read_state, stored_digest
from placet.audit.verify_chain import ProblemKind, problem

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Iterator, Mapping

    from placet.audit.records import AuditProblem
    from placet.audit.state_record import CounterChange, RowChange
    from placet.kernel.state import StateTable

COUNTERS: Final = "counters"
"""The table of counters, as differences name it."""
_STILL: Final = frozenset(
    {
        RecordKind.REQUEST_REFUSED,
        RecordKind.APPROVAL_REFUSED,
        RecordKind.PERMIT_REVOKED,
        RecordKind.CONTROL_REFUSED,
        RecordKind.KEYS_SWEPT,
        RecordKind.POLICY_ACTIVATED,
        RecordKind.POLICY_REFUSED,
        RecordKind.SERVER_STARTED,
        RecordKind.SERVER_STOPPED,
    }
)
"""Kinds that never changed state, so that nothing is missing where their records do not say so."""
_NOTHING: Final = "no row"
_SHOWN_DIGITS: Final = 12
"""Digits of a digest that are shown: to tell two bodies apart by eye."""


@dataclass(slots=True)
class _Row:
    """A row as the records tell of it. `path` is 0 when every change found what another had left, and one is left."""

    version: int = 0
    status: str = ""
    digest: str = ""
    changes: int = 0
    path: int = 0
    said_by: tuple[str, int, int] = ("", 0, 0)

    def take(self, change: RowChange, said_by: tuple[str, int, int]) -> None:
        self.changes += 1
        self.path += _mark(change.version, change.digest)
        if change.before:
            self.path -= _mark(change.version - 1, change.before)
        if change.version > self.version:
            self.version, self.status, self.digest = change.version, change.status, change.digest
            self.said_by = said_by

    @property
    def whole(self) -> bool:
        """Whether there is a record of each of its versions."""
        return self.changes == self.version

    @property
    def unbroken(self) -> bool:
        """Whether each change found the row that the change before had left."""
        return self.path == _mark(self.version, self.digest)


@dataclass(slots=True)
class _Counter:
    """A counter as the records tell of it."""

    reserved: int = 0
    used: int = 0
    path: int = 0
    created_at_us: int = 0
    resets_at_us: set[int] = field(default_factory=set)
    said_by: tuple[str, int, int] = ("", 0, 0)

    def take(self, change: CounterChange, said_by: tuple[str, int, int]) -> None:
        self.reserved += change.reserved_by
        self.used += change.used_by
        self.path += _mark(change.reserved, change.used)
        self.path -= _mark(change.reserved - change.reserved_by, change.used - change.used_by)
        first = self.created_at_us or change.created_at_us
        self.created_at_us = min(first, change.created_at_us)
        self.resets_at_us.add(change.resets_at_us)
        self.said_by = said_by

    @property
    def unbroken(self) -> bool:
        """Whether each change found the counter as another had left it, the first of them at zero."""
        return self.path == _mark(self.reserved, self.used) - _mark(0, 0)


class StateReplay:
    """Takes records as they pass by, then compares. Differences go to `report`."""

    def __init__(self, report: Callable[[AuditProblem], None]) -> None:
        self._report = report
        self._rows: dict[StateTable, dict[tuple[Any, Any], _Row]] = {kept: {} for kept in PROVEN}
        self._counters: dict[Any, _Counter] = {}
        self._unsaid_us = 0
        self._since: dict[str, int] = {}
        self._unproven = 0

    def record(self, writer: str, said: Mapping[str, Any], parts: Mapping[Any, tuple[Any, Any]]) -> None:
        """Take what a record says of state. A part that is not the one that it covers says nothing."""
        said_by = (writer, said["sequence"], said["recorded_at_us"])
        if "state_changes" not in said:
            if said["kind"] not in _STILL:
                self._unsaid_us = max(self._unsaid_us, said["recorded_at_us"])
                self._since[writer] = said["sequence"] + 1
            return
        salt, content = parts.get(STATE, (None, None))
        if type(salt) is not bytes or type(content) is not bytes:
            return
        if part_digest(salt, content) != said["parts"].get(STATE):
            return
        try:
            rows, counters = read_state(content)
        except ValueError as error:
            self._report(problem(ProblemKind.RECORD_UNREADABLE, writer, said["sequence"], str(error)))
            return
        for row in rows:
            self._rows[row.key.table].setdefault((row.key.tenant, row.key.id), _Row()).take(row, said_by)
        for counter in counters:
            self._counters.setdefault(tuple(counter.counter), _Counter()).take(counter, said_by)

    def compare(
        self, rows: Callable[[StateTable], Iterable[tuple[Any, ...]]], counters: Callable[[], Iterable[tuple[Any, ...]]]
    ) -> StateReport:
        """Compare with the tables. `rows` gives those of one, `counters` all of them, by the columns of the schema."""
        rows_count = counters_count = 0
        for table in PROVEN:
            for stored in rows(table):
                rows_count += 1
                self._row(table, stored)
            self._missing(table.value, self._rows[table].items(), lambda each: _shown(each.version, each.status))
        for stored in counters():
            counters_count += 1
            self._counter(stored)
        self._missing(COUNTERS, self._counters.items(), lambda each: _counted(each.reserved, each.used))
        return StateReport(rows_count, counters_count, self._unproven, tuple(sorted(self._since.items())))

    def _row(self, table: StateTable, stored: tuple[Any, ...]) -> None:
        tenant, row_id, *columns = stored
        version, status, created_at_us, *_ = columns
        place = (tenant, row_id)
        known = self._rows[table].pop(place, None)
        found = _shown(version, status)
        if known is None:
            if self._unsaid_before(created_at_us):
                self._unproven += 1
            else:
                self._differs(ProblemKind.STATE_UNEXPECTED, table.value, place, _NOTHING, found)
            return
        digest = _digest(columns)
        if digest != known.digest:
            if type(version) is int and version > known.version and self._unsaid_before(known.said_by[2]):
                self._unproven += 1
                return
            expected = _shown(known.version, known.status)
            if expected == found:  # then it is another body or time
                expected += f" sha256:{known.digest[:_SHOWN_DIGITS]}"
                found += f" sha256:{digest[:_SHOWN_DIGITS]}" if digest else " with a value that no row has"
            self._differs(ProblemKind.STATE_MISMATCH, table.value, place, expected, found, known.said_by)
        elif known.whole and not known.unbroken:
            self._between(table.value, place, found, known.said_by)
        elif not known.whole:
            self._unwhole(table.value, place, known)

    def _unwhole(self, table: str, place: tuple[Any, Any], known: _Row) -> None:
        """There are versions that no record tells of: from before records told of state, or from other hands."""
        if not self._unsaid_us:
            expected, found = f"{known.version} changes by records", f"{known.changes}"
            self._differs(ProblemKind.STATE_UNRECORDED, table, place, expected, found, known.said_by)

    def _counter(self, stored: tuple[Any, ...]) -> None:
        *key, used, reserved, created_at_us, resets_at_us = stored
        place, found = tuple(key), _counted(reserved, used)
        known = self._counters.pop(place, None)
        if known is None:
            if self._unsaid_before(created_at_us):
                self._unproven += 1
            elif (used, reserved) != (0, 0):  # PostgreSQL makes one before it is known whether there is room in it
                self._differs(ProblemKind.STATE_UNEXPECTED, COUNTERS, place, _NOTHING, found)
            return
        if created_at_us != known.created_at_us or resets_at_us not in known.resets_at_us:
            resets = " or ".join(map(str, sorted(known.resets_at_us)))
            expected = f"created_at_us={known.created_at_us} resets_at_us={resets}"
            times = f"created_at_us={created_at_us!a} resets_at_us={resets_at_us!a}"
            self._differs(ProblemKind.STATE_MISMATCH, COUNTERS, place, expected, times, known.said_by)
        if self._unsaid_before(known.created_at_us):
            self._unproven += 1
        elif found != (expected := _counted(known.reserved, known.used)):
            self._differs(ProblemKind.STATE_MISMATCH, COUNTERS, place, expected, found, known.said_by)
        elif not known.unbroken:
            self._between(COUNTERS, place, found, known.said_by)

    def _unsaid_before(self, since_us: object) -> bool:
        """Whether records that say nothing of state were made then or later."""
        return self._unsaid_us > 0 and type(since_us) is int and since_us <= self._unsaid_us

    def _between(self, table: str, place: tuple[Any, ...], found: str, said_by: tuple[str, int, int]) -> None:
        expected = "each change finds what the one before it left"
        self._differs(ProblemKind.STATE_UNRECORDED, table, place, expected, f"another; now {found}", said_by)

    def _missing(self, table: str, left: Iterable[tuple[Any, Any]], shown: Callable[[Any], str]) -> None:
        for place, known in _sorted(left):
            self._differs(ProblemKind.STATE_MISSING, table, place, shown(known), _NOTHING, known.said_by)

    def _differs(
        self,
        kind: ProblemKind,
        table: str,
        place: tuple[Any, ...],
        expected: str,
        found: str,
        said_by: tuple[str, int, int] = ("", 0, 0),
    ) -> None:
        tenant, *names = map(_text, place)
        where = StateDifference(table, tenant, " ".join(names), expected, found)
        detail = f"{where.table} {where.tenant!a} {where.id!a}: expected {expected}, found {found}"
        self._report(problem(kind, said_by[0], said_by[1], detail, where))


def _digest(columns: list[Any]) -> str:
    """That of the row; empty when a column holds what it never does: another type, or 0 where nothing is due."""
    version, status, created_at_us, due_at_us, body = columns
    times = (created_at_us, 1 if due_at_us is None else due_at_us)
    numbers = all(type(number) is int for number in (version, *times))
    if not numbers or due_at_us == 0 or type(status) is not str or type(body) is not bytes:
        return ""
    return stored_digest(version, status, created_at_us, due_at_us or 0, body)


def _mark(*of: object) -> int:
    """A number that stands for a state, and adds up with others without meeting by chance."""
    return int.from_bytes(hashlib.blake2b(repr(of).encode(), digest_size=16).digest(), "big")


def _sorted(left: Iterable[tuple[Any, Any]]) -> Iterator[tuple[Any, Any]]:
    return iter(sorted(left, key=lambda item: repr(item[0])))


def _shown(version: object, status: object) -> str:
    return f"version {version!a} {_text(status)}"


def _counted(reserved: object, used: object) -> str:
    return f"used={used!a} reserved={reserved!a}"


def _text(value: object) -> str:
    return value if type(value) is str else ascii(value)
