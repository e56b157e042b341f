"""The decision path on one page.

`DecisionPoint.decide` takes a batch of parsed requests through these steps. Steps 0 (authenticate the caller) and 1
(parse) are done by the transport. `in_pieces` takes steps 3 and 4 with a part of a large batch at a time.

2. Gather the context: one policy, one `now` and one read of the ledger for the whole batch (`gathering`).
3. Apply the guards before policy, then ask the policy engine about the requests that no guard denied (`evaluation`).
4. Combine findings, apply the guards after policy (`guards`), and build what must be recorded (`commitments`).
5. Commit the batch in one transaction. Requests whose inputs changed since step 2 are retried from step 2, at most
   three times.
6. Return what was committed, or the stored decision of the idempotency key (`replies`). A stored allow goes through
   steps 2 to 4 as well: it is returned only if the action would be allowed now.

Any failure up to step 4 ends in a recorded deny with a `pdp.*` rule_id. If the store fails in steps 2 or 5 there is no
decision: the caller gets UNAVAILABLE.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from placet.decision.attempt import Attempt
from placet.decision.commitments import CommitmentBuilder
from placet.decision.evaluation import Evaluator
from placet.decision.idempotency import Replays
from placet.decision.open_requests import OpenRequests
from placet.decision.replies import Answer, Replies
from placet.kernel.limits import QUEUE_TURN_ACTIONS, QUEUE_TURN_BYTES
from placet.kernel.portions import portions

if TYPE_CHECKING:
    from collections.abc import AsyncGenerator, Callable, Iterable, Sequence

    from placet.audit.ports import Ledger
    from placet.audit.records import Commitment
    from placet.decision.attempt import Request
    from placet.decision.context import BatchContext, EvaluationContext
    from placet.decision.gathering import Gatherer
    from placet.decision.recorder import Recorder


@dataclass(frozen=True, slots=True)
class DecisionPoint:
    """Decides batches."""

    gatherer: Gatherer
    evaluator: Evaluator
    commitments: CommitmentBuilder
    ledger: Ledger
    replies: Replies

    async def decide(self, requests: Sequence[Request]) -> Sequence[Answer]:
        """One answer for each request, in order. LedgerUnavailableError when they could not be recorded."""
        decided: Sequence[Answer] = ()
        async for answers in self._decide(requests, lambda contexts: [contexts]):
            decided = answers or decided
        return decided

    def in_pieces(self, requests: Sequence[Request]) -> AsyncGenerator[Sequence[Answer] | None, None]:
        """As `decide`, with a None after each piece: other batches may be decided then. The last piece records all.

        A piece is at most one turn in the queue. The context is that of the beginning for all pieces: what changes
        later is found in the commit.
        """
        return self._decide(requests, _pieces)

    async def _decide(
        self,
        requests: Sequence[Request],
        cut: Callable[[Sequence[EvaluationContext]], Iterable[Sequence[EvaluationContext]]],
    ) -> AsyncGenerator[Sequence[Answer] | None, None]:
        answers: dict[int, Answer] = {}
        waiting = [Attempt(i, request, approval_id=request.proposal.approval_id) for i, request in enumerate(requests)]
        begun = committed = False
        while waiting:
            batch = await self.gatherer.gather(waiting)  # 2
            confirmed: list[EvaluationContext] = []
            fresh: list[tuple[EvaluationContext, Commitment]] = []
            for contexts in cut(batch.contexts):
                if begun and not committed:  # once a part is recorded the batch is answered, however late
                    yield None
                begun = True
                evaluated = await self.evaluator.evaluate(contexts, batch)  # 3, 4
                if self._policy_replaced(batch):
                    waiting = [attempt.reloaded() for attempt in waiting]
                    break
                confirmed += [one.context for one in evaluated if one.confirms_stored_allow]
                fresh += await self.commitments.build([one for one in evaluated if not one.confirms_stored_allow])  # 4
            else:
                results = await self.ledger.commit([commitment for _, commitment in fresh])  # 5
                committed = True
                again = await self.replies.of_results(fresh, results, answers)  # 6
                again += await self.replies.of_stored_allows(confirmed, answers)
                waiting = sorted(again, key=lambda attempt: attempt.index)
        yield [answers[index] for index in range(len(requests))]

    def _policy_replaced(self, batch: BatchContext) -> bool:
        """Whether another revision is served than the one the batch was evaluated by."""
        if all(context.attempt.given_up for context in batch.contexts):
            return False
        policy = self.gatherer.policies.current()
        return (policy.revision if policy is not None else "") != batch.revision


def decision_point(
    gatherer: Gatherer,
    recorder: Recorder,
    on_error: Callable[[BaseException], None],
    on_invalid_verdict: Callable[[str, str], None],
) -> DecisionPoint:
    """Put a DecisionPoint together; ledger, clock and controls are the gatherer's."""
    ledger, controls = gatherer.ledger, gatherer.controls
    return DecisionPoint(
        gatherer,
        Evaluator(on_error, on_invalid_verdict),
        CommitmentBuilder(recorder, OpenRequests(ledger), on_error),
        ledger,
        Replies(Replays(ledger, gatherer.clock), controls, on_error),
    )


def _pieces(contexts: Sequence[EvaluationContext]) -> Iterable[Sequence[EvaluationContext]]:
    return portions(
        contexts, lambda one: len(one.policy_input), count_max=QUEUE_TURN_ACTIONS, bytes_max=QUEUE_TURN_BYTES
    )
