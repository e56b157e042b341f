"""Arrays that are encoded here arrive in PostgreSQL as they were."""

from __future__ import annotations

import struct
from typing import TYPE_CHECKING, Any

import psycopg
import pytest

from placet.storage.connections.postgres import PostgresConnection, connect
from placet.storage.connections.postgres_arrays import encode_array

if TYPE_CHECKING:
    from collections.abc import Iterator

    from tests.postgres import Postgres


@pytest.fixture(scope="module")
def session(postgres_server: Postgres) -> Iterator[PostgresConnection]:
    connection = connect(postgres_server.url(), "arrays")
    yield connection
    connection.close()


@pytest.mark.parametrize(
    ("element", "values"),
    [
        ("text", ["a", "", None, 'q"uo\\te', "{,}", "NULL", "h\u00e9 \U0001f600", "x" * 100_000]),
        ("text", [None]),
        ("bigint", [0, -1, 1, None, 2**63 - 1, -(2**63)]),
        ("bigint", [None, None]),
        ("bytea", [b"", None, bytes(range(256)), b"x" * 100_000]),
    ],
)
def test_it_comes_back_as_it_was(session: PostgresConnection, element: str, values: list[Any]) -> None:
    array = encode_array(element, values)
    found = session.execute(f"SELECT %s::{element}[], pg_typeof(%s)::text", (array, array)).fetchone()
    assert found == (values, f"{element}[]")


def test_what_no_text_may_hold_is_refused(session: PostgresConnection) -> None:
    with pytest.raises(psycopg.DataError):
        session.execute("SELECT %s::text[]", (encode_array("text", ["a\0b"]),))


@pytest.mark.parametrize(("element", "value"), [("bigint", 2**63), ("bigint", "1"), ("text", "\ud800"), ("json", "{}")])
def test_what_cannot_be_encoded_is_an_error(element: str, value: object) -> None:
    with pytest.raises((ValueError, TypeError, OverflowError, struct.error)):
        encode_array(element, [value])
