"""State that was changed by other hands is found against the records, and named; nothing else is."""

from __future__ import annotations

import asyncio
import contextlib
import shutil
import sqlite3
from pathlib import Path
from typing import TYPE_CHECKING, Any

import psycopg
import pytest
from hypothesis import HealthCheck, assume, given, reject, settings
from hypothesis import strategies as st

from placet.audit import chain
from placet.audit.records import StateDifference
from placet.audit.state_record import NO_STATE_CHANGES, PROVEN
from placet.audit.verification.problems import ProblemKind
from placet.controls.kill_switches.documents import switch_id
from placet.controls.kill_switches.model import KillScope
from placet.kernel.state import PutIfVersion, ReadSet, StateTable
from placet.storage.postgres.offline import verify_url
from placet.storage.sqlite.backend import SqliteLedger
from placet.storage.sqlite.offline import verify_database
from tests.properties.state_driver import PostgresStore, SqliteStore
from tests.storage.making import TickingClock
from tests.storage.state_filling import fill_state
from tests.storage.state_making import change, counter, key, reserve, row, settle, stored_row
from tests.storage.test_mutations import CELLS, Picker, columns, rows
from tests.support.fakes import FixedClock
from tests.support.replacing import replace

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from placet.audit.records import VerifyReport
    from placet.signing.keys import SigningKey
    from tests.postgres import Postgres

K = ProblemKind
TABLES = [*(table.value for table in PROVEN), "counters"]


@pytest.fixture(scope="module")
def filled(tmp_path_factory: pytest.TempPathFactory, signing_key: SigningKey) -> Path:
    """With some rows in each table. One file, without a log beside it, so that it can be copied."""
    folder = tmp_path_factory.mktemp("filled")
    asyncio.run(fill_state(SqliteStore(folder / "placet.db", key=signing_key)))
    with contextlib.closing(sqlite3.connect(folder / "placet.db")) as connection:
        connection.execute("VACUUM INTO ?", (str(folder / "whole.db"),))
    return folder / "whole.db"


@pytest.fixture
def copy(filled: Path, tmp_path: Path) -> Path:
    return Path(shutil.copy(filled, tmp_path / "copy.db"))


def run(path: Path, *statements: str) -> None:
    connection = sqlite3.connect(path)
    with connection:
        for statement in statements:
            assert connection.execute(statement).rowcount, "changed nothing"
    connection.close()


def verify_state(path: Path, signing_key: SigningKey) -> VerifyReport:
    return verify_database(path, signing_key.public, state=True)


def named(report: VerifyReport) -> set[tuple[str, str, str]]:
    """Kind, table and tenant of each difference; everything of it is told."""
    for each in report.problems:
        assert each.state is not None
        assert each.state.id
        assert each.state.expected != each.state.found
        assert each.state.expected in each.detail
        assert each.state.found in each.detail
    return {(each.kind, each.state.table, each.state.tenant) for each in report.problems if each.state}


def test_untouched_state_is_proven(filled: Path, signing_key: SigningKey) -> None:
    report = verify_state(filled, signing_key)
    assert (report.problems, report.state is not None) == ((), True)
    connection = sqlite3.connect(filled)
    counts = {name: connection.execute(f"SELECT count(*) FROM {name}").fetchone()[0] for name in TABLES}  # noqa: S608
    connection.close()
    assert min(counts.values()) > 0, "a table without rows would prove nothing"
    assert report.state is not None
    assert report.state.rows == sum(counts[table] for table in TABLES[:-1])
    assert report.state.counters == counts["counters"]
    assert (report.state.unproven, report.state.since) == (0, ())
    assert verify_database(filled, signing_key.public).state is None


