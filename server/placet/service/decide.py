"""The decision: one page on which the order of security can be seen.

`DecisionPoint.decide` takes a batch of parsed requests through these steps (step 0, who calls, and step 1, parsing, are
the border's, `placet.rpc`):

2. gather facts: one policy, one `now`, one look at the ledger for the whole batch
3. controls (kill switches first), then ask the policy engine for those that they leave open
4. judge each verdict by what Placet itself holds (limits, budgets, autonomy, approvals), and make of it a decision with
   what must be recorded and what must still be so
5. commit all in one transaction; whoever rests on something that changed meanwhile goes back to 2, at most 3 times
6. hand out what was committed, or what an earlier request with the same key was told

Whatever fails on the way to step 4 is a recorded deny with a `pdp.*` rule_id. What fails in 2 or 5 because the store
does is no decision.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from placet.core import rule_ids
from placet.core.combine import combine, denied_by_pdp
from placet.core.controls import control, stopped
from placet.core.errors import KeyReusedError
from placet.core.judge import Judgement, judge
from placet.core.model import Decision, NoVerdict
from placet.core.records import Conflict, KeyReused, Repeated
from placet.service.attempts import Attempt

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from placet.core.model import Verdict
    from placet.core.ports import Ledger, LoadedPolicy
    from placet.core.records import Commitment, CommitResult
    from placet.service.attempts import Request
    from placet.service.gathering import Case, Facts, Gatherer
    from placet.service.recording import Recorder
    from placet.service.standing_answers import StandingAnswers

Answer = Decision | KeyReusedError
"""What one request is told."""

_Told = tuple[Judgement, str]
"""A judgement, and the policy revision that it is of."""


@dataclass(frozen=True, slots=True)
class DecisionPoint:
    """Decides batches.

    `on_fault` is told of what went wrong inside, `on_distrust` (rule_id, why) of verdicts that came and were not
    believed.
    """

    gatherer: Gatherer
    recorder: Recorder
    ledger: Ledger
    standing_answers: StandingAnswers
    on_fault: Callable[[BaseException], None]
    on_distrust: Callable[[str, str], None]

    async def decide(self, requests: Sequence[Request]) -> Sequence[Answer]:
        """One answer for each request, in order. LedgerUnavailableError when they could not be recorded."""
        answers: dict[int, Answer] = {}
        waiting = [Attempt(place, each, approval_id=each.proposal.approval_id) for place, each in enumerate(requests)]
        while waiting:
            facts = await self.gatherer.gather(waiting)  # 2
            told = await self._judgements(facts)  # 3, 4
            if self._policy_moved(facts):
                waiting = [attempt.again() for attempt in waiting]
                continue
            commitments = [self._commitment(case, *each) for case, each in zip(facts.cases, told, strict=True)]  # 4
            results = await self.ledger.commit(commitments)  # 5
            waiting = await self._answer(facts, commitments, results, answers)  # 6
        return [answers[place] for place in range(len(requests))]

    async def _judgements(self, facts: Facts) -> Sequence[_Told]:
        """Steps 3 and 4; a fault of Placet's own denies the whole batch."""
        try:
            controlled = [self._controlled(case, facts) for case in facts.cases]
            asked = [case.seen for case, judgement in zip(facts.cases, controlled, strict=True) if judgement is None]
            verdicts = iter(await _evaluate(asked, facts.policy))
            return [
                self._judged(case, next(verdicts), facts) if judgement is None else (judgement, facts.revision)
                for case, judgement in zip(facts.cases, controlled, strict=True)
            ]
        except Exception as fault:  # noqa: BLE001 - every path that cannot decide ends in a recorded deny
            self.on_fault(fault)
            return [(Judgement(denied_by_pdp(rule_ids.INTERNAL_ERROR)), facts.revision)] * len(facts.cases)

    def _controlled(self, case: Case, facts: Facts) -> Judgement | None:
        """What is denied without asking policy; None when it is to be asked."""
        proposal = case.attempt.proposal
        outcome = stopped(proposal, case.controls.switches, case.now_us)
        if outcome is not None:
            return Judgement(outcome)
        if case.attempt.exhausted:
            return Judgement(denied_by_pdp(rule_ids.CONTENTION))
        if facts.policy is None:
            return Judgement(denied_by_pdp(rule_ids.ENGINE_UNAVAILABLE))
        if facts.stale:
            return Judgement(denied_by_pdp(rule_ids.POLICY_STALE))
        outcome = control(proposal, case.agent_policy, case.refused)
        return Judgement(outcome) if outcome is not None else None

    def _judged(self, case: Case, verdict: Verdict | NoVerdict, facts: Facts) -> _Told:
        """The judgement, at the revision that the engine named."""
        revision = facts.revision if isinstance(verdict, NoVerdict) else verdict.policy_revision
        if case.standing is None:
            raise AssertionError("policy is asked for tenants with a file alone")
        judgement = judge(combine(verdict), case.standing)
        if judgement.outcome.distrust:
            self.on_distrust(judgement.outcome.rule_id, judgement.outcome.distrust)
        return judgement, revision

    def _policy_moved(self, facts: Facts) -> bool:
        """Whether another revision decides by now than the batch was decided by."""
        policy = self.gatherer.policies.current()
        if all(case.attempt.exhausted for case in facts.cases):
            return False
        return (policy.revision if policy is not None else "") != facts.revision

    def _commitment(self, case: Case, judgement: Judgement, revision: str) -> Commitment:
        return self.recorder.commitment(case, judgement, revision, guarded=not case.attempt.exhausted)

    async def _answer(
        self,
        facts: Facts,
        commitments: Sequence[Commitment],
        results: Sequence[CommitResult],
        answers: dict[int, Answer],
    ) -> list[Attempt]:
        """Give the answers that there are; the attempts that have to be made again."""
        again: list[Attempt] = []
        repeated: list[tuple[Attempt, Decision]] = []
        for case, commitment, result in zip(facts.cases, commitments, results, strict=True):
            attempt = case.attempt
            match result:
                case Conflict():
                    again.append(attempt.again())
                case Repeated(decision):
                    repeated.append((attempt, decision))
                case KeyReused():
                    answers[attempt.place] = KeyReusedError("use a fresh idempotency_key for another request")
                case _:
                    answers[attempt.place] = _decision_of(commitment)
        if again:
            self.gatherer.controls.forget({attempt.tenant for attempt in again})
        for attempt, decision in repeated:
            moved = await self.standing_answers.moved(attempt, decision)
            if moved is None:
                answers[attempt.place] = decision
            else:
                again.append(moved)
        return sorted(again, key=lambda attempt: attempt.place)


async def _evaluate(inputs: Sequence[bytes], policy: LoadedPolicy | None) -> Sequence[Verdict | NoVerdict]:
    if not inputs or policy is None:
        return ()
    verdicts = await policy.evaluate(inputs)
    if len(verdicts) != len(inputs):  # whose verdict is whose?
        raise AssertionError("an engine gives one verdict for each input")
    return verdicts


def _decision_of(commitment: Commitment) -> Decision:
    if commitment.decision is None:
        raise AssertionError("a decision's commitment carries the decision")
    return commitment.decision
