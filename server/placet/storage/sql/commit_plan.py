"""What a commit does to a chain, whatever the engine: which commitments are new, and where the chain then ends."""

from __future__ import annotations

import os
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Final

from placet.audit.chain import Checkpoint, Head, LinkedRecord, link, merkle_root, salt_bytes
from placet.audit.records import Committed, Conflict, IdempotencyMismatch, IdempotentReplay
from placet.kernel.limits import CHECKPOINT_RECORDS_MAX

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from placet.audit.records import Commitment, CommitResult
    from placet.audit.state_record import StateChanges
    from placet.storage.sql.unit_of_work import UnitOfWork

STORED: Final = Committed()


@dataclass(frozen=True, slots=True)
class ChainState:
    """Where a writer's chain ends. `leaves` are those since the last checkpoint.

    `signed` is body and signature of the checkpoint that the last change of the chain signed, if it did.
    """

    writer: str
    head: Head = field(default_factory=Head)
    checkpoint_sequence: int = 0
    leaves: tuple[bytes, ...] = ()
    signed: tuple[bytes, bytes] | None = None


@dataclass(slots=True)
class CommitPlan:
    """What becomes of commitments before anything is written: a result for each, and those that are new.

    `states` is what each new one changes of state.
    """

    results: list[CommitResult] = field(default_factory=list)
    fresh: list[Commitment] = field(default_factory=list)
    states: list[StateChanges] = field(default_factory=list)


def screen(
    commitments: Sequence[Commitment],
    known: Callable[[Commitment], CommitResult | None],
    working: UnitOfWork,
) -> CommitPlan:
    """Look each idempotency key up: among those before it in the sequence, then by `known`, None for a new one.

    Then make the changes of a new one in `working`, if they hold.
    """
    screening = CommitPlan()
    seen: dict[tuple[str, str, str], Commitment] = {}
    for commitment in commitments:
        result: CommitResult | None = None
        if (given := commitment.idempotency) is not None:
            key = (commitment.tenant, given.caller, given.key)
            earlier = seen.get(key)
            result = known(commitment) if earlier is None else _repetition(earlier, given.request_digest)
        if result is None and (unheld := working.apply(commitment.changes)) is not None:
            result = Conflict(unheld)
        if result is None:
            screening.fresh.append(commitment)
            screening.states.append(working.applied())
            if given is not None:
                seen[commitment.tenant, given.caller, given.key] = commitment
        screening.results.append(result or STORED)
    return screening


def link_fresh(state: ChainState, screening: CommitPlan) -> list[LinkedRecord]:
    """The new commitments in their places at the end of the chain."""
    fresh, states = screening.fresh, screening.states
    return link(state.head, state.writer, fresh, states, os.urandom(salt_bytes(fresh, states)))


def advance(state: ChainState, linked: Sequence[LinkedRecord], signed: Checkpoint | None = None) -> ChainState:
    """The chain with the records linked to it, and then the checkpoint signed."""
    head = Head(linked[-1].sequence, linked[-1].hash) if linked else state.head
    if signed is not None:
        return ChainState(state.writer, head, signed.sequence)
    leaves = (*state.leaves, *(record.leaf for record in linked))
    return ChainState(state.writer, head, state.checkpoint_sequence, leaves)


def new_checkpoint(state: ChainState, key_id: str, signed_at_us: int) -> Checkpoint:
    """The checkpoint at the end of the chain."""
    return Checkpoint(
        writer=state.writer,
        sequence=state.head.sequence,
        head=state.head.hash.hex(),
        merkle_root=merkle_root(state.leaves).hex(),
        previous_sequence=state.checkpoint_sequence,
        signed_at_us=signed_at_us,
        key_id=key_id,
    )


def checkpoint_due(state: ChainState) -> bool:
    """Whether the chain has grown so far that the commit itself signs a checkpoint."""
    return state.head.sequence - state.checkpoint_sequence >= CHECKPOINT_RECORDS_MAX


def index_row(commitment: Commitment) -> tuple[str | None, ...]:
    """The columns that a record is found by, None where empty."""
    index = commitment.index
    decision_id = commitment.decision.decision_id if commitment.decision is not None else None
    index_columns = (
        index.effect,
        index.rule_id,
        index.tool,
        index.run_id,
        index.user,
        index.agent,
        commitment.subject,
    )
    return (decision_id, *(value or None for value in index_columns))


def _repetition(earlier: Commitment, request_digest: str) -> CommitResult:
    if earlier.idempotency is None or earlier.idempotency.request_digest != request_digest or earlier.decision is None:
        return IdempotencyMismatch()
    return IdempotentReplay(earlier.decision)
