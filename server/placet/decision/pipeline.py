"""The decision path on one page.

`DecisionPoint.decide` takes a batch of parsed requests through these steps. The transport does steps 0 (authenticate
the caller) and 1 (parse). `in_pieces` does steps 3 and 4 for one part of a large batch at a time.

2. Gather the context: one policy, one `now` and one read of the ledger for the whole batch (`gathering`).
3. Apply the guards before policy, then ask the policy engine about the requests that no guard denied (`evaluation`).
4. Combine findings, apply the guards after policy (`guards`), and build what must be recorded (`commitments`).
5. Commit the batch in one transaction, in the order of batches. Requests whose inputs changed since step 2 go back to
   step 2. After three tries they are denied. The next batch may be in steps 2 to 4 at that time.
6. Return what was committed, or the stored decision of the idempotency key (`replies`). A stored allow goes through
   steps 2 to 4 as well: it is returned only if the action would be allowed now.

`decide_or_postpone` and `in_pieces` end a call with an action that policy needs long for after step 4, as POSTPONED.
Nothing of it is recorded: the slow lane decides it, so that the other calls of the batch need not wait.

A failure in steps 2 to 4 becomes a recorded deny with a `pdp.*` rule_id. The exception is a failure of the store, in
step 2 or 5: then there is no decision, and the caller gets UNAVAILABLE.
"""

from __future__ import annotations

import asyncio
import contextlib
from dataclasses import dataclass, field, replace
from typing import TYPE_CHECKING, Final, cast

from placet.decision.commitments import CommitmentBuilder
from placet.decision.evaluation import Evaluator
from placet.decision.idempotency import Replays
from placet.decision.open_requests import OpenRequests
from placet.decision.progress import Progress
from placet.decision.replies import Answer, Replies
from placet.kernel.limits import QUEUE_TURN_ACTIONS, QUEUE_TURN_BYTES
from placet.kernel.portions import portions

if TYPE_CHECKING:
    from collections.abc import AsyncGenerator, Callable, Iterable, Sequence

    from placet.audit.ports import Ledger
    from placet.decision.attempt import Request
    from placet.decision.context import BatchContext, EvaluationContext
    from placet.decision.gathering import Gatherer
    from placet.decision.recorder import Recorder
    from placet.scheduling.batching import Postponed

_NO_TURN: Final = contextlib.nullcontext()


