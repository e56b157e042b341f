"""One commit: everything that happens to the tables within one transaction, on any engine.

The caller begins and ends the transaction. The transaction checks everything that was read: the idempotency keys, and
the head of the chain, which moves only from where this writer left it.
"""

from __future__ import annotations

from itertools import chain
from typing import TYPE_CHECKING, Any, Final

from msgspec import Struct
from msgspec.structs import replace

from placet.audit.chain import Head, checkpoint_body, parse_checkpoint, record_leaf, signed_bytes
from placet.audit.decision_codec import keys_purged_commitment
from placet.audit.records import IdempotencyMismatch, IdempotentReplay, RecordKind
from placet.kernel.state import PutIfVersion
from placet.storage.sql.commit_plan import (
    ChainState,
    advance,
    checkpoint_due,
    index_row,
    link_planned,
    new_checkpoint,
    plan_commit,
)
from placet.storage.sql.readers.decision_reader import load_decision
from placet.storage.sql.state_tables import StateTables
from placet.storage.sql.unit_of_work import WriteSet, write_set

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping, Sequence

    from placet.audit.chain import LinkedRecord
    from placet.audit.records import Commitment, CommitResult
    from placet.kernel.state import Row
    from placet.signing.keys import SigningKey
    from placet.storage.sql.driver import Connection, Cursor
    from placet.storage.sql.statements.dialect import Statements
    from placet.storage.state_cache import StateCache

KeyPlace = tuple[str, str, str]
"""An idempotency key: tenant, caller, key."""
_KINDS: Final = {kind: kind.value for kind in RecordKind}
"""Plain texts, which drivers convert faster than members of an enumeration."""


class ChainMovedError(Exception):
    """The stored chain does not end where this writer left it."""


