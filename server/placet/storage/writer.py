"""The writer of a chain on any engine: what it does in a transaction, and what it remembers between transactions."""

from __future__ import annotations

from abc import ABC, abstractmethod
from typing import TYPE_CHECKING, TypeVar

from placet.audit.chain import parse_checkpoint
from placet.audit.records import Committed
from placet.audit.trail_break import NEW_TRAIL
from placet.kernel.errors import ConfigurationError
from placet.storage.newest import check_newest
from placet.storage.sql.commit_plan import ChainState
from placet.storage.sql.readers.decision_reader import StoredTrail
from placet.storage.sql.transaction import ChainMovedError

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from placet.audit.chain import Head
    from placet.audit.records import Commitment, CommitResult, VerifyReport
    from placet.kernel.clock import Clock
    from placet.kernel.state import Row
    from placet.signing.keys import SigningKey, Verifier
    from placet.storage.sql.transaction import Transaction

Result = TypeVar("Result")


class ChainWriter(ABC):
    """Writes one chain. Lives in one thread; after a failure it continues from what is stored.

    Every method raises what the driver or the system raises. Then nothing was written, unless the method says
    otherwise.
    """

    def __init__(self, writer: str, signing_key: SigningKey, clock: Clock) -> None:
        self._writer = writer
        self._signing_key = signing_key
        self._clock = clock
        self._state = ChainState(writer)
        self.on_moved: Callable[[Head], None] = _ignore
        """Receives the new head after each transaction that moved it."""
        self.on_signed: Callable[[bytes, bytes], None] = _ignore
        """Receives body and signature of each new checkpoint."""
        self.on_recorded: Callable[[int], None] = _ignore
        """Receives the newest time that a transaction recorded or signed, in microseconds."""

    @property
    @abstractmethod
    def where(self) -> str:
        """The database, as messages name it."""

    @property
    @abstractmethod
    def connected(self) -> bool:
        """Whether there is a connection, so that `_state` is the stored end of the chain."""

    @abstractmethod
    def close(self) -> None:
        """Close the connection. The next commit opens another."""

    def finish(self) -> None:
        """Close the connection for good."""
        self.close()

    @abstractmethod
    def _transact(self, work: Callable[[Transaction, ChainState], tuple[Result, ChainState]]) -> Result:
        """Run the work in one transaction. `_state` changes only when it was committed."""

    @property
    def records_since_checkpoint(self) -> int:
        """How many records no checkpoint covers yet."""
        state = self._state
        return state.head.sequence - state.checkpoint_sequence

    def _load(self, transaction: Transaction) -> ChainState:
        """Load the stored end of the chain, before the first write on a new connection.

        Raises ChainMovedError when the record where this writer left the chain is gone. Then the database was emptied
        or replaced by an older or another one while the server ran, and acknowledged records are lost.
        """
        stored, known = transaction.load(self._writer), self._state.head
        if known.sequence and transaction.record_hash(self._writer, known.sequence) != known.hash:
            raise ChainMovedError(
                f"{self.where}: was replaced while the server runs: record {known.sequence} of {self._writer} was "
                f"acknowledged and is not in it, the chain ends at {stored.head.sequence}. Stop the server and put the "
                f"right database back; to go on without what is lost, run {NEW_TRAIL}"
            )
        return stored

    def open(self) -> None:
        """Connect and load the end of the chain. Raises ConfigurationError when another key signed it."""
        self._transact(lambda _, state: (None, state))
        newest = self._transact(lambda transaction, state: (transaction.newest_key_id(self._writer), state))
        if newest and newest != self._signing_key.key_id:
            self.close()
            raise ConfigurationError(
                f"{self.where}: its checkpoints are signed with the key {newest}, this server has "
                f"{self._signing_key.key_id}; restore that key, or move the database aside and run "
                f"{NEW_TRAIL}"
            )

    def commit(self, commitments: Sequence[Commitment]) -> list[CommitResult]:
        """Commit all in one transaction, durable when it returns. Return one result for each."""
        results = self._transact_and_notify(
            lambda transaction, state: transaction.commit(state, commitments, self._clock.wall_us)
        )
        pairs = zip(commitments, results, strict=True)
        if times := [commitment.recorded_at_us for commitment, result in pairs if type(result) is Committed]:
            self.on_recorded(max(times))
        return results

    def put_unaudited(self, rows: Sequence[Row]) -> list[bool]:
        """Write rows without a record. Return which of them were still at their version."""
        return self._transact(
            lambda transaction, state: (transaction.put_unaudited(rows, self._clock.wall_us()), state)
        )

    def purge_idempotency_keys(self, before_us: int, limit: int) -> int:
        """Delete old idempotency keys. Return how many were deleted."""
        return self._transact_and_notify(
            lambda transaction, state: transaction.purge_idempotency_keys(
                state, before_us, limit, self._clock.wall_us()
            )
        )

    def checkpoint(self) -> None:
        """Sign a checkpoint over the records that none covers yet."""
        if not self.connected or self.records_since_checkpoint:
            self._transact_and_notify(self._checkpoint)

    def probe(self) -> None:
        """Raise what a commit would raise, as far as that shows without one. Writes the stored head again."""
        self._transact_and_notify(self._probe)

    def check_newest(self, keys: Verifier) -> VerifyReport:
        """Verify the newest part of the stored chain. Changes nothing."""
        return self._transact(
            lambda transaction, state: (
                check_newest(StoredTrail(transaction.connection, transaction.sql), self._writer, keys),
                state,
            )
        )

    def _transact_and_notify(self, work: Callable[[Transaction, ChainState], tuple[Result, ChainState]]) -> Result:
        """Run the work in one transaction. Once it is durable, report the new head and what was signed."""
        before = self._state
        result = self._transact(work)
        after = self._state
        if after.head != before.head:
            self.on_moved(after.head)
        if after.signed is not None and after.signed is not before.signed:
            self.on_recorded(parse_checkpoint(after.signed[0]).signed_at_us)
            self.on_signed(*after.signed)
        return result

    def _checkpoint(self, transaction: Transaction, state: ChainState) -> tuple[None, ChainState]:
        due = state.head.sequence > state.checkpoint_sequence
        return None, transaction.checkpoint(state, self._clock.wall_us()) if due else state

    def _probe(self, transaction: Transaction, state: ChainState) -> tuple[None, ChainState]:
        transaction.touch(state)
        return self._checkpoint(transaction, state)


def _ignore(*_: object) -> None:
    """The default of the callbacks."""
