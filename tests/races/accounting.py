"""Reads budgets directly from the database: records, reservations and counters must agree."""

from __future__ import annotations

import contextlib
import json
import sqlite3
from collections import Counter
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Final

import psycopg

from placet.budgets.reservations import ReservationState, from_row, reservation_key
from placet.kernel.state import Row
from tests.races.tenant import TENANT

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Iterator, Mapping
    from pathlib import Path

    from placet.budgets.holds import Hold
    from placet.budgets.reservations import Reservation

    Rows = list[tuple[Any, ...]]
    Read = Callable[[str], Rows]

DECISIONS: Final = """
    SELECT r.decision_id, r.effect, r.body, p.content FROM audit_records r
    JOIN audit_parts p ON (p.tenant, p.writer, p.sequence) = (r.tenant, r.writer, r.sequence)
    WHERE r.kind = 'decision.made' AND p.name = 'decision' AND r.tenant = 'races'
"""
SETTLED: Final = """
    SELECT body FROM audit_records WHERE kind IN ('outcome.reported', 'reservation.expired') AND tenant = 'races'
"""
RESERVATIONS: Final = """
    SELECT id, status, created_at_us, body, due_at_us, version FROM reservations WHERE tenant = 'races'
"""
COUNTERS: Final = """
    SELECT budget_id, unit, window_key, scope_key, used, reserved FROM counters WHERE tenant = 'races'
"""
WRITERS: Final = "SELECT DISTINCT writer FROM audit_records WHERE kind = 'decision.made' AND tenant = 'races'"
HELD: Final = "SELECT count(*) FROM reservations WHERE tenant = 'races' AND status = 'held'"
AGE: Final = "UPDATE reservations SET due_at_us = 1 WHERE status = 'held'"
assert f"'{TENANT}'" in HELD


@dataclass(frozen=True, slots=True)
class Recorded:
    """One decision of the trail."""

    effect: str
    key: str  # the idempotency key
    reserved: Mapping[tuple[str, str], int]  # (budget, unit) -> amount
    replaces: str = ""  # the decision that it replaced under its key
    repeats: str = ""  # the allow that it was returned for, because that allow is not valid any more


class Accounts:
    """The budgets in a database.

    `snapshot` returns a function that runs queries in one transaction; `change` runs one statement.
    """

    def __init__(
        self, snapshot: Callable[[], contextlib.AbstractContextManager[Read]], change: Callable[[str], None]
    ) -> None:
        self._snapshot = snapshot
        self._change = change

    def expire_reservations(self) -> None:
        """Make all reservations due for expiry."""
        self._change(AGE)

    def held(self) -> int:
        """Return the number of reservations without an outcome."""
        with self._snapshot() as read:
            return int(read(HELD)[0][0])

    def writers(self) -> set[str]:
        """Return the writers that recorded decisions."""
        with self._snapshot() as read:
            return {str(writer) for (writer,) in read(WRITERS)}

    def usage(self, budget_id: str, scope_key: str) -> tuple[int, int]:
        """Return (used, reserved) of a counter."""
        with self._snapshot() as read:
            usages = [row[4:] for row in read(COUNTERS) if (row[0], row[3]) == (budget_id, scope_key)]
        return usages[0] if usages else (0, 0)

    def balance(self) -> dict[str, Recorded]:
        """Check that decisions, reservations and counters agree exactly. Returns the decisions by id."""
        with self._snapshot() as read:
            decisions = dict(map(_recorded, read(DECISIONS)))
            settled = [json.loads(body) for (body,) in read(SETTLED)]
            reservations = {found.decision_id: found for found in map(_reservation, read(RESERVATIONS))}
            counters = {row[:4]: row[4:] for row in read(COUNTERS)}
        allowed = {name: decision for name, decision in decisions.items() if decision.effect == "allow"}
        allows = {name: decision.reserved for name, decision in allowed.items() if decision.reserved}
        assert {name: _by_budget(reservation.holds) for name, reservation in reservations.items()} == allows
        used, reserved = Counter[tuple[str, str]](), Counter[tuple[str, str]]()
        for amounts in allows.values():
            reserved.update(amounts)
        for change in (change for body in settled for change in body["settled"]):
            key = change["budget_id"], change["unit"]
            reserved[key] += change["reserved"]
            used[key] += change["used"]
        assert _sums(counters, 0) == +used
        assert _sums(counters, 1) == +reserved
        assert {key: usage[1] for key, usage in counters.items() if usage[1]} == +_held(reservations.values())
        _each_key_was_decided_once(decisions)
        return decisions