class Transaction(Struct, frozen=True):
    """Writes within a transaction that the caller began on `connection`."""

    connection: Connection
    sql: Statements
    signing_key: SigningKey
    cache: StateCache | None = None
    """Rows and counters that need not be read; None when other processes may change them at any time."""

    @property
    def state(self) -> StateTables:
        """Rows and counters, in the same transaction."""
        return StateTables(self.connection, self.sql, self.cache)

    def load(self, writer: str) -> ChainState:
        """Return the stored end of the chain. Creates the chain if there is none.

        Raises ChainMovedError when the stored head and the last records do not fit together.
        """
        row = self.connection.execute(self.sql.chains.head, (writer,)).fetchone()
        if row is None:
            self.connection.execute(self.sql.chains.insert, (writer, 0, Head().hash, 0))
            return ChainState(writer)
        sequence, head_hash, checkpoint_sequence = row
        records = self.connection.execute(self.sql.records.bodies_after, (writer, checkpoint_sequence)).fetchall()
        complete = len(records) == sequence - checkpoint_sequence
        if not complete or (records and tuple(records[-1][::2]) != (sequence, head_hash)):
            raise ChainMovedError(f"the chain of {writer!a} does not end where its writer left it, at {sequence}")
        leaves = tuple(record_leaf(body) for _, body, _ in records)
        return ChainState(writer, Head(sequence, head_hash), checkpoint_sequence, leaves)

    def commit(
        self, state: ChainState, commitments: Sequence[Commitment], now_us: Callable[[], int]
    ) -> tuple[list[CommitResult], ChainState]:
        """Write the new commitments. Return the results, and the chain's end once the transaction is committed."""
        written_at_us = now_us()
        tables = self.state
        unit = tables.load(write_set(commitments), written_at_us)
        keys = self._keys(commitments)
        known = (lambda commitment: self._known(commitment, keys)) if keys else None
        plan = plan_commit(commitments, known, unit)
        if not plan.to_write:
            return plan.results, state
        linked = link_planned(state, plan)
        advanced = advance(state, linked)
        if checkpoint_due(advanced):
            advanced = self._sign(advanced, written_at_us)
        with self.connection.together():
            update = self._move(state, advanced)
            self._insert(state.writer, linked, keys)
            tables.save(unit, written_at_us)
        _require_moved(update, state)
        return plan.results, advanced

    def put_unaudited(self, rows: Sequence[Row], now_us: int) -> list[bool]:
        """Write each row that is still at its version, without a record. Return which of them were."""
        unit = self.state.load(WriteSet(list({row.key for row in rows}), (), ()), now_us)
        written = [unit.apply((PutIfVersion(row),)) is None for row in rows]
        self.state.save(unit, now_us)
        return written

    def purge_idempotency_keys(
        self, state: ChainState, before_us: int, limit: int, now_us: int
    ) -> tuple[int, ChainState]:
        """Delete keys of decisions made before `before_us`, and record that. Return how many were deleted."""
        old = self.connection.execute(self.sql.keys.decided_before, (before_us, limit)).fetchall()
        if not old:
            return 0, state
        self.connection.executemany(self.sql.keys.delete, [key for *key, _ in old])
        purged_us = old[-1][-1] + 1  # not later than needed, so that verification still checks all newer keys
        _, advanced = self.commit(state, [keys_purged_commitment(purged_us, len(old), now_us)], lambda: now_us)
        return len(old), advanced

    def checkpoint(self, state: ChainState, now_us: int) -> ChainState:
        """Sign a checkpoint of the chain's end."""
        advanced = self._sign(state, now_us)
        _require_moved(self._move(state, advanced), state)
        return advanced

    def touch(self, state: ChainState) -> None:
        """Write the chain's end unchanged, because a transaction without a write can succeed where no commit would."""
        _require_moved(self._move(state, state), state)

    def record_hash(self, writer: str, sequence: int) -> bytes | None:
        """Return the hash of a record of the chain, or None."""
        row = self.connection.execute(self.sql.records.hash_at, (writer, sequence)).fetchone()
        return row[0] if row is not None else None

    def newest_key_id(self, writer: str) -> str:
        """Return the id of the key that signed the writer's newest checkpoint; empty before the first.

        Raises ValueError when the checkpoint is unreadable.
        """
        row = self.connection.execute(self.sql.checkpoints.newest, (writer,)).fetchone()
        return parse_checkpoint(row[2]).key_id if row is not None else ""

    def _keys(self, commitments: Sequence[Commitment]) -> dict[KeyPlace, Any]:
        """Return what is stored under the idempotency keys of the commitments, with one query."""
        named = [(item.tenant, key) for item in commitments if (key := item.idempotency) is not None]
        places = list({(tenant, key.caller, key.key): None for tenant, key in named})
        rows = self.connection.look_up(self.sql.bulk.stored_keys, places)
        return {place: row for place, row in zip(places, rows, strict=True) if row is not None}

    def _known(self, commitment: Commitment, keys: Mapping[KeyPlace, Any]) -> CommitResult | None:
        """Return the result for a commitment whose idempotency key is stored; None for a new one."""
        idempotency, place = commitment.idempotency, _key_place(commitment)
        row = keys.get(place) if place is not None else None
        if idempotency is None or row is None:
            return None
        digest, decision_id, writer, sequence, *_ = row
        if digest != idempotency.request_digest:
            return IdempotencyMismatch()
        if decision_id == idempotency.replaces:
            return None
        stored = (commitment.tenant, writer, sequence)
        return IdempotentReplay(load_decision(self.connection, self.sql, stored).decision)

    def _insert(self, writer: str, linked: Sequence[LinkedRecord], known: Mapping[KeyPlace, Any]) -> None:
        """Insert records, parts and idempotency keys. `known` is what is stored under the keys."""
        bulk = self.sql.bulk
        records: list[Any] = []
        parts: list[Any] = []
        keys, replaced = [], []
        for record in linked:
            commitment = record.commitment
            tenant, sequence = commitment.tenant, record.sequence
            index_columns = index_row(commitment)
            records += (tenant, writer, sequence, _KINDS[commitment.kind], commitment.recorded_at_us)
            records += index_columns
            records += (record.body, record.previous_hash, record.hash)
            for name, salt, content in record.parts:
                parts += (tenant, writer, sequence, name, salt, content)
            if (idempotency := commitment.idempotency) is not None:
                key = (tenant, idempotency.caller, idempotency.key)
                replaced += [(*key, idempotency.replaces)] if idempotency.replaces else []
                since_us = commitment.recorded_at_us
                # A key is purged no earlier than the decisions it referred to before, although clocks differ.
                if idempotency.replaces and key in known:
                    since_us = max(since_us, known[key][-1])
                value = (idempotency.request_digest, index_columns[0], writer, sequence, idempotency.replaces, since_us)
                keys.append((*key, *value))
        self.connection.write_rows(bulk.insert_records, records)
        self.connection.write_rows(bulk.insert_parts, parts)
        if replaced:
            self.connection.executemany(self.sql.keys.delete_replaced, sorted(replaced))
        keys.sort()  # one order on all replicas avoids deadlocks
        self.connection.write_rows(bulk.insert_keys, list(chain.from_iterable(keys)))

    def _sign(self, state: ChainState, now_us: int) -> ChainState:
        checkpoint = new_checkpoint(state, self.signing_key.key_id, now_us)
        body = checkpoint_body(checkpoint)
        signature = self.signing_key.sign(signed_bytes(body))
        self.connection.execute(self.sql.checkpoints.insert, (checkpoint.writer, checkpoint.sequence, body, signature))
        return replace(advance(state, (), checkpoint), signed=(body, signature))

    def _move(self, old: ChainState, new: ChainState) -> Cursor:
        update = self.connection.execute(
            self.sql.chains.move_head,
            (new.head.sequence, new.head.hash, new.checkpoint_sequence, old.writer, old.head.sequence, old.head.hash),
        )
        if update.rowcount == 0:  # already known on SQLite; a pipeline knows it at its end, where it is checked again
            _require_moved(update, old)
        return update


def _require_moved(update: Cursor, old: ChainState) -> None:
    if update.rowcount != 1:
        raise ChainMovedError(f"the chain of {old.writer!a} is no longer at {old.head.sequence}")


def _key_place(commitment: Commitment) -> KeyPlace | None:
    idempotency = commitment.idempotency
    return (commitment.tenant, idempotency.caller, idempotency.key) if idempotency is not None else None
