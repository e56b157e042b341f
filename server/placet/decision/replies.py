"""Step 6 of a decision: return the committed decision, or the stored one of the idempotency key."""

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
    from placet.scheduling.batching import Postponed

Answer: TypeAlias = Decision | IdempotencyConflictError
"""The result of one request."""


@dataclass(frozen=True, slots=True)
class Replies:
    """Fills in answers by Attempt.index, and returns the attempts that must be made again."""

    replays: Replays
    controls: ControlState
    on_error: Callable[[BaseException], None]
    """Receives internal errors."""

    async def of_results(
        self,
        committed: Sequence[tuple[EvaluationContext, Commitment]],
        results: Sequence[CommitResult],
        answers: dict[int, Answer | Postponed],
    ) -> list[Attempt]:
        """Fill in the answers from the results of a commit.

        Returns the next attempts after conflicts, and for stored decisions that were superseded. Raises
        LedgerUnavailableError.
        """
        retries: list[Attempt] = []
        stored: list[tuple[Attempt, Decision]] = []
        for (context, commitment), result in zip(committed, results, strict=True):
            attempt = context.attempt
            match result:
                case Conflict():
                    retries.append(attempt.retried())
                case IdempotentReplay(decision):
                    stored.append((attempt, decision))
                case IdempotencyMismatch():
                    answers[attempt.index] = IdempotencyConflictError("use a fresh idempotency_key for another request")
                case _:
                    answers[attempt.index] = _decision_of(commitment)
        if retries:
            self.controls.forget({attempt.tenant for attempt in retries})
        for attempt, decision in stored:
            next_attempt = await self._superseded(attempt, decision)
            if next_attempt is None:
                answers[attempt.index] = decision
            else:
                retries.append(next_attempt)
        return retries

    async def of_stored_allows(
        self, contexts: Sequence[EvaluationContext], answers: dict[int, Answer | Postponed]
    ) -> list[Attempt]:
        """Answer with the stored allows whose controls and approvals have not changed since they were read.

        Returns the next attempts for the others. Raises LedgerUnavailableError.
        """
        if not contexts:
            return []
        retries = []
        for context, unchanged in zip(contexts, await self.replays.unchanged(contexts), strict=True):
            attempt = context.attempt
            if unchanged and attempt.stored_allow is not None:
                answers[attempt.index] = attempt.stored_allow
            else:
                retries.append(attempt.retried())
        self.controls.forget({attempt.tenant for attempt in retries})
        return retries

    async def _superseded(self, attempt: Attempt, decision: Decision) -> Attempt | None:
        """Return the attempt to make instead of returning the stored decision, or None when it may be returned."""
        try:
            return await self.replays.superseded(attempt, decision)
        except PlacetError:
            raise
        except Exception as error:  # noqa: BLE001 - only a require_approval is looked up here, and may be returned
            self.on_error(error)
            return None


def _decision_of(commitment: Commitment) -> Decision:
    if commitment.decision is None:
        raise AssertionError("a decision's commitment carries the decision")
    return commitment.decision
