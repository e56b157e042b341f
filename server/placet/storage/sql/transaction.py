"""One commit: what is done to the tables within one transaction, in whatever engine.

The caller begins and ends the transaction. Everything that was read is checked in it: the idempotency keys, and the
head of the chain, which moves only from where this writer believes it to be.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any

from placet.audit.chain import Head, checkpoint_body, parse_checkpoint, record_leaf, signed_bytes
from placet.audit.decision_codec import keys_swept_commitment
from placet.audit.records import IdempotencyMismatch, IdempotentReplay
from placet.kernel.state import PutIfVersion
from placet.storage.sql.commit_plan import (
    ChainState,
    advance,
    checkpoint_due,
    index_row,
    link_fresh,
    new_checkpoint,
    screen,
)
from placet.storage.sql.decision_reader import load_decision
from placet.storage.sql.state_tables import StateTables
from placet.storage.sql.unit_of_work import WriteSet, write_set

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping, Sequence

    from placet.audit.chain import LinkedRecord
    from placet.audit.records import Commitment, CommitResult
    from placet.kernel.state import Row
    from placet.signing.keys import SigningKey
    from placet.storage.sql.driver import Connection, Cursor
    from placet.storage.sql.statements import Statements

KeyPlace = tuple[str, str, str]
"""Where an idempotency key stands: tenant, caller, key."""


class ChainMovedError(Exception):
    """The chain is not where this writer left it."""


@dataclass(frozen=True, slots=True)
class Transaction:
    """Writes within a transaction that the caller began on `connection`."""

    connection: Connection
    sql: Statements
    signing_key: SigningKey

    @property
    def state(self) -> StateTables:
        """Rows and counters, in the same transaction."""
        return StateTables(self.connection, self.sql.state)

    def load(self, writer: str) -> ChainState:
        """The chain as it is stored; begun when there is none. ChainMovedError when its end does not fit together."""
        row = self.connection.execute(self.sql.chains.head, (writer,)).fetchone()
        if row is None:
            self.connection.execute(self.sql.chains.insert, (writer, 0, Head().hash, 0))
            return ChainState(writer)
        sequence, head_hash, checkpoint_sequence = row
        records = self.connection.execute(self.sql.records.bodies_after, (writer, checkpoint_sequence)).fetchall()
        whole = len(records) == sequence - checkpoint_sequence
        if not whole or (records and tuple(records[-1][::2]) != (sequence, head_hash)):
            raise ChainMovedError(f"the chain of {writer!a} does not end where its writer left it, at {sequence}")
        leaves = tuple(record_leaf(body) for _, body, _ in records)
        return ChainState(writer, Head(sequence, head_hash), checkpoint_sequence, leaves)

    def commit(
        self, state: ChainState, commitments: Sequence[Commitment], now_us: Callable[[], int]
    ) -> tuple[list[CommitResult], ChainState]:
        """Write what is new. The results, and the chain as it is when the transaction is committed."""
        moved_at_us = now_us()
        working = self.state.load(write_set(commitments), moved_at_us)
        keys = self._keys(commitments)
        screening = screen(commitments, lambda commitment: self._known(commitment, keys), working)
        if not screening.fresh:
            return screening.results, state
        linked = link_fresh(state, screening)
        advanced = advance(state, linked)
        if checkpoint_due(advanced):
            advanced = self._sign(advanced, moved_at_us)
        with self.connection.together():
            moved = self._move(state, advanced)
            self._insert(state.writer, linked, keys)
            self.state.save(working, moved_at_us)
        _require_moved(moved, state)
        return screening.results, advanced

    def put_unaudited(self, rows: Sequence[Row], now_us: int) -> list[bool]:
        """Write each that is still at its version; which of them were. No record tells of it."""
        working = self.state.load(WriteSet(sorted({row.key for row in rows}), (), ()), now_us)
        held = [working.apply((PutIfVersion(row),)) is None for row in rows]
        self.state.save(working, now_us)
        return held

    def purge_idempotency_keys(
        self, state: ChainState, before_us: int, limit: int, now_us: int
    ) -> tuple[int, ChainState]:
        """Forget keys of decisions made before then, and record that it was done."""
        old = self.connection.execute(self.sql.keys.decided_before, (before_us, limit)).fetchall()
        if not old:
            return 0, state
        self.connection.executemany(self.sql.keys.delete, [key for *key, _ in old])
        swept_us = old[-1][-1] + 1  # not later than needed: verifying misses no key of a decision made since
        _, advanced = self.commit(state, [keys_swept_commitment(swept_us, len(old), now_us)], lambda: now_us)
        return len(old), advanced

    def checkpoint(self, state: ChainState, now_us: int) -> ChainState:
        """Sign the end of the chain."""
        advanced = self._sign(state, now_us)
        _require_moved(self._move(state, advanced), state)
        return advanced

    def touch(self, state: ChainState) -> None:
        """Write the end of the chain as it stands: a transaction that writes nothing succeeds where no commit would."""
        _require_moved(self._move(state, state), state)

    def record_hash(self, writer: str, sequence: int) -> bytes | None:
        """The hash of a record of the chain; None when there is none."""
        row = self.connection.execute(self.sql.records.hash_at, (writer, sequence)).fetchone()
        return row[0] if row is not None else None

    def newest_key_id(self, writer: str) -> str:
        """The id of the key that signed the writer's newest checkpoint; "" before the first. ValueError: unreadable."""
        row = self.connection.execute(self.sql.checkpoints.newest, (writer,)).fetchone()
        return parse_checkpoint(row[2]).key_id if row is not None else ""

    def _keys(self, commitments: Sequence[Commitment]) -> dict[KeyPlace, Any]:
        """What is stored under the idempotency keys of the commitments, all looked up at once."""
        places = list({place for each in commitments if (place := _key_place(each)) is not None})
        found = self.connection.fetch_each(self.sql.keys.stored, places)
        return {place: row for place, row in zip(places, found, strict=True) if row is not None}

    def _known(self, commitment: Commitment, keys: Mapping[KeyPlace, Any]) -> CommitResult | None:
        given, place = commitment.idempotency, _key_place(commitment)
        row = keys.get(place) if place is not None else None
        if given is None or row is None:
            return None
        digest, decision_id, writer, sequence, *_ = row
        if digest != given.request_digest:
            return IdempotencyMismatch()
        if decision_id == given.replaces:
            return None
        stored = (commitment.tenant, writer, sequence)
        return IdempotentReplay(load_decision(self.connection, self.sql, stored).decision)

    def _insert(self, writer: str, linked: Sequence[LinkedRecord], known: Mapping[KeyPlace, Any]) -> None:
        records, parts, keys, replaced = [], [], [], []
        for record in linked:
            commitment = record.commitment
            tenant, sequence = commitment.tenant, record.sequence
            place = (tenant, writer, sequence)
            end = (record.body, record.previous_hash, record.hash)
            index_columns = index_row(commitment)
            records.append((*place, commitment.kind.value, commitment.recorded_at_us, *index_columns, *end))
            parts += [(*place, *part) for part in record.parts]
            if (given := commitment.idempotency) is not None:
                key = (tenant, given.caller, given.key)
                replaced += [(*key, given.replaces)] if given.replaces else []
                since_us = commitment.recorded_at_us
                if given.replaces and key in known:  # kept as long as any that it stood for, though clocks differ
                    since_us = max(since_us, known[key][-1])
                made = (given.request_digest, index_columns[0], writer, sequence, given.replaces, since_us)
                keys.append((*key, *made))
        self.connection.executemany(self.sql.records.insert, records)
        self.connection.executemany(self.sql.parts.insert, parts)
        if replaced:
            self.connection.executemany(self.sql.keys.delete_replaced, sorted(replaced))
        self.connection.executemany(self.sql.keys.insert, sorted(keys))  # replicas insert in one order: no deadlock

    def _sign(self, state: ChainState, now_us: int) -> ChainState:
        checkpoint = new_checkpoint(state, self.signing_key.key_id, now_us)
        body = checkpoint_body(checkpoint)
        signature = self.signing_key.sign(signed_bytes(body))
        self.connection.execute(self.sql.checkpoints.insert, (checkpoint.writer, checkpoint.sequence, body, signature))
        return replace(advance(state, (), checkpoint), signed=(body, signature))

    def _move(self, old: ChainState, new: ChainState) -> Cursor:
        moved = self.connection.execute(
            self.sql.chains.move_head,
            (new.head.sequence, new.head.hash, new.checkpoint_sequence, old.writer, old.head.sequence, old.head.hash),
        )
        if moved.rowcount == 0:  # where the answer is there already; it is looked at again when it is everywhere
            _require_moved(moved, old)
        return moved


def _require_moved(moved: Cursor, old: ChainState) -> None:
    if moved.rowcount != 1:
        raise ChainMovedError(f"the chain of {old.writer!a} is no longer at {old.head.sequence}")


def _key_place(commitment: Commitment) -> KeyPlace | None:
    given = commitment.idempotency
    return (commitment.tenant, given.caller, given.key) if given is not None else None
