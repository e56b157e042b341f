"""Replays state from the records and compares it with the tables.

Records of different writers may arrive in any order. For a row the newest version is held, for a counter the sums. Both
also hold, as one number that does not depend on the order, whether each change found what another change had left.
Memory grows with the state (some 700 bytes a row or counter), not with the records.
"""

from __future__ import annotations

import hashlib
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, Final

from placet.audit.chain import part_digest
from placet.audit.records import RecordKind, StateDifference, StateReport
from placet.audit.state_record import PROVEN, STATE, read_state, stored_digest
from placet.audit.verification.problems import ProblemKind, problem

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Iterator, Mapping

    from placet.audit.records import AuditProblem
    from placet.audit.state_record import CounterChange, RowChange
    from placet.kernel.state import StateTable

COUNTERS: Final = "counters"
"""The name of the table of counters in differences."""
_WITHOUT_STATE: Final = frozenset(
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
"""Kinds that never changed state. Their records from before `state_changes` existed hide no change."""
_NOTHING: Final = "no row"
_SHOWN_DIGITS: Final = 12
"""Digits of a digest that are shown, to tell two bodies apart by eye."""


@dataclass(slots=True)
class _Row:
    """A row as the records describe it."""

    version: int = 0
    status: str = ""
    digest: str = ""
    changes: int = 0
    """How many changes were seen."""
    path: int = 0
    """Sum of marks: each change adds the mark of its result and subtracts that of what it found. If the changes form
    one unbroken sequence, only the mark of the last result remains."""
    source: tuple[str, int, int] = ("", 0, 0)
    """Writer, sequence and time of the record with the newest version."""

    def take(self, change: RowChange, source: tuple[str, int, int]) -> None:
        self.changes += 1
        self.path += _mark(change.version, change.digest)
        if change.before:
            self.path -= _mark(change.version - 1, change.before)
        if change.version > self.version:
            self.version, self.status, self.digest = change.version, change.status, change.digest
            self.source = source

    @property
    def complete(self) -> bool:
        """Whether there is a record of each of its versions."""
        return self.changes == self.version

    @property
    def unbroken(self) -> bool:
        """Whether each change found the row that the change before had left."""
        return self.path == _mark(self.version, self.digest)


@dataclass(slots=True)
class _Counter:
    """A counter as the records describe it. `path` and `source` are as in `_Row`."""

    reserved: int = 0
    used: int = 0
    path: int = 0
    created_at_us: int = 0
    resets_at_us: set[int] = field(default_factory=set)
    source: tuple[str, int, int] = ("", 0, 0)

    def take(self, change: CounterChange, source: tuple[str, int, int]) -> None:
        self.reserved += change.reserved_by
        self.used += change.used_by
        self.path += _mark(change.reserved, change.used)
        self.path -= _mark(change.reserved - change.reserved_by, change.used - change.used_by)
        first = self.created_at_us or change.created_at_us
        self.created_at_us = min(first, change.created_at_us)
        self.resets_at_us.add(change.resets_at_us)
        self.source = source

    @property
    def unbroken(self) -> bool:
        """Whether each change found the counter as another had left it, and the first found it at zero."""
        return self.path == _mark(self.reserved, self.used) - _mark(0, 0)


class StateReplay:
    """Collects state changes from records, then compares them with the tables. Differences go to `report`."""

    def __init__(self, report: Callable[[AuditProblem], None]) -> None:
        self._report = report
        self._rows: dict[StateTable, dict[tuple[Any, Any], _Row]] = {table: {} for table in PROVEN}
        self._counters: dict[Any, _Counter] = {}
        self._last_undescribed_us = 0
        self._since: dict[str, int] = {}
        self._unproven = 0

    def record(self, writer: str, body: Mapping[str, Any], parts: Mapping[Any, tuple[Any, Any]]) -> None:
        """Collect the state changes of a record.

        A part that does not match its digest is ignored, because the chain check reports it.
        """
        source = (writer, body["sequence"], body["recorded_at_us"])
        if "state_changes" not in body:
            if body["kind"] not in _WITHOUT_STATE:
                self._last_undescribed_us = max(self._last_undescribed_us, body["recorded_at_us"])
                self._since[writer] = body["sequence"] + 1
            return
        salt, content = parts.get(STATE, (None, None))
        if type(salt) is not bytes or type(content) is not bytes:
            return
        if part_digest(salt, content) != body["parts"].get(STATE):
            return
        try:
            rows, counters = read_state(content)
        except ValueError as error:
            self._report(problem(ProblemKind.RECORD_UNREADABLE, writer, body["sequence"], str(error)))
            return
        for row in rows:
            self._rows[row.key.table].setdefault((row.key.tenant, row.key.id), _Row()).take(row, source)
        for counter in counters:
            self._counters.setdefault(tuple(counter.counter), _Counter()).take(counter, source)

    def compare(
        self, rows: Callable[[StateTable], Iterable[tuple[Any, ...]]], counters: Callable[[], Iterable[tuple[Any, ...]]]
    ) -> StateReport:
        """Compare the changes with the tables. `rows` returns the rows of one table, `counters` all counters.

        Their columns are those of `Trail.rows` and `Trail.counters`.
        """
        rows_count = counters_count = 0
        for table in PROVEN:
            for stored in rows(table):
                rows_count += 1
                self._compare_row(table, stored)
            self._report_missing(table.value, self._rows[table].items(), lambda row: _shown(row.version, row.status))
        for stored in counters():
            counters_count += 1
            self._compare_counter(stored)
        self._report_missing(COUNTERS, self._counters.items(), lambda counter: _counted(counter.reserved, counter.used))
        return StateReport(rows_count, counters_count, self._unproven, tuple(sorted(self._since.items())))

    def _compare_row(self, table: StateTable, stored: tuple[Any, ...]) -> None:
        """Compare one row."""
        tenant, row_id, *columns = stored
        version, status, created_at_us, *_ = columns
        place = (tenant, row_id)
        known = self._rows[table].pop(place, None)
        actual = _shown(version, status)
        if known is None:
            if self._may_predate_records(created_at_us):
                self._unproven += 1
            else:
                self._report_difference(ProblemKind.STATE_UNEXPECTED, table.value, place, _NOTHING, actual)
            return
        digest = _digest(columns)
        if digest != known.digest:
            if type(version) is int and version > known.version and self._may_predate_records(known.source[2]):
                self._unproven += 1
                return
            expected = _shown(known.version, known.status)
            if expected == actual:  # the body or a time differs
                expected += f" sha256:{known.digest[:_SHOWN_DIGITS]}"
                actual += f" sha256:{digest[:_SHOWN_DIGITS]}" if digest else " with a value that no row has"
            self._report_difference(ProblemKind.STATE_MISMATCH, table.value, place, expected, actual, known.source)
        elif known.complete and not known.unbroken:
            self._report_unrecorded_change(table.value, place, actual, known.source)
        elif not known.complete:
            self._report_unrecorded_versions(table.value, place, known)

    def _report_unrecorded_versions(self, table: str, place: tuple[Any, Any], known: _Row) -> None:
        """Report versions of a row without a record, unless they may be older than records of state."""
        if not self._last_undescribed_us:
            expected, actual = f"{known.version} changes by records", f"{known.changes}"
            self._report_difference(ProblemKind.STATE_UNRECORDED, table, place, expected, actual, known.source)

    def _compare_counter(self, stored: tuple[Any, ...]) -> None:
        """Compare one counter."""
        *key, used, reserved, created_at_us, resets_at_us = stored
        place, actual = tuple(key), _counted(reserved, used)
        known = self._counters.pop(place, None)
        if known is None:
            if self._may_predate_records(created_at_us):
                self._unproven += 1
            elif (used, reserved) != (0, 0):  # PostgreSQL creates a counter before it checks the limit
                self._report_difference(ProblemKind.STATE_UNEXPECTED, COUNTERS, place, _NOTHING, actual)
            return
        if created_at_us != known.created_at_us or resets_at_us not in known.resets_at_us:
            resets = " or ".join(map(str, sorted(known.resets_at_us)))
            expected = f"created_at_us={known.created_at_us} resets_at_us={resets}"
            times = f"created_at_us={created_at_us!a} resets_at_us={resets_at_us!a}"
            self._report_difference(ProblemKind.STATE_MISMATCH, COUNTERS, place, expected, times, known.source)
        if self._may_predate_records(known.created_at_us):
            self._unproven += 1
        elif actual != (expected := _counted(known.reserved, known.used)):
            self._report_difference(ProblemKind.STATE_MISMATCH, COUNTERS, place, expected, actual, known.source)
        elif not known.unbroken:
            self._report_unrecorded_change(COUNTERS, place, actual, known.source)

    def _may_predate_records(self, since_us: object) -> bool:
        """Return whether records without a description of state were written then or later."""
        return self._last_undescribed_us > 0 and type(since_us) is int and since_us <= self._last_undescribed_us

    def _report_unrecorded_change(
        self, table: str, place: tuple[Any, ...], actual: str, source: tuple[str, int, int]
    ) -> None:
        """Report a change without a record between two recorded changes."""
        expected = "each change finds what the one before it left"
        self._report_difference(ProblemKind.STATE_UNRECORDED, table, place, expected, f"another; now {actual}", source)

    def _report_missing(self, table: str, unmatched: Iterable[tuple[Any, Any]], shown: Callable[[Any], str]) -> None:
        """Report what the records describe and the table does not hold."""
        for place, known in _sorted(unmatched):
            self._report_difference(ProblemKind.STATE_MISSING, table, place, shown(known), _NOTHING, known.source)

    def _report_difference(
        self,
        kind: ProblemKind,
        table: str,
        place: tuple[Any, ...],
        expected: str,
        actual: str,
        source: tuple[str, int, int] = ("", 0, 0),
    ) -> None:
        tenant, *names = map(_text, place)
        where = StateDifference(table, tenant, " ".join(names), expected, actual)
        detail = f"{where.table} {where.tenant!a} {where.id!a}: expected {expected}, found {actual}"
        self._report(problem(kind, source[0], source[1], detail, where))


def _digest(columns: list[Any]) -> str:
    """Return the digest of a stored row.

    Empty when a column holds what Placet never writes: another type, or a due_at_us of 0 instead of NULL.
    """
    version, status, created_at_us, due_at_us, body = columns
    times = (created_at_us, 1 if due_at_us is None else due_at_us)
    numbers = all(type(number) is int for number in (version, *times))
    if not numbers or due_at_us == 0 or type(status) is not str or type(body) is not bytes:
        return ""
    return stored_digest(version, status, created_at_us, due_at_us or 0, body)


def _mark(*of: object) -> int:
    """Return a 128-bit hash of a state. Sums of marks are equal by chance only with negligible probability."""
    return int.from_bytes(hashlib.blake2b(repr(of).encode(), digest_size=16).digest(), "big")


def _sorted(left: Iterable[tuple[Any, Any]]) -> Iterator[tuple[Any, Any]]:
    return iter(sorted(left, key=lambda item: repr(item[0])))


def _shown(version: object, status: object) -> str:
    return f"version {version!a} {_text(status)}"


def _counted(reserved: object, used: object) -> str:
    return f"used={used!a} reserved={reserved!a}"


def _text(value: object) -> str:
    return value if type(value) is str else ascii(value)