@dataclass(frozen=True, slots=True)
class DecisionPoint:
    """Decides batches of requests."""

    gatherer: Gatherer
    evaluator: Evaluator
    commitments: CommitmentBuilder
    ledger: Ledger
    replies: Replies
    committing: asyncio.Lock = field(default_factory=asyncio.Lock)
    """Held from the first commit of a batch to its last: batches commit in order, and nothing commits between the tries
    of one batch."""

    async def decide(self, requests: Sequence[Request]) -> Sequence[Answer]:
        """Return one answer for each request, in order. Denies actions that policy needs too long for.

        Raises LedgerUnavailableError when the decisions could not be recorded.
        """
        progress = Progress.of(requests, _whole, postpones=False)
        return cast("Sequence[Answer]", await self._decide(progress, _ignore))

    async def decide_or_postpone(
        self, requests: Sequence[Request], on_evaluated: Callable[[], None] = lambda: None
    ) -> Sequence[Answer | Postponed]:
        """Decide like `decide`, but return POSTPONED for all requests of calls with actions that policy needs long for.

        The requests of one call are those with the same `Request.call`. Calls `on_evaluated` before the first commit:
        from then on the next batch may be decided, which commits after this one.
        """
        return await self._decide(Progress.of(requests, _whole, postpones=True), on_evaluated)

    async def in_pieces(self, requests: Sequence[Request]) -> AsyncGenerator[Sequence[Answer | Postponed] | None, None]:
        """Decide like `decide_or_postpone`, but yield None between pieces so that other batches can be decided.

        The last item holds the answers; one commit records all pieces. A piece has at most QUEUE_TURN_ACTIONS actions
        and QUEUE_TURN_BYTES bytes. All pieces share the context gathered at the start: the commit detects inputs that
        change later.
        """
        progress = Progress.of(requests, _pieces, postpones=True)
        started, batch = False, None
        while progress.attempts and batch is None:
            batch = gathered = await self._gather(progress)  # 2
            for piece in progress.split(gathered.contexts):
                if started:
                    yield None
                started = True
                if not await self._evaluate(piece, gathered, progress):  # 3, 4
                    batch = None
                    break
        await self._commit_in_turn(progress, batch, _ignore)  # 5, 6
        yield progress.result()

    async def _decide(self, progress: Progress, on_evaluated: Callable[[], None]) -> Sequence[Answer | Postponed]:
        batch = await self._evaluate_all(progress)  # 2, 3, 4
        await self._commit_in_turn(progress, batch, on_evaluated)  # 5, 6
        return progress.result()

    async def _gather(self, progress: Progress) -> BatchContext:
        """Gather the context of all attempts."""
        progress.begin()
        return await self.gatherer.gather(progress.attempts)

    async def _evaluate_all(self, progress: Progress) -> BatchContext | None:
        """Gather and evaluate until one policy evaluated all attempts. Returns the context; None without attempts."""
        while progress.attempts:
            batch = await self._gather(progress)
            for piece in progress.split(batch.contexts):
                if not await self._evaluate(piece, batch, progress):
                    break
            else:
                return batch
        return None

    async def _evaluate(self, piece: Sequence[EvaluationContext], batch: BatchContext, progress: Progress) -> bool:
        """Evaluate a piece and build its commitments. Returns False, and restarts all, if the policy was replaced."""
        evaluated = await self.evaluator.evaluate(progress.unanswered(piece), batch)
        if self._policy_replaced(batch):
            progress.reload()
            return False
        new = []
        for item in progress.postpone_slow(evaluated):
            if item.confirms_stored_allow:
                progress.confirmed.append(item.context)
            else:
                new.append(item)
        progress.to_commit += await self.commitments.build(new)
        return True

    async def _commit_in_turn(
        self, progress: Progress, batch: BatchContext | None, on_evaluated: Callable[[], None]
    ) -> None:
        """Commit what was evaluated with `batch`. Evaluate and commit again what had inputs that changed since then."""
        if batch is None:
            return
        # Without postponing, no other batch of this kind is decided at the same time.
        async with self.committing if progress.postpones else _NO_TURN:
            if self._policy_replaced(batch):  # while the last batch was committed
                progress.reload()
                batch = await self._evaluate_all(progress)
            else:
                on_evaluated()
            while batch is not None:
                await self._commit(progress)
                batch = await self._evaluate_all(progress)

    async def _commit(self, progress: Progress) -> None:
        """Commit what was not postponed, and fill in the answers. Leaves the attempts that must be made again."""
        answers = progress.answers
        to_commit = [pair for pair in progress.to_commit if pair[0].attempt.index not in answers]
        results = await self.ledger.commit([commitment for _, commitment in to_commit])  # 5
        confirmed = progress.unanswered(progress.confirmed)
        retries = await self.replies.of_results(to_commit, results, answers)  # 6
        retries += await self.replies.of_stored_allows(confirmed, answers)
        progress.attempts = sorted(retries, key=lambda attempt: attempt.index)

    def _policy_replaced(self, batch: BatchContext) -> bool:
        """Return whether the served revision differs from the one that evaluated the batch."""
        policy = self.gatherer.policies.current()
        if (policy.revision if policy is not None else "") == batch.revision:
            return False
        return not all(context.attempt.given_up for context in batch.contexts)  # these are denied by any policy


def decision_point(
    gatherer: Gatherer,
    recorder: Recorder,
    on_error: Callable[[BaseException], None],
    on_invalid_verdict: Callable[[str, str], None],
) -> DecisionPoint:
    """Build a DecisionPoint that uses the gatherer's ledger, clock and controls. It denies slow actions."""
    ledger, controls = gatherer.ledger, gatherer.controls
    return DecisionPoint(
        gatherer,
        Evaluator(on_error, on_invalid_verdict),
        CommitmentBuilder(recorder, OpenRequests(ledger), on_error),
        ledger,
        Replies(Replays(ledger, gatherer.clock), controls, on_error),
    )


def slow_lane_point(point: DecisionPoint) -> DecisionPoint:
    """Return a DecisionPoint that gives each action the whole time limit of a query to the policy engine."""
    return replace(point, evaluator=replace(point.evaluator, singly=True))


def _ignore() -> None:
    """Do nothing: no other batch waits for the evaluation."""


def _whole(contexts: Sequence[EvaluationContext]) -> Iterable[Sequence[EvaluationContext]]:
    return [contexts]


def _pieces(contexts: Sequence[EvaluationContext]) -> Iterable[Sequence[EvaluationContext]]:
    return portions(
        contexts, lambda context: len(context.policy_input), count_max=QUEUE_TURN_ACTIONS, bytes_max=QUEUE_TURN_BYTES
    )
