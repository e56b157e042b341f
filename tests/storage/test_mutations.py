"""Any change of any table is found: what hypothesis makes up, beside the named ones of test_tampering."""

from __future__ import annotations

import shutil
import sqlite3
from collections.abc import Callable
from typing import TYPE_CHECKING, Any

import pytest
from hypothesis import HealthCheck, assume, given, reject, settings
from hypothesis import strategies as st

from placet.kernel.errors import ConfigurationError
from placet.storage.sqlite.offline import verify_database
from tests.storage.making import TABLES

if TYPE_CHECKING:
    from pathlib import Path

    from placet.signing.keys import PublicKey, SigningKey


Mutation = Callable[[sqlite3.Connection, "Picker"], None]
CELLS = st.one_of(
    st.none(), st.integers(-5, 20), st.text(max_size=5), st.binary(max_size=40), st.just(float("inf")), st.just("acme")
)


class Picker:
    """What hypothesis chooses."""

    def __init__(self, data: st.DataObject) -> None:
        self._data = data

    def __call__(self, choices: st.SearchStrategy[Any] | list[Any]) -> Any:
        return self._data.draw(st.sampled_from(choices) if isinstance(choices, list) else choices)


def rows(connection: sqlite3.Connection, table: str) -> list[tuple[Any, ...]]:
    return connection.execute(f"SELECT rowid, * FROM {table} ORDER BY rowid").fetchall()  # noqa: S608 - a constant


def columns(connection: sqlite3.Connection, table: str) -> list[str]:
    return [f'"{name}"' for _, name, *_ in connection.execute(f"PRAGMA table_info({table})")]


def set_cell(connection: sqlite3.Connection, pick: Picker) -> None:
    table = pick(list(TABLES))
    row, column = pick(rows(connection, table))[0], pick(columns(connection, table))
    connection.execute(f"UPDATE {table} SET {column} = ? WHERE rowid = ?", (pick(CELLS), row))  # noqa: S608


def flip_byte(connection: sqlite3.Connection, pick: Picker) -> None:
    table, column = pick(
        [
            *(("audit_records", column) for column in ("body", "previous_hash", "hash")),
            *(("audit_parts", column) for column in ("salt", "content")),
            *(("audit_checkpoints", column) for column in ("body", "signature")),
            ("audit_writers", "head_hash"),
        ]
    )
    row = pick(rows(connection, table))[0]
    select = f"SELECT {column} FROM {table} WHERE rowid = ?"  # noqa: S608 - constants
    value = bytearray(connection.execute(select, (row,)).fetchone()[0])
    value[pick(st.integers(0, len(value) - 1))] ^= 1 << pick(st.integers(0, 7))
    connection.execute(f"UPDATE {table} SET {column} = ? WHERE rowid = ?", (bytes(value), row))  # noqa: S608


def delete_row(connection: sqlite3.Connection, pick: Picker) -> None:
    table = pick(list(TABLES))
    connection.execute(f"DELETE FROM {table} WHERE rowid = ?", pick(rows(connection, table))[:1])  # noqa: S608


def swap_cells(connection: sqlite3.Connection, pick: Picker) -> None:
    table = pick(list(TABLES[:3]))
    column = pick(columns(connection, table))
    one, other = pick(rows(connection, table))[0], pick(rows(connection, table))[0]
    for_row = f"SELECT {column} FROM {table} WHERE rowid = ?"  # noqa: S608 - constants
    first, second = (connection.execute(for_row, (row,)).fetchone()[0] for row in (one, other))
    update = f"UPDATE {table} SET {column} = ? WHERE rowid = ?"  # noqa: S608 - constants
    connection.execute(update, (-1, one))
    connection.execute(update, (first, other))
    connection.execute(update, (second, one))


def swap_records(connection: sqlite3.Connection, pick: Picker) -> None:
    one, other = pick(st.integers(1, 9)), pick(st.integers(1, 9))
    for table in pick([TABLES[:1], TABLES[:2], TABLES[:3]]):
        for old, new in ((one, -1), (other, one), (-1, other)):
            connection.execute(f"UPDATE {table} SET sequence = ? WHERE sequence = ?", (new, old))  # noqa: S608


def insert_row(connection: sqlite3.Connection, pick: Picker) -> None:
    """A copy of a row at another place in one of its columns."""
    table = pick(list(TABLES))
    row = list(pick(rows(connection, table))[1:])
    row[pick(st.integers(0, len(row) - 1))] = pick(CELLS)
    if table == "audit_records":
        row[5] = pick([row[5], None])
    marks = ", ".join("?" * len(row))
    connection.execute(f"INSERT INTO {table} VALUES ({marks})", row)  # noqa: S608 - constants


def content(connection: sqlite3.Connection) -> list[Any]:
    """All that is stored, with the types: 1 and '1' are not the same."""
    return [[[(type(cell), cell) for cell in row[1:]] for row in rows(connection, table)] for table in TABLES]


def check_that_it_is_found(original: Path, path: Path, key: PublicKey, data: st.DataObject, mutate: Mutation) -> None:
    shutil.copy(original, path)
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
    try:
        found = not verify_database(path, key).ok
    except ConfigurationError as error:
        found = "schema" in str(error)
    assert found


CHECKS = [HealthCheck.function_scoped_fixture, HealthCheck.filter_too_much]
MUTATIONS = st.sampled_from([set_cell, flip_byte, delete_row, swap_cells, swap_records, insert_row])


@settings(max_examples=150, deadline=None, suppress_health_check=CHECKS)
@given(data=st.data(), mutate=MUTATIONS)
def test_any_change_is_found(
    original: Path, tmp_path: Path, signing_key: SigningKey, data: st.DataObject, mutate: Mutation
) -> None:
    check_that_it_is_found(original, tmp_path / "mutated.db", signing_key.public, data, mutate)


@pytest.mark.soak
@pytest.mark.timeout(900)
@settings(max_examples=5_000, deadline=None, suppress_health_check=CHECKS)
@given(data=st.data(), mutate=MUTATIONS)
def test_any_of_many_changes_is_found(
    original: Path, tmp_path: Path, signing_key: SigningKey, data: st.DataObject, mutate: Mutation
) -> None:
    check_that_it_is_found(original, tmp_path / "mutated.db", signing_key.public, data, mutate)
