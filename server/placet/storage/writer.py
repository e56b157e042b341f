"""The one writer of a chain, in whatever engine: what it does in a transaction, and what it remembers between them."""

from __future__ import annotations

from abc import ABC, abstractmethod
from typing import TYPE_CHECKING, TypeVar

from placet.audit.chain import parse_checkpoint
from placet.audit.records import Committed
from placet.audit.trail_break import NEW_TRAIL
from placet.kernel.errors import ConfigurationError
from placet.storage.newest import check_newest
from placet.storage.sql.commit_plan import ChainState
from placet.storage.sql.decision_reader import StoredTrail
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
    """Commits. Lives in one thread; after any failure it begins anew from what is stored.

    Every method raises what the driver or the system raises, and nothing was written then, unless told otherwise.
    """

    def __init__(self, writer: str, signing_key: SigningKey, clock: Clock) -> None:
        self._writer = writer
        self._signing_key = signing_key
        self._clock = clock
        self._state = ChainState(writer)
        self.on_moved: Callable[[Head], None] = _nobody
        self.on_signed: Callable[[bytes, bytes], None] = _nobody
        self.on_recorded: Callable[[int], None] = _nobody

    @property
    @abstractmethod
    def where(self) -> str:
        """The database, as people know it."""

    @property
    @abstractmethod
    def connected(self) -> bool:
        """Whether `_state` is known to be the end of the chain."""

    @abstractmethod
    def close(self) -> None:
        """Give the connection back; the next commit would open another."""

    def finish(self) -> None:
        """Give the connection back for good."""
        self.close()

    @abstractmethod
    def _transact(self, work: Callable[[Transaction, ChainState], tuple[Result, ChainState]]) -> Result:
        """Run the work in one transaction; the state moves on only when it was committed."""

    @property
    def records_since_checkpoint(self) -> int:
        """Records that no checkpoint covers yet."""
        state = self._state
        return state.head.sequence - state.checkpoint_sequence

    def _load(self, transaction: Transaction) -> ChainState:
        """Load the chain as it is stored, before anything is written on a new connection.

        ChainMovedError when the record at which this writer left it is not there: while the server ran, the database
        was emptied, or replaced by an older or another one, and what was acknowledged is lost.
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
        """Connect, and find the end of the chain. ConfigurationError when another key signed it."""
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
        """All in one transaction, durable when it returns."""
        results = self._telling(lambda transaction, state: transaction.commit(state, commitments, self._clock.wall_us))
        pairs = zip(commitments, results, strict=True)
        if made_us := [each.recorded_at_us for each, result in pairs if isinstance(result, Committed)]:
            self.on_recorded(max(made_us))
        return results

    def put_unaudited(self, rows: Sequence[Row]) -> list[bool]:
        """Write rows without a record; which of them were still at their version."""
        return self._transact(
            lambda transaction, state: (transaction.put_unaudited(rows, self._clock.wall_us()), state)
        )

    def purge_idempotency_keys(self, before_us: int, limit: int) -> int:
        """Forget old idempotency keys; how many."""
        return self._telling(
            lambda transaction, state: transaction.purge_idempotency_keys(
                state, before_us, limit, self._clock.wall_us()
            )
        )

    def checkpoint(self) -> None:
        """Sign what no checkpoint covers yet."""
        if not self.connected or self.records_since_checkpoint:
            self._telling(self._checkpoint)

    def probe(self) -> None:
        """Raise what a commit would raise, as far as that can be told without one. It writes what stands there."""
        self._telling(self._probe)

    def check_newest(self, keys: Verifier) -> VerifyReport:
        """Check the newest end of the chain as it is stored. Changes nothing."""
        return self._transact(
            lambda transaction, state: (
                check_newest(StoredTrail(transaction.connection, transaction.sql), self._writer, keys),
                state,
            )
        )

    def _telling(self, work: Callable[[Transaction, ChainState], tuple[Result, ChainState]]) -> Result:
        """Run the work in one transaction; once durable, tell where the chain ends now, and what was signed."""
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


def _nobody(*_: object) -> None:
    """Until somebody wants to know."""
