"""What a record says of the state that changed with it: the part `state`, by which state can be proven.

::

    {"rows":     [[table, tenant, id, version, status, digest, digest before], ...],
     "counters": [[tenant, budget_id, unit, window_key, scope_key,
                   reserved by, used by, reserved, used, created_at_us, resets_at_us], ...]}

A row's digest is the SHA-256 of the JSON array ``[version,status,created_at_us,due_at_us]`` and its body; the digest
before is that of the row that was changed, "" for a new one. A counter's numbers are by how much this change moved it,
and what it then held. So each change also says what it found: state that was changed in between, by no record, is told
from state that was not, in whatever order the chains of several replicas are read.
"""

from __future__ import annotations

import hashlib
from typing import TYPE_CHECKING, Final, NamedTuple

import orjson

from placet.kernel.state import CounterKey, RowKey, StateTable

if TYPE_CHECKING:
    from collections.abc import Sequence

    from placet.kernel.state import Row

STATE: Final = "state"
"""Part of every record that changed state."""
PROVEN: Final = tuple(kept for kept in StateTable if kept is not StateTable.WEBHOOK_OUTBOX)
"""Tables whose every change has a record. What webhooks are still to be told is not among them: it is no part of who
did what, and moves without a record."""


class RowChange(NamedTuple):
    """A row as a change left it. `before` is the digest of what the change found, "" for nothing."""

    key: RowKey
    version: int
    status: str
    digest: str
    before: str


class CounterChange(NamedTuple):
    """By how much a change moved a counter, and what it held then."""

    counter: CounterKey
    reserved_by: int
    used_by: int
    reserved: int
    used: int
    created_at_us: int
    resets_at_us: int


class StateChanges(NamedTuple):
    """How many changes a record made, and its part `state`; empty when it made none."""

    total: int
    part: bytes


NO_STATE_CHANGES: Final = StateChanges(0, b"")


def row_digest(row: Row) -> str:
    """What stands for a row in the part."""
    return stored_digest(row.version, row.status, row.created_at_us, row.due_at_us, row.body)


def stored_digest(version: int, status: str, created_at_us: int, due_at_us: int, body: bytes) -> str:
    """The same, from the columns."""
    head = orjson.dumps((version, status, created_at_us, due_at_us))
    return hashlib.sha256(head + body).hexdigest()


def state_changes(puts: Sequence[tuple[Row, Row | None]], moves: Sequence[CounterChange]) -> StateChanges:
    """What to say of rows that were written (each after what it took the place of) and of counters that were moved."""
    rows = [
        (
            *(row.key.table.value, row.key.tenant, row.key.id, row.version, row.status, row_digest(row)),
            row_digest(before) if before is not None else "",
        )
        for row, before in puts
        if row.key.table in PROVEN
    ]
    count = len(rows) + len(moves)
    if not count:
        return NO_STATE_CHANGES
    counters = [(*counter, *numbers) for counter, *numbers in moves]
    return StateChanges(count, orjson.dumps({"rows": rows, "counters": counters}))


def read_state(content: bytes) -> tuple[list[RowChange], list[CounterChange]]:
    """What `state_changes` said. ValueError when the bytes are not that."""
    try:
        said = orjson.loads(content)
        rows = [
            RowChange(RowKey(StateTable(table), tenant, row_id), version, status, digest, before)
            for table, tenant, row_id, version, status, digest, before in said["rows"]
        ]
        counters = [CounterChange(CounterKey(*each[:5]), *each[5:]) for each in said["counters"]]
    except (KeyError, TypeError, ValueError) as error:
        raise ValueError("not what Placet writes of state") from error
    texts = [text for each in rows for text in (each.key.tenant, each.key.id, each.status, each.digest, each.before)]
    texts += [text for each in counters for text in each.counter]
    numbers = [each.version for each in rows] + [number for each in counters for number in each[1:]]
    if not all(type(text) is str for text in texts) or not all(type(number) is int for number in numbers):
        raise ValueError("not what Placet writes of state: a member has the wrong type")
    return rows, counters
