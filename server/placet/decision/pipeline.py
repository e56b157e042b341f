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
from typing import TYPE_CHECKING, cast

from placet.decision.attempt import Attempt
from placet.decision.commitments import CommitmentBuilder
from placet.decision.evaluation import Evaluator
from placet.decision.idempotency import Replays
from placet.decision.open_requests import OpenRequests
from placet.decision.replies import Answer, Replies
from placet.kernel.limits import QUEUE_TURN_ACTIONS, QUEUE_TURN_BYTES
from placet.kernel.portions import portions
from placet.scheduling.batching import POSTPONED, Postponed

if TYPE_CHECKING:
    from collections.abc import AsyncGenerator, Callable, Iterable, Mapping, Sequence

    from placet.audit.ports import Ledger
    from placet.audit.records import Commitment
    from placet.decision.attempt import Request
    from placet.decision.context import BatchContext, EvaluationContext
    from placet.decision.evaluation import Evaluated
    from placet.decision.gathering import Gatherer
    from placet.decision.recorder import Recorder


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
        decided = [answers async for answers in self._decide(requests, _whole, postpones=False)]
        return cast("Sequence[Answer]", decided[-1])

    async def decide_or_postpone(
        self, requests: Sequence[Request], on_evaluated: Callable[[], None] = lambda: None
    ) -> Sequence[Answer | Postponed]:
        """Decide like `decide`, but return POSTPONED for all requests of calls with actions that policy needs long for.

        The requests of one call are those with the same `Request.call`. Calls `on_evaluated` before the first commit:
        from then on the next batch may be decided, which commits after this one.
        """
        decided = [answers async for answers in self._decide(requests, _whole, on_evaluated, postpones=True)]
        return decided[-1] or ()

    def in_pieces(self, requests: Sequence[Request]) -> AsyncGenerator[Sequence[Answer | Postponed] | None, None]:
        """Decide like `decide_or_postpone`, but yield None between pieces so that other batches can be decided.

        The last item holds the answers; one commit records all pieces. A piece has at most QUEUE_TURN_ACTIONS actions
        and QUEUE_TURN_BYTES bytes. All pieces share the context gathered at the start: the commit detects inputs that
        change later.
        """
        return self._decide(requests, _pieces, postpones=True)

    async def _decide(
        self,
        requests: Sequence[Request],
        split: Callable[[Sequence[EvaluationContext]], Iterable[Sequence[EvaluationContext]]],
        on_evaluated: Callable[[], None] = lambda: None,
        *,
        postpones: bool,
    ) -> AsyncGenerator[Sequence[Answer | Postponed] | None, None]:
        answers: dict[int, Answer | Postponed] = {}
        attempts = [Attempt(i, request, approval_id=request.proposal.approval_id) for i, request in enumerate(requests)]
        started = in_turn = False
        async with contextlib.AsyncExitStack() as turn:
            while attempts:
                batch = await self.gatherer.gather(attempts)  # 2
                confirmed: list[EvaluationContext] = []
                to_commit: list[tuple[EvaluationContext, Commitment]] = []
                for piece in split(batch.contexts):
                    # Pause before every piece but the first, and not at all in this batch's turn to commit.
                    if started and not in_turn:
                        yield None
                    started = True
                    unanswered = [context for context in piece if context.attempt.index not in answers]
                    evaluated = await self.evaluator.evaluate(unanswered, batch)  # 3, 4
                    if self._policy_replaced(batch):
                        attempts = _reloaded(attempts, answers)
                        break
                    if postpones:
                        answers |= dict.fromkeys(_slow_calls(evaluated, requests, answers), POSTPONED)
                        evaluated = [item for item in evaluated if item.context.attempt.index not in answers]
                    confirmed += [item.context for item in evaluated if item.confirms_stored_allow]
                    to_commit += await self.commitments.build(
                        [item for item in evaluated if not item.confirms_stored_allow]
                    )
                else:  # no piece saw the policy replaced
                    if not in_turn:
                        if postpones:  # else no other batch of this kind is decided at the same time
                            await turn.enter_async_context(self.committing)
                        in_turn = True
                        if self._policy_replaced(batch):  # while the last batch was committed
                            attempts = _reloaded(attempts, answers)
                            continue
                        on_evaluated()
                    attempts = await self._commit(to_commit, confirmed, answers)  # 5, 6
        yield [answers[index] for index in range(len(requests))]

    async def _commit(
        self,
        to_commit: Sequence[tuple[EvaluationContext, Commitment]],
        confirmed: Sequence[EvaluationContext],
        answers: dict[int, Answer | Postponed],
    ) -> list[Attempt]:
        """Commit what was not postponed, and fill in the answers. Returns the attempts that must be made again."""
        to_commit = [pair for pair in to_commit if pair[0].attempt.index not in answers]
        confirmed = [context for context in confirmed if context.attempt.index not in answers]
        results = await self.ledger.commit([commitment for _, commitment in to_commit])  # 5
        retries = await self.replies.of_results(to_commit, results, answers)  # 6
        retries += await self.replies.of_stored_allows(confirmed, answers)
        return sorted(retries, key=lambda attempt: attempt.index)

    def _policy_replaced(self, batch: BatchContext) -> bool:
        """Return whether the served revision differs from the one that evaluated the batch."""
        if all(context.attempt.given_up for context in batch.contexts):  # all are denied whatever the policy is
            return False
        policy = self.gatherer.policies.current()
        return (policy.revision if policy is not None else "") != batch.revision


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


def _reloaded(attempts: Iterable[Attempt], answers: Mapping[int, Answer | Postponed]) -> list[Attempt]:
    """Return the next attempts of requests without an answer, after the policy was replaced."""
    return [attempt.reloaded() for attempt in attempts if attempt.index not in answers]


def _slow_calls(
    evaluated: Sequence[Evaluated], requests: Sequence[Request], answers: Mapping[int, Answer | Postponed]
) -> list[int]:
    """Return the indexes of all requests of calls with a slow action, without calls that have an answer already."""
    calls = {_call(item.context.attempt.index, requests) for item in evaluated if item.slow}
    if not calls:
        return []
    calls -= {_call(index, requests) for index in answers}
    return [index for index in range(len(requests)) if _call(index, requests) in calls]


def _call(index: int, requests: Sequence[Request]) -> int:
    """Return the identity of the call that brought the request."""
    call = requests[index].call
    return id(requests[index] if call is None else call)


def _whole(contexts: Sequence[EvaluationContext]) -> Iterable[Sequence[EvaluationContext]]:
    return [contexts]


def _pieces(contexts: Sequence[EvaluationContext]) -> Iterable[Sequence[EvaluationContext]]:
    return portions(
        contexts, lambda context: len(context.policy_input), count_max=QUEUE_TURN_ACTIONS, bytes_max=QUEUE_TURN_BYTES
    )
