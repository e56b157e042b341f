"""Step 6 of a decision: hand out what was committed, or the stored decision of the idempotency key."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, TypeAlias

from placet.audit.records import Conflict, IdempotencyMismatch, IdempotentReplay
from placet.kernel.errors import IdempotencyConflictError, PlacetError
from placet.kernel.model import Decision

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from placet.audit.records import Commitment, CommitResult
    from placet.controls.snapshot import ControlState
    from placet.decision.attempt import Attempt
    from placet.decision.context import EvaluationContext
    from placet.decision.idempotency import Replays

Answer: TypeAlias = Decision | IdempotencyConflictError
"""What the caller of one request gets."""


@dataclass(frozen=True, slots=True)
class Replies:
    """Fills in answers by Attempt.index, and returns the attempts to make once more."""

    replays: Replays
    controls: ControlState
    on_error: Callable[[BaseException], None]

    async def of_results(
        self,
        committed: Sequence[tuple[EvaluationContext, Commitment]],
        results: Sequence[CommitResult],
        answers: dict[int, Answer],
    ) -> list[Attempt]:
        """Answer by the results of a commit. Conflicts, and stored decisions that were superseded, are tried again."""
        again: list[Attempt] = []
        stored: list[tuple[Attempt, Decision]] = []
        for (context, commitment), result in zip(committed, results, strict=True):
            attempt = context.attempt
            match result:
                case Conflict():
                    again.append(attempt.retried())
                case IdempotentReplay(decision):
                    stored.append((attempt, decision))
                case IdempotencyMismatch():
                    answers[attempt.index] = IdempotencyConflictError("use a fresh idempotency_key for another request")
                case _:
                    answers[attempt.index] = _decision_of(commitment)
        if again:
            self.controls.forget({attempt.tenant for attempt in again})
        for attempt, decision in stored:
            next_attempt = await self._superseded(attempt, decision)
            if next_attempt is None:
                answers[attempt.index] = decision
            else:
                again.append(next_attempt)
        return again

    async def of_stored_allows(
        self, contexts: Sequence[EvaluationContext], answers: dict[int, Answer]
    ) -> list[Attempt]:
        """Return stored allows that would be allowed now, unless their controls have changed since."""
        if not contexts:
            return []
        again = []
        for context, unchanged in zip(contexts, await self.replays.unchanged(contexts), strict=True):
            attempt = context.attempt
            if unchanged and attempt.stored_allow is not None:
                answers[attempt.index] = attempt.stored_allow
            else:
                again.append(attempt.retried())
        self.controls.forget({attempt.tenant for attempt in again})
        return again

    async def _superseded(self, attempt: Attempt, decision: Decision) -> Attempt | None:
        """The attempt to make instead of returning the stored decision; None when it may be returned."""
        try:
            return await self.replays.superseded(attempt, decision)
        except PlacetError:
            raise
        except Exception as error:  # noqa: BLE001 - a require_approval stays one; an allow is not looked up here
            self.on_error(error)
            return None


def _decision_of(commitment: Commitment) -> Decision:
    if commitment.decision is None:
        raise AssertionError("a decision's commitment carries the decision")
    return commitment.decision
