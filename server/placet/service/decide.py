"""The decision: one page on which the order of security can be seen.

`DecisionPoint.decide` takes a batch of parsed requests through these steps (step 0, who calls, and step 1, parsing, are
the border's, `placet.rpc`); `in_pieces` takes 3 and 4 with a part of a large batch at a time:

2. gather facts: one policy, one `now`, one look at the ledger for the whole batch
3. controls (kill switches first), then ask the policy engine for those that they leave open
4. judge each verdict by what Placet itself holds (limits, budgets, autonomy, approvals), and make of it a decision with
   what must be recorded and what must still be so
5. commit all in one transaction; whoever rests on something that changed meanwhile goes back to 2, at most 3 times
6. hand out what was committed, or what an earlier request with the same key was told: an allow only if it would be one
   by what stands now, so that goes through 2 to 4 as well

Whatever fails on the way to step 4 is a recorded deny with a `pdp.*` rule_id. What fails in 2 or 5 because the store
does is no decision.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import TYPE_CHECKING

from placet.core import rule_ids
from placet.core.combine import combine, denied_by_pdp
from placet.core.controls import control, stopped
from placet.core.errors import KeyReusedError, PlacetError
from placet.core.finding_bounds import recordable
from placet.core.judge import Judgement, judge
from placet.core.limits import QUEUE_TURN_ACTIONS, QUEUE_TURN_BYTES
from placet.core.model import Decision, Effect, NoVerdict
from placet.core.portions import portions
from placet.core.records import Conflict, KeyReused, Repeated
from placet.core.steps import TOGETHER, mapped
from placet.service.attempts import Attempt
from placet.service.slices import in_slices

if TYPE_CHECKING:
    from collections.abc import AsyncGenerator, Callable, Iterable, Mapping, Sequence

    from placet.core.approval_index import Indexed
    from placet.core.model import Verdict
    from placet.core.ports import Ledger, LoadedPolicy
    from placet.core.records import Commitment, CommitResult
    from placet.core.steps import Steps
    from placet.service.attempts import Request
    from placet.service.gathering import Case, Facts, Gatherer
    from placet.service.open_requests import OpenRequests
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
    open_requests: OpenRequests
    on_fault: Callable[[BaseException], None]
    on_distrust: Callable[[str, str], None]

    async def decide(self, requests: Sequence[Request]) -> Sequence[Answer]:
        """One answer for each request, in order. LedgerUnavailableError when they could not be recorded."""
        told: Sequence[Answer] = ()
        async for answers in self._deciding(requests, lambda cases: [cases]):
            told = answers or told
        return told

    def in_pieces(self, requests: Sequence[Request]) -> AsyncGenerator[Sequence[Answer] | None, None]:
        """As `decide`, with a None after each piece: others may be decided then. Nothing is recorded until the last.

        One piece is at most what one turn in the queue covers. The facts are those of the beginning for all of them:
        what changes meanwhile is found in the commit.
        """
        return self._deciding(requests, _turns)

    async def _deciding(
        self, requests: Sequence[Request], cut: Callable[[Sequence[Case]], Iterable[Sequence[Case]]]
    ) -> AsyncGenerator[Sequence[Answer] | None, None]:
        answers: dict[int, Answer] = {}
        waiting = [Attempt(place, each, approval_id=each.proposal.approval_id) for place, each in enumerate(requests)]
        begun = committed = False
        while waiting:
            facts = await self.gatherer.gather(waiting)  # 2
            repeats: list[Case] = []
            fresh: list[tuple[Case, Commitment]] = []
            for cases in cut(facts.cases):
                if begun and not committed:  # what was recorded of the batch is answered, however late
                    yield None
                begun = True
                told = await self._judgements(cases, facts)  # 3, 4
                if self._policy_moved(facts):
                    waiting = [attempt.reloaded() for attempt in waiting]
                    break
                new = []
                for case, judged in zip(cases, told, strict=True):
                    if _repeats(case, judged[0]):
                        repeats.append(case)
                    else:
                        new.append((case, judged))
                fresh += await in_slices(self._commitments(new, await self._indexed(new)))  # 4
            else:
                results = await self.ledger.commit([commitment for _, commitment in fresh])  # 5
                committed = True
                again = await self._answer(fresh, results, answers) + await self._repeat(repeats, answers)  # 6
                waiting = sorted(again, key=lambda attempt: attempt.place)
        yield [answers[place] for place in range(len(requests))]

    async def _judgements(self, cases: Sequence[Case], facts: Facts) -> Sequence[_Told]:
        """Steps 3 and 4; a fault of Placet's own denies all of them."""
        for case in cases:
            if case.fault is not None:
                self.on_fault(case.fault)
        try:
            controlled = await in_slices(mapped(lambda case: self._controlled(case, facts), cases, _is_large))
            asked = [case.seen for case, judgement in zip(cases, controlled, strict=True) if judgement is None]
            verdicts = iter(await _evaluate(asked, facts.policy))
            return [
                self._judged(case, next(verdicts), facts) if judgement is None else (judgement, facts.revision)
                for case, judgement in zip(cases, controlled, strict=True)
            ]
        except Exception as fault:  # noqa: BLE001 - every path that cannot decide ends in a recorded deny
            self.on_fault(fault)
            return [(Judgement(denied_by_pdp(rule_ids.INTERNAL_ERROR)), facts.revision)] * len(cases)

    def _controlled(self, case: Case, facts: Facts) -> Judgement | None:
        """What is denied without asking policy; None when it is to be asked."""
        proposal = case.attempt.proposal
        outcome = stopped(proposal, case.controls.switches, case.now_us)
        if outcome is not None:
            return Judgement(outcome)
        if facts.skewed:
            return Judgement(denied_by_pdp(rule_ids.CLOCK_SKEW))
        if (rule_id := _hopeless(case)) is not None:
            return Judgement(denied_by_pdp(rule_id))
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
        outcome = judgement.outcome
        if outcome.distrust:
            self.on_distrust(outcome.rule_id, outcome.distrust)
        where = facts.policy.where if facts.policy is not None else None
        return replace(judgement, outcome=recordable(outcome, where)), revision

    async def _indexed(self, judged: Sequence[tuple[Case, _Told]]) -> Mapping[int, Indexed]:
        """Place -> what is known of requests for approval of the action, for those that ask people."""
        asking = [case.attempt for case, (judgement, _) in judged if judgement.outcome.approval is not None]
        found: dict[int, Indexed] = {}
        for some in (asking, *([each] for each in asking)):  # one by one when together fails
            if found.keys() >= {attempt.place for attempt in some}:
                continue
            try:
                indexed = await self.open_requests.of(some)
            except PlacetError:
                raise
            except Exception as fault:  # noqa: BLE001 - whose request cannot be looked up is denied
                self.on_fault(fault)
            else:
                found |= {attempt.place: each for attempt, each in zip(some, indexed, strict=True)}
        return found

    def _policy_moved(self, facts: Facts) -> bool:
        """Whether another revision decides by now than the batch was decided by."""
        policy = self.gatherer.policies.current()
        if all(case.attempt.given_up for case in facts.cases):
            return False
        return (policy.revision if policy is not None else "") != facts.revision

    def _commitments(
        self, judged: Sequence[tuple[Case, _Told]], indexed: Mapping[int, Indexed]
    ) -> Steps[list[tuple[Case, Commitment]]]:
        """What to commit of each, in steps: others get their turn on the event loop."""
        made: list[tuple[Case, Commitment]] = []
        for case, told in judged:
            made.append((case, (yield from self._commitment(case, *told, indexed.get(case.attempt.place)))))
            if _is_large(case) or not len(made) % TOGETHER:
                yield
        return made

    def _commitment(
        self, case: Case, judgement: Judgement, revision: str, indexed: Indexed | None
    ) -> Steps[Commitment]:
        guarded = not case.attempt.given_up
        try:
            return (yield from self.recorder.commitment(case, judgement, revision, indexed, guarded=guarded))
        except Exception as fault:  # noqa: BLE001 - what cannot be put on record as it is denies, and that is recorded
            self.on_fault(fault)
            return self.recorder.withheld(case, Judgement(denied_by_pdp(rule_ids.INTERNAL_ERROR)), revision)

    async def _repeat(self, cases: Sequence[Case], answers: dict[int, Answer]) -> list[Attempt]:
        """Give stored allows again, which would be allows now; the attempts that controls changed under."""
        if not cases:
            return []
        moved = []
        for case, unmoved in zip(cases, await self.standing_answers.unmoved(cases), strict=True):
            if unmoved and case.attempt.repeats is not None:
                answers[case.attempt.place] = case.attempt.repeats
            else:
                moved.append(case.attempt.again())
        self.gatherer.controls.forget({attempt.tenant for attempt in moved})
        return moved

    async def _answer(
        self,
        fresh: Sequence[tuple[Case, Commitment]],
        results: Sequence[CommitResult],
        answers: dict[int, Answer],
    ) -> list[Attempt]:
        """Give the answers that there are; the attempts that have to be made again."""
        again: list[Attempt] = []
        repeated: list[tuple[Attempt, Decision]] = []
        for (case, commitment), result in zip(fresh, results, strict=True):
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
            moved = await self._moved(attempt, decision)
            if moved is None:
                answers[attempt.place] = decision
            else:
                again.append(moved)
        return again

    async def _moved(self, attempt: Attempt, decision: Decision) -> Attempt | None:
        """The attempt to make instead of giving the decision again; None when it stands, or when nobody can tell."""
        try:
            return await self.standing_answers.moved(attempt, decision)
        except PlacetError:
            raise
        except Exception as fault:  # noqa: BLE001 - what asked for people goes on asking; an allow is not looked up
            self.on_fault(fault)
            return None


def _turns(cases: Sequence[Case]) -> Iterable[Sequence[Case]]:
    return portions(cases, lambda case: len(case.seen), count_max=QUEUE_TURN_ACTIONS, bytes_max=QUEUE_TURN_BYTES)


def _is_large(case: Case) -> bool:
    return case.attempt.proposal.is_large


def _repeats(case: Case, judgement: Judgement) -> bool:
    """Whether the allow that the key stands for is an allow now, so that there is nothing new to record."""
    return case.attempt.repeats is not None and judgement.outcome.effect is Effect.ALLOW


def _hopeless(case: Case) -> str | None:
    """The rule that denies whatever policy would say; None when policy is to be asked."""
    if case.fault is not None:
        return rule_ids.INTERNAL_ERROR
    if case.revoked:
        return rule_ids.PERMIT_REVOKED
    if case.attempt.exhausted:
        return rule_ids.CONTENTION
    return rule_ids.POLICY_CHANGING if case.attempt.restless else None


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