ONE = "WHERE rowid = (SELECT min(rowid) FROM {table})"
TAMPERINGS = [
    ("DELETE FROM {table} {one}", K.STATE_MISSING),
    ("DELETE FROM {table}", K.STATE_MISSING),
]
ROW_TAMPERINGS = [
    *TAMPERINGS,
    ("UPDATE {table} SET version = version + 1 {one}", K.STATE_MISMATCH),
    ("UPDATE {table} SET version = 'x' {one}", K.STATE_MISMATCH),
    ("UPDATE {table} SET status = 'approved' {one}", K.STATE_MISMATCH),
    ("UPDATE {table} SET created_at_us = created_at_us - 1 {one}", K.STATE_MISMATCH),
    ("UPDATE {table} SET due_at_us = ifnull(due_at_us, 0) + 1 {one}", K.STATE_MISMATCH),
    ("UPDATE {table} SET body = x'5b5d' {one}", K.STATE_MISMATCH),
    ("UPDATE {table} SET body = CAST(body AS TEXT) {one}", K.STATE_MISMATCH),
    ("UPDATE {table} SET id = 'other' {one}", K.STATE_UNEXPECTED),
    ("UPDATE {table} SET tenant = 'other' {one}", K.STATE_UNEXPECTED),
    ("INSERT INTO {table} VALUES ('acme', 'new', 1, 'set', 0, NULL, x'7b7d')", K.STATE_UNEXPECTED),
    ("INSERT INTO {table} VALUES ('acme', 'new', 1, 'set', -5, NULL, x'7b7d')", K.STATE_UNEXPECTED),
]


@pytest.mark.parametrize("table", TABLES[:-1])
@pytest.mark.parametrize(("statement", "expected"), ROW_TAMPERINGS)
def test_a_changed_row_is_named(
    copy: Path, signing_key: SigningKey, table: str, statement: str, expected: ProblemKind
) -> None:
    run(copy, statement.format(table=table, one=ONE.format(table=table)))
    found = named(verify_state(copy, signing_key))
    assert expected in {kind for kind, *_ in found}
    assert {where for _, where, _ in found} == {table}


@pytest.mark.parametrize(
    ("statement", "expected"),
    [
        *TAMPERINGS,
        ("UPDATE {table} SET used = 0, reserved = 0", K.STATE_MISMATCH),
        ("UPDATE {table} SET used = used - 1 WHERE unit = 'cost'", K.STATE_MISMATCH),
        ("UPDATE {table} SET reserved = reserved - 1 WHERE unit = 'calls'", K.STATE_MISMATCH),
        ("UPDATE {table} SET used = used + 1, reserved = reserved - 1 WHERE unit = 'calls'", K.STATE_MISMATCH),
        ("UPDATE {table} SET created_at_us = created_at_us + 1", K.STATE_MISMATCH),
        ("UPDATE {table} SET resets_at_us = resets_at_us + 1", K.STATE_MISMATCH),
        ("UPDATE {table} SET window_key = 'x' WHERE unit = 'cost' AND scope_key = 'user:u1'", K.STATE_UNEXPECTED),
        ("INSERT INTO {table} VALUES ('acme', 'b', 'calls', 'w', 's', 5, 0, 0, 0, 0)", K.STATE_UNEXPECTED),
        ("INSERT INTO {table} VALUES ('acme', 'b', 'calls', 'w', 's', 0, -5, 0, 0, 0)", K.STATE_UNEXPECTED),
    ],
)
def test_a_changed_counter_is_named(copy: Path, signing_key: SigningKey, statement: str, expected: ProblemKind) -> None:
    run(copy, statement.format(table="counters", one=ONE.format(table="counters")))
    found = named(verify_state(copy, signing_key))
    assert expected in {kind for kind, *_ in found}
    assert {where for _, where, _ in found} == {"counters"}


def test_a_difference_says_what_was_expected_and_found(copy: Path, signing_key: SigningKey) -> None:
    run(copy, "DELETE FROM kill_switches WHERE status = 'set' AND due_at_us IS NULL")
    run(copy, "UPDATE counters SET used = 7 WHERE budget_id = 'money'")
    report = verify_state(copy, signing_key)
    named_switch = switch_id(KillScope.AGENT, "acme", "bot8")
    [switch] = [each for each in report.problems if each.kind == K.STATE_MISSING]
    [counted] = [each for each in report.problems if each.kind == K.STATE_MISMATCH]
    assert switch.state == StateDifference("kill_switches", "acme", named_switch, "version 1 set", "no row")
    assert (switch.writer, switch.sequence > 0) == ("w", True)
    assert counted.state is not None
    assert counted.state.id.startswith("money amount:USD ")
    assert (counted.state.expected, counted.state.found) == ("used=404 reserved=101", "used=7 reserved=101")


