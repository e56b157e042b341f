"""One commit: what is done to the tables within one transaction, in whatever engine.

The caller begins and ends the transaction. Everything that was read is checked in it: the idempotency keys, and the
head of the chain, which moves only from where this writer believes it to be.
"""

from __future__ import annotations

import os
from dataclasses import dataclass
from typing import TYPE_CHECKING

from placet.core.chain import Head, checkpoint_body, link, parse_checkpoint, record_leaf, salt_bytes, signed_bytes
from placet.core.records import KeyReused, Repeated
from placet.store.reading import load_decision
from placet.store.state import ChainState, advance, checkpoint_due, index_row, new_checkpoint, screen

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from placet.core.chain import LinkedRecord
    from placet.core.records import Commitment, CommitResult
    from placet.store.driver import Connection
    from placet.store.keys import SigningKey
    from placet.store.statements import Statements


class ChainMovedError(Exception):
    """The chain is not where this writer left it."""


@dataclass(frozen=True, slots=True)
class Transaction:
    """Writes within a transaction that the caller began on `connection`."""

    connection: Connection
    sql: Statements
    signing_key: SigningKey

    def load(self, writer: str) -> ChainState:
        """The chain as it is stored; begun when there is none. ChainMovedError when its end does not fit together."""
        row = self.connection.execute(self.sql.head, (writer,)).fetchone()
        if row is None:
            self.connection.execute(self.sql.insert_writer, (writer, 0, Head().hash, 0))
            return ChainState(writer)
        sequence, head_hash, checkpoint_sequence = row
        records = self.connection.execute(self.sql.since, (writer, checkpoint_sequence)).fetchall()
        whole = len(records) == sequence - checkpoint_sequence
        if not whole or (records and tuple(records[-1][::2]) != (sequence, head_hash)):
            raise ChainMovedError(f"the chain of {writer!a} does not end where its writer left it, at {sequence}")
        leaves = tuple(record_leaf(body) for _, body, _ in records)
        return ChainState(writer, Head(sequence, head_hash), checkpoint_sequence, leaves)

    def commit(
        self, state: ChainState, commitments: Sequence[Commitment], now_us: Callable[[], int]
    ) -> tuple[list[CommitResult], ChainState]:
        """Write what is new. The results, and the chain as it is when the transaction is committed."""
        screening = screen(commitments, self._known)
        if not screening.fresh:
            return screening.results, state
        linked = link(state.head, state.writer, screening.fresh, os.urandom(salt_bytes(screening.fresh)))
        advanced = advance(state, linked)
        if checkpoint_due(advanced):
            advanced = self._sign(advanced, now_us())
        self._move(state, advanced)
        self._insert(state.writer, linked)
        return screening.results, advanced

    def checkpoint(self, state: ChainState, now_us: int) -> ChainState:
        """Sign the end of the chain."""
        advanced = self._sign(state, now_us)
        self._move(state, advanced)
        return advanced

    def newest_key_id(self, writer: str) -> str:
        """The id of the key that signed the writer's newest checkpoint; "" before the first. ValueError: unreadable."""
        row = self.connection.execute(self.sql.newest_checkpoint, (writer,)).fetchone()
        return parse_checkpoint(row[2]).key_id if row is not None else ""

    def _known(self, commitment: Commitment) -> CommitResult | None:
        given = commitment.idempotency
        if given is None:
            return None
        row = self.connection.execute(self.sql.key, (commitment.tenant, given.caller, given.key)).fetchone()
        if row is None:
            return None
        digest, _, writer, sequence = row
        if digest != given.request_digest:
            return KeyReused()
        place = (commitment.tenant, writer, sequence)
        return Repeated(load_decision(self.connection, self.sql, place).decision)

    def _insert(self, writer: str, linked: Sequence[LinkedRecord]) -> None:
        records, parts, keys = [], [], []
        for record in linked:
            commitment = record.commitment
            tenant, sequence = commitment.tenant, record.sequence
            place = (tenant, writer, sequence)
            end = (record.body, record.previous_hash, record.hash)
            found_by = index_row(commitment)
            records.append((*place, commitment.kind.value, commitment.recorded_at_us, *found_by, *end))
            parts += [(*place, *part) for part in record.parts]
            if (given := commitment.idempotency) is not None:
                keys.append((tenant, given.caller, given.key, given.request_digest, found_by[0], writer, sequence))
        self.connection.executemany(self.sql.insert_record, records)
        self.connection.executemany(self.sql.insert_part, parts)
        self.connection.executemany(self.sql.insert_key, keys)

    def _sign(self, state: ChainState, now_us: int) -> ChainState:
        checkpoint = new_checkpoint(state, self.signing_key.key_id, now_us)
        body = checkpoint_body(checkpoint)
        signature = self.signing_key.sign(signed_bytes(body))
        self.connection.execute(self.sql.insert_checkpoint, (checkpoint.writer, checkpoint.sequence, body, signature))
        return advance(state, (), checkpoint)

    def _move(self, old: ChainState, new: ChainState) -> None:
        moved = self.connection.execute(
            self.sql.move_head,
            (new.head.sequence, new.head.hash, new.checkpoint_sequence, old.writer, old.head.sequence, old.head.hash),
        )
        if moved.rowcount != 1:
            raise ChainMovedError(f"the chain of {old.writer!a} is no longer at {old.head.sequence}")