def _each_key_was_decided_once(decisions: Mapping[str, Recorded]) -> None:
    """Check that each idempotency key has one decision at a time.

    Only a decision that requires approval is replaced, once: by the decision on the approved action. A deny that is
    returned for an allow that is not valid any more is recorded without the key.
    """
    first = Counter(decision.key for decision in decisions.values() if decision.key and not decision.replaces)
    assert not [key for key, count in first.items() if count > 1], "a key that was decided twice"
    replaced = Counter(decision.replaces for decision in decisions.values() if decision.replaces)
    assert not [name for name, count in replaced.items() if count > 1], "a decision that was replaced twice"
    for decision in decisions.values():
        if decision.replaces:
            before = decisions[decision.replaces]
            assert (before.key, before.effect) == (decision.key, "require_approval"), (before, decision)
        if decision.repeats:
            assert (decision.key, decision.effect) == ("", "deny"), decision
            assert decision.repeats in decisions


def _recorded(row: tuple[Any, ...]) -> tuple[str, Recorded]:
    decision_id, effect, body, part = row
    budgets = json.loads(part)["budgets"]
    reserved = {(budget["id"], budget["unit"]): budget["reserved"] for budget in budgets}
    record = json.loads(body)
    references = record.get("replaces", ""), record.get("repeats", "")
    return decision_id, Recorded(effect, record["idempotency_key"], reserved, *references)


def _reservation(row: tuple[Any, ...]) -> Reservation:
    decision_id, status, created_at_us, body, due_at_us, version = row
    key = reservation_key(TENANT, decision_id)
    return from_row(Row(key, status, created_at_us, bytes(body), due_at_us or 0, version))


def _by_budget(holds: Iterable[Hold]) -> dict[tuple[str, str], int]:
    return {(hold.counter.budget_id, hold.counter.unit): hold.amount for hold in holds}


def _sums(counters: Mapping[tuple[Any, ...], tuple[int, ...]], column: int) -> Counter[tuple[str, str]]:
    """Return (budget, unit) -> amount used (column 0) or reserved (column 1) in all scopes and windows."""
    sums = Counter[tuple[str, str]]()
    for key, usage in counters.items():
        sums[key[:2]] += usage[column]
    return +sums


def _held(reservations: Iterable[Reservation]) -> Counter[tuple[Any, ...]]:
    """Return counter -> amount that reservations without an outcome hold."""
    sums = Counter[tuple[Any, ...]]()
    open_reservations = [reservation for reservation in reservations if reservation.state is ReservationState.HELD]
    for hold in (hold for reservation in open_reservations for hold in reservation.holds):
        sums[hold.counter[1:]] += hold.amount
    return sums


def sqlite_accounts(path: Path) -> Accounts:
    @contextlib.contextmanager
    def snapshot() -> Iterator[Read]:
        with contextlib.closing(sqlite3.connect(f"file:{path}?mode=ro", uri=True, timeout=10)) as database:
            database.execute("BEGIN")
            yield lambda sql: database.execute(sql).fetchall()

    def change(sql: str) -> None:
        with contextlib.closing(sqlite3.connect(path, timeout=10)) as database, database:
            database.execute(sql)

    return Accounts(snapshot, change)


def postgres_accounts(url: str) -> Accounts:
    @contextlib.contextmanager
    def snapshot() -> Iterator[Read]:
        with psycopg.connect(url) as database:
            database.isolation_level = psycopg.IsolationLevel.REPEATABLE_READ
            yield lambda sql: database.execute(sql.encode()).fetchall()

    def change(sql: str) -> None:
        with psycopg.connect(url) as database:
            database.execute(sql.encode())

    return Accounts(snapshot, change)