async def test_a_change_that_was_overtaken_is_still_found(tmp_path: Path, signing_key: SigningKey) -> None:
    """Somebody approves in the database, and Placet uses it; somebody lends from a counter, and gives it back."""
    path = tmp_path / "placet.db"
    ledger = SqliteLedger.open(path, writer="w1", signing_key=signing_key, clock=TickingClock())
    await ledger.commit([change(PutIfVersion(row()), settle(0, 5), reserve(1)), change(PutIfVersion(row("b")))])
    run(path, "UPDATE approvals SET status = 'approved' WHERE id = 'a'", "UPDATE counters SET used = 0")
    found = await stored_row(ledger)
    assert found is not None
    await ledger.commit([change(PutIfVersion(replace(found, status="used")), settle(-1, 1))])
    run(path, "UPDATE counters SET used = 6")
    await ledger.close()
    report = verify_state(path, signing_key)
    assert named(report) == {
        (K.STATE_UNRECORDED, "approvals", "acme"),
        (K.STATE_UNRECORDED, "counters", "acme"),
    }


async def test_a_version_without_a_record_is_found(tmp_path: Path, signing_key: SigningKey) -> None:
    path = tmp_path / "placet.db"
    ledger = SqliteLedger.open(path, writer="w1", signing_key=signing_key, clock=TickingClock())
    await ledger.commit([change(PutIfVersion(row()))])
    await ledger.put_unaudited([row(version=1, status="approved")])
    await ledger.commit([change(PutIfVersion(row(version=2, status="used")))])
    await ledger.close()
    assert named(verify_state(path, signing_key)) == {(K.STATE_UNRECORDED, "approvals", "acme")}


async def test_webhooks_are_not_part_of_it(tmp_path: Path, signing_key: SigningKey) -> None:
    path = tmp_path / "placet.db"
    ledger = SqliteLedger.open(path, writer="w1", signing_key=signing_key, clock=TickingClock())
    told = replace(row(), key=key(table=StateTable.WEBHOOK_OUTBOX))
    await ledger.commit([change(PutIfVersion(told))])
    await ledger.put_unaudited([replace(told, version=1, status="delivered")])
    await ledger.close()
    report = verify_state(path, signing_key)
    assert (report.problems, report.records) == ((), 1)


class TestTrailsOfBefore:
    """Records that say nothing of state: they still verify, and what they may have changed is called unproven."""

    @pytest.fixture
    async def path(self, tmp_path: Path, signing_key: SigningKey, monkeypatch: pytest.MonkeyPatch) -> Path:
        path, clock = tmp_path / "placet.db", TickingClock()
        ledger = SqliteLedger.open(path, writer="w1", signing_key=signing_key, clock=clock)
        body = chain._body
        with monkeypatch.context() as patched:
            patched.setattr("placet.storage.sql.unit_of_work.state_changes", lambda *_: NO_STATE_CHANGES)
            patched.setattr(chain, "_body", lambda *given: body(*given).replace(b'"state_changes":0,', b""))
            at_us = clock.now_us
            await ledger.commit(
                [change(PutIfVersion(row(created_at_us=at_us)), reserve(2), at_us=clock.now_us + 5_000_000)]
            )
            await ledger.commit([change(PutIfVersion(row("b", created_at_us=at_us)), at_us=clock.now_us + 5_000_000)])
        clock.now_us += 60_000_000
        new_us = clock.now_us
        await ledger.commit(
            [
                change(PutIfVersion(row("b", 1, status="approved", created_at_us=at_us)), settle(-2, 2), at_us=new_us),
                change(PutIfVersion(row("c", created_at_us=new_us)), reserve(1, of=counter("new")), at_us=new_us),
            ]
        )
        await ledger.close()
        return path

    async def test_no_false_alarm(self, path: Path, signing_key: SigningKey) -> None:
        report = verify_state(path, signing_key)
        assert report.problems == ()
        assert report.state is not None
        assert (report.state.rows, report.state.counters) == (3, 2)
        assert report.state.unproven == 2, "the row a and the counter of before"
        assert report.state.since == (("w1", 3),)

    @pytest.mark.parametrize(
        ("statement", "expected"),
        [
            ("UPDATE approvals SET status = 'pending' WHERE id = 'b'", K.STATE_MISMATCH),
            ("DELETE FROM approvals WHERE id = 'b'", K.STATE_MISSING),
            ("UPDATE approvals SET version = 9 WHERE id = 'b'", K.STATE_MISMATCH),
            ("DELETE FROM approvals WHERE id = 'c'", K.STATE_MISSING),
            ("UPDATE counters SET used = 9 WHERE scope_key = 'new'", K.STATE_MISMATCH),
            ("DELETE FROM counters WHERE scope_key <> 'new'", K.STATE_MISSING),
            ("UPDATE counters SET created_at_us = 1 WHERE scope_key = 'new'", K.STATE_MISMATCH),
        ],
    )
    async def test_what_the_records_tell_of_is_proven(
        self, path: Path, signing_key: SigningKey, statement: str, expected: ProblemKind
    ) -> None:
        run(path, statement)
        assert {kind for kind, *_ in named(verify_state(path, signing_key))} == {expected}


