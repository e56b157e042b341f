"""Plans a commit on any engine: which commitments are new, and where the chain ends afterwards."""

from __future__ import annotations

import os
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Final

from msgspec import Struct

from placet.audit.chain import Checkpoint, Head, LinkedRecord, link, merkle_root, salt_bytes
from placet.audit.records import Committed, Conflict, IdempotencyMismatch, IdempotentReplay
from placet.kernel.limits import CHECKPOINT_RECORDS_MAX

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from placet.audit.records import Commitment, CommitResult
    from placet.audit.state_record import StateChanges
    from placet.storage.sql.unit_of_work import UnitOfWork

COMMITTED: Final = Committed()
START: Final = Head()
"""The end of a chain without records."""


class ChainState(Struct, frozen=True, gc=False):
    """The end of a writer's chain."""

    writer: str
    head: Head = START
    checkpoint_sequence: int = 0
    leaves: tuple[bytes, ...] = ()
    """The leaves of the records since the last checkpoint."""
    signed: tuple[bytes, bytes] | None = None
    """Body and signature of the checkpoint that the last change of the chain signed, if any."""


@dataclass(slots=True)
class CommitPlan:
    """The outcome of commitments before anything is written."""

    results: list[CommitResult] = field(default_factory=list)
    """One result for each commitment."""
    to_write: list[Commitment] = field(default_factory=list)
    """The new commitments."""
    states: list[StateChanges] = field(default_factory=list)
    """The state changes of each new commitment."""


def plan_commit(
    commitments: Sequence[Commitment],
    known: Callable[[Commitment], CommitResult | None] | None,
    unit: UnitOfWork,
) -> CommitPlan:
    """Look up the idempotency key of each commitment, then apply the state changes of the new ones to `unit`.

    A key is looked up among the earlier commitments of the sequence, then with `known`, which returns None for a new
    key. `known` is None when all keys are new.
    """
    plan = CommitPlan()
    seen: dict[tuple[str, str, str], Commitment] = {}
    for commitment in commitments:
        result: CommitResult | None = None
        if (idempotency := commitment.idempotency) is not None:
            place = (commitment.tenant, idempotency.caller, idempotency.key)
            earlier = seen.get(place)
            if earlier is not None:
                result = _repeat_result(earlier, idempotency.request_digest)
            elif known is not None:
                result = known(commitment)
        if result is None and (failed_change := unit.apply(commitment.changes)) is not None:
            result = Conflict(failed_change)
        if result is None:
            plan.to_write.append(commitment)
            plan.states.append(unit.applied())
            if idempotency is not None:
                seen[place] = commitment
        plan.results.append(result or COMMITTED)
    return plan


def link_planned(state: ChainState, plan: CommitPlan) -> list[LinkedRecord]:
    """Link the new commitments to the end of the chain."""
    commitments, states = plan.to_write, plan.states
    return link(state.head, state.writer, commitments, states, os.urandom(salt_bytes(commitments, states)))


def advance(state: ChainState, linked: Sequence[LinkedRecord], signed: Checkpoint | None = None) -> ChainState:
    """Return the chain's end after the linked records, and after the checkpoint if one was signed."""
    head = Head(linked[-1].sequence, linked[-1].hash) if linked else state.head
    if signed is not None:
        return ChainState(state.writer, head, signed.sequence)
    leaves = (*state.leaves, *[record.leaf for record in linked])
    return ChainState(state.writer, head, state.checkpoint_sequence, leaves)


def new_checkpoint(state: ChainState, key_id: str, signed_at_us: int) -> Checkpoint:
    """Return a checkpoint of the chain's end."""
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
    """Return whether the chain has grown so far that the commit itself signs a checkpoint."""
    return state.head.sequence - state.checkpoint_sequence >= CHECKPOINT_RECORDS_MAX


def index_row(commitment: Commitment) -> tuple[str | None, ...]:
    """Return the index columns of a record, None where empty."""
    index = commitment.index
    return (
        commitment.decision.decision_id if commitment.decision is not None else None,
        index.effect or None,
        index.rule_id or None,
        index.tool or None,
        index.run_id or None,
        index.user or None,
        index.agent or None,
        commitment.subject or None,
    )


def _repeat_result(earlier: Commitment, request_digest: str) -> CommitResult:
    if earlier.idempotency is None or earlier.idempotency.request_digest != request_digest or earlier.decision is None:
        return IdempotencyMismatch()
    return IdempotentReplay(earlier.decision)
