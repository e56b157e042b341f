"""What the database says of budgets, read from outside: records, reservations and counters must tell one story."""

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
HELD: Final = "SELECT count(*) FROM reservations WHERE tenant = 'races' AND status = 'held'"
AGE: Final = "UPDATE reservations SET due_at_us = 1 WHERE status = 'held'"
assert f"'{TENANT}'" in HELD


@dataclass(frozen=True, slots=True)
class Recorded:
    """One decision of the trail; `reserved` is budget and unit -> how much.

    `replaces` is the decision whose place under the key it took, `repeats` the one in whose place it was told.
    """

    effect: str
    key: str
    reserved: Mapping[tuple[str, str], int]
    replaces: str = ""
    repeats: str = ""


class Accounts:
    """`snapshot` gives a way to read, all of it as of one moment; `change` runs one statement."""

    def __init__(
        self, snapshot: Callable[[], contextlib.AbstractContextManager[Read]], change: Callable[[str], None]
    ) -> None:
        self._snapshot = snapshot
        self._change = change

    def grow_old(self) -> None:
        """As if the time of all reservations were over."""
        self._change(AGE)

    def held(self) -> int:
        """How many reservations wait for an outcome."""
        with self._snapshot() as read:
            return int(read(HELD)[0][0])

    def usage(self, budget_id: str, scope_key: str) -> tuple[int, int]:
        """Used and reserved of a counter."""
        with self._snapshot() as read:
            found = [row[4:] for row in read(COUNTERS) if (row[0], row[3]) == (budget_id, scope_key)]
        return found[0] if found else (0, 0)

    def balance(self) -> dict[str, Recorded]:
        """The decisions, by id. They, the reservations and the counters agree to the unit."""
        with self._snapshot() as read:
            decisions = dict(map(_recorded, read(DECISIONS)))
            settled = [json.loads(body) for (body,) in read(SETTLED)]
            reservations = {each.decision_id: each for each in map(_reservation, read(RESERVATIONS))}
            counters = {row[:4]: row[4:] for row in read(COUNTERS)}
        allows = {name: each.reserved for name, each in decisions.items() if each.effect == "allow" and each.reserved}
        assert {name: _by_budget(each.holds) for name, each in reservations.items()} == allows
        used, reserved = Counter[tuple[str, str]](), Counter[tuple[str, str]]()
        for each in allows.values():
            reserved.update(each)
        for change in (change for body in settled for change in body["settled"]):
            place = change["budget_id"], change["unit"]
            reserved[place] += change["reserved"]
            used[place] += change["used"]
        assert _sums(counters, 0) == +used
        assert _sums(counters, 1) == +reserved
        assert {place: usage[1] for place, usage in counters.items() if usage[1]} == +_held(reservations.values())
        _each_key_was_decided_once(decisions)
        return decisions


def _each_key_was_decided_once(decisions: Mapping[str, Recorded]) -> None:
    """A key stands for one decision at a time.

    Only one that asked for approval gives its place to another, one: what people agreed to. What is told in place of an
    allow that no longer stands is recorded without the key.
    """
    first = Counter(each.key for each in decisions.values() if each.key and not each.replaces)
    assert not [key for key, count in first.items() if count > 1], "a key that was decided twice"
    replaced = Counter(each.replaces for each in decisions.values() if each.replaces)
    assert not [name for name, count in replaced.items() if count > 1], "a decision that was replaced twice"
    for each in decisions.values():
        if each.replaces:
            before = decisions[each.replaces]
            assert (before.key, before.effect) == (each.key, "require_approval"), (before, each)
        if each.repeats:
            assert (each.key, each.effect) == ("", "deny"), each
            assert each.repeats in decisions


def _recorded(row: tuple[Any, ...]) -> tuple[str, Recorded]:
    decision_id, effect, body, part = row
    budgets = json.loads(part)["budgets"]
    reserved = {(each["id"], each["unit"]): each["reserved"] for each in budgets}
    said = json.loads(body)
    instead = said.get("replaces", ""), said.get("repeats", "")
    return decision_id, Recorded(effect, said["idempotency_key"], reserved, *instead)


def _reservation(row: tuple[Any, ...]) -> Reservation:
    decision_id, status, created_at_us, body, due_at_us, version = row
    key = reservation_key(TENANT, decision_id)
    return from_row(Row(key, status, created_at_us, bytes(body), due_at_us or 0, version))


def _by_budget(holds: Iterable[Hold]) -> dict[tuple[str, str], int]:
    return {(hold.counter.budget_id, hold.counter.unit): hold.amount for hold in holds}


def _sums(counters: Mapping[tuple[Any, ...], tuple[int, ...]], place: int) -> Counter[tuple[str, str]]:
    """Budget and unit -> used, or reserved, in all scopes and windows."""
    sums = Counter[tuple[str, str]]()
    for key, usage in counters.items():
        sums[key[:2]] += usage[place]
    return +sums


def _held(reservations: Iterable[Reservation]) -> Counter[tuple[Any, ...]]:
    """Counter -> what reservations hold of it that nobody reported on."""
    sums = Counter[tuple[Any, ...]]()
    for hold in (hold for each in reservations if each.state is ReservationState.HELD for hold in each.holds):
        sums[hold.counter[1:]] += hold.amount
    return sums


def sqlite_books(path: Path) -> Accounts:
    @contextlib.contextmanager
    def snapshot() -> Iterator[Read]:
        with contextlib.closing(sqlite3.connect(f"file:{path}?mode=ro", uri=True, timeout=10)) as database:
            database.execute("BEGIN")
            yield lambda sql: database.execute(sql).fetchall()

    def change(sql: str) -> None:
        with contextlib.closing(sqlite3.connect(path, timeout=10)) as database, database:
            database.execute(sql)

    return Accounts(snapshot, change)


def postgres_books(url: str) -> Accounts:
    @contextlib.contextmanager
    def snapshot() -> Iterator[Read]:
        with psycopg.connect(url) as database:
            database.isolation_level = psycopg.IsolationLevel.REPEATABLE_READ
            yield lambda sql: database.execute(sql.encode()).fetchall()

    def change(sql: str) -> None:
        with psycopg.connect(url) as database:
            database.execute(sql.encode())

    return Accounts(snapshot, change)