@pytest.fixture(scope="module")
def template(postgres_server: Postgres, signing_key: SigningKey) -> str:
    """The name of a database with some rows in each table."""
    name = postgres_server.new_database()
    asyncio.run(fill_state(PostgresStore(postgres_server.url(name), key=signing_key)))
    return name


class TestPostgres:
    """The same on PostgreSQL, where two replicas write."""

    @pytest.fixture
    def url(self, postgres_server: Postgres, template: str) -> Iterator[str]:
        postgres_server.run(f"CREATE DATABASE {template}_copy TEMPLATE {template}")
        yield postgres_server.url(f"{template}_copy")
        postgres_server.run(f"DROP DATABASE {template}_copy")

    @pytest.mark.parametrize(
        ("statement", "table", "expected"),
        [
            ("DELETE FROM kill_switches WHERE status = 'set' AND due_at_us IS NULL", "kill_switches", K.STATE_MISSING),
            ("UPDATE counters SET used = 0, reserved = 0", "counters", K.STATE_MISMATCH),
            ("UPDATE approvals SET status = 'approved' WHERE status = 'pending'", "approvals", K.STATE_MISMATCH),
            ("UPDATE autonomy_overrides SET body = '{}'", "autonomy_overrides", K.STATE_MISMATCH),
            ("UPDATE reservations SET due_at_us = 5 WHERE status = 'held'", "reservations", K.STATE_MISMATCH),
            ("DELETE FROM outcomes", "outcomes", K.STATE_MISSING),
            ("UPDATE control_requests SET due_at_us = 5", "control_requests", K.STATE_MISMATCH),
            ("UPDATE control_versions SET version = version + 1", "control_versions", K.STATE_MISMATCH),
            ("UPDATE breakers SET status = 'open'", "breakers", K.STATE_MISMATCH),
            (
                "INSERT INTO approvals VALUES ('acme', 'x', 1, 'approved', 0, NULL, '{}')",
                "approvals",
                K.STATE_UNEXPECTED,
            ),
        ],
    )
    async def test_a_change_is_named(
        self, url: str, signing_key: SigningKey, statement: str, table: str, expected: ProblemKind
    ) -> None:
        report = verify_url(url, signing_key.public, state=True)
        assert (report.problems, report.chains) == ((), 2)
        with psycopg.connect(url) as connection:
            assert connection.execute(statement.encode()).rowcount
        found = named(verify_url(url, signing_key.public, state=True))
        assert {(kind, where) for kind, where, _ in found} == {(expected, table)}

    async def test_room_that_was_made_for_nothing_is_no_alarm(self, url: str, signing_key: SigningKey) -> None:
        ledger = PostgresStore(url, key=signing_key).open(0, FixedClock())
        refused = reserve(9, limit=1, of=counter("nobody"))
        await ledger.commit([change(refused), change(reserve(1))])
        assert (await ledger.load(ReadSet(counters=[refused.counter]))).usage(refused.counter).created_at_us > 0
        await ledger.close()
        assert verify_url(url, signing_key.public, state=True).problems == ()


def set_cell(connection: sqlite3.Connection, pick: Picker) -> None:
    table = pick(TABLES)
    place, column = pick(rows(connection, table))[0], pick(columns(connection, table))
    connection.execute(f"UPDATE {table} SET {column} = ? WHERE rowid = ?", (pick(CELLS), place))  # noqa: S608


def delete_row(connection: sqlite3.Connection, pick: Picker) -> None:
    table = pick(TABLES)
    connection.execute(f"DELETE FROM {table} WHERE rowid = ?", pick(rows(connection, table))[:1])  # noqa: S608


def insert_row(connection: sqlite3.Connection, pick: Picker) -> None:
    """A copy of a row at another place in one of its columns."""
    table = pick(TABLES)
    made = list(pick(rows(connection, table))[1:])
    made[pick(st.integers(0, len(made) - 1))] = pick(CELLS)
    connection.execute(f"INSERT INTO {table} VALUES ({', '.join('?' * len(made))})", made)  # noqa: S608


def swap_cells(connection: sqlite3.Connection, pick: Picker) -> None:
    table = pick(TABLES)
    column = pick([each for each in columns(connection, table) if each not in {'"id"', '"scope_key"'}])
    places = [pick(rows(connection, table))[0] for _ in range(2)]
    cell = f"SELECT {column} FROM {table} WHERE rowid = ?"  # noqa: S608 - constants
    values = [connection.execute(cell, (place,)).fetchone()[0] for place in places]
    for place, value in zip(places, reversed(values), strict=True):
        connection.execute(f"UPDATE {table} SET {column} = ? WHERE rowid = ?", (value, place))  # noqa: S608


def flip_bit(connection: sqlite3.Connection, pick: Picker) -> None:
    table = pick(TABLES[:-1])
    place = pick(rows(connection, table))[0]
    body = bytearray(connection.execute(f"SELECT body FROM {table} WHERE rowid = ?", (place,)).fetchone()[0])  # noqa: S608
    body[pick(st.integers(0, len(body) - 1))] ^= 1 << pick(st.integers(0, 7))
    connection.execute(f"UPDATE {table} SET body = ? WHERE rowid = ?", (bytes(body), place))  # noqa: S608


def content(connection: sqlite3.Connection) -> list[Any]:
    """All state that anything reads, with the types."""
    found: list[Any] = []
    for table in TABLES:
        read = ", ".join(name for name in columns(connection, table) if name != '"moved_at_us"')
        told = connection.execute(f"SELECT {read} FROM {table} ORDER BY rowid").fetchall()  # noqa: S608 - constants
        found += [[(type(cell), cell) for cell in each] for each in told if not unused(table, each)]
    return found


def unused(table: str, told: tuple[Any, ...]) -> bool:
    """Whether it is a counter of nothing, as good as none."""
    return table == "counters" and told[5:7] == (0, 0)


def check_that_it_is_found(
    filled: Path, path: Path, key: SigningKey, data: st.DataObject, mutate: Callable[[sqlite3.Connection, Picker], None]
) -> None:
    shutil.copy(filled, path)
    connection = sqlite3.connect(path)
    before = content(connection)
    try:
        with connection:
            mutate(connection, Picker(data))
        assume(content(connection) != before)
    except sqlite3.IntegrityError:
        reject()  # the database itself refused the change
    finally:
        connection.close()
    report = verify_state(path, key)
    assert {each.kind for each in report.problems} & {K.STATE_MISSING, K.STATE_MISMATCH, K.STATE_UNEXPECTED}


CHECKS = [HealthCheck.function_scoped_fixture, HealthCheck.filter_too_much]
MUTATIONS = st.sampled_from([set_cell, delete_row, insert_row, swap_cells, flip_bit])


@settings(max_examples=150, deadline=None, suppress_health_check=CHECKS)
@given(data=st.data(), mutate=MUTATIONS)
def test_any_change_of_state_is_found(
    filled: Path, tmp_path: Path, signing_key: SigningKey, data: st.DataObject, mutate: Any
) -> None:
    check_that_it_is_found(filled, tmp_path / "mutated.db", signing_key, data, mutate)


@pytest.mark.soak
@pytest.mark.timeout(900)
@settings(max_examples=5_000, deadline=None, suppress_health_check=CHECKS)
@given(data=st.data(), mutate=MUTATIONS)
def test_any_of_many_changes_of_state_is_found(
    filled: Path, tmp_path: Path, signing_key: SigningKey, data: st.DataObject, mutate: Any
) -> None:
    check_that_it_is_found(filled, tmp_path / "mutated.db", signing_key, data, mutate)
