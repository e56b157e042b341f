"""The decision: one page on which the order of security can be seen.

`DecisionPoint.decide` takes a batch of parsed requests through these steps (step 0, who calls, and step 1, parsing, are
the border's, `placet.rpc`):

2. gather facts: one policy, one `now` for the whole batch
3. controls, then ask the policy engine for those that they leave open
4. combine each verdict into one outcome, and with it into a decision and what must be recorded of it
5. commit all in one transaction
6. hand out what was committed, or what an earlier request with the same key was told

Whatever fails on the way to step 4 is a recorded deny with a `pdp.*` rule_id. What fails in step 5 is no decision.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Final

from placet.core import rule_ids
from placet.core.combine import Outcome, combine, denied_by_pdp
from placet.core.controls import control
from placet.core.errors import KeyReusedError
from placet.core.model import Decision, NoVerdict, ToolClass
from placet.core.policy_input import policy_input, rfc3339
from placet.core.record_codec import decision_commitment
from placet.core.records import KeyReused, Repeated
from placet.service.redaction import redacted_decision, redacted_input

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping, Sequence

    from placet.core.agent_policy import AgentPolicy
    from placet.core.model import Caller, Proposal, Verdict
    from placet.core.ports import Clock, Ids, Ledger, LoadedPolicy, PolicySource
    from placet.core.records import Commitment, CommitResult

Answer = Decision | KeyReusedError
"""What one request is told."""

_Told = tuple[Outcome, str]
"""An outcome, and the policy revision that it is of."""
NO_MAX_AGE: Final = 0.0


@dataclass(frozen=True, slots=True)
class Request:
    """A parsed request on its way: what is proposed, by whom it was sent, and when it arrived."""

    proposal: Proposal
    caller: Caller
    received_at_us: int


@dataclass(frozen=True, slots=True)
class Case:
    """A request with what Placet knows about it: its tenant's file, and what policy sees."""

    request: Request
    agent_policy: AgentPolicy | None
    seen: bytes


@dataclass(frozen=True, slots=True)
class Facts:
    """What Placet knows when it decides a batch.

    `revision` is the policy's as the batch begins: what an external engine serves may change under way.
    """

    policy: LoadedPolicy | None
    revision: str
    stale: bool
    cases: Sequence[Case]

    def told(self, verdict: Verdict | NoVerdict) -> _Told:
        """The outcome, at the revision that the engine named."""
        revision = self.revision if isinstance(verdict, NoVerdict) else verdict.policy_revision
        return combine(verdict), revision


@dataclass(frozen=True, slots=True)
class DecisionPoint:
    """Decides batches.

    `max_policy_age_seconds` 0 means no limit. `on_fault` is told of what went wrong inside, `on_distrust` (rule_id,
    why) of verdicts that came and were not believed.
    """

    policies: PolicySource
    ledger: Ledger
    clock: Clock
    ids: Ids
    max_policy_age_seconds: float
    on_fault: Callable[[BaseException], None]
    on_distrust: Callable[[str, str], None]

    async def decide(self, requests: Sequence[Request]) -> Sequence[Answer]:
        """One answer for each request, in order. LedgerUnavailableError when they could not be recorded."""
        facts = self._gather(requests)  # 2
        outcomes = await self._outcomes(facts)  # 3, 4
        self._tell_distrust(outcomes)
        commitments = [self._commitment(case, *told) for case, told in zip(facts.cases, outcomes, strict=True)]  # 4
        results = await self.ledger.commit(commitments)  # 5
        return [_answer(*pair) for pair in zip(commitments, results, strict=True)]  # 6

    def _tell_distrust(self, outcomes: Sequence[_Told]) -> None:
        for outcome, _ in outcomes:
            if outcome.distrust:
                self.on_distrust(outcome.rule_id, outcome.distrust)

    def _gather(self, requests: Sequence[Request]) -> Facts:
        policy = self.policies.current()
        stale = (
            policy is not None
            and self.max_policy_age_seconds != NO_MAX_AGE
            and self.clock.monotonic() - policy.confirmed_at > self.max_policy_age_seconds
        )
        agent_policies = policy.agent_policies if policy else {}
        now = rfc3339(self.clock.wall_us())
        cases = [_case(request, agent_policies, now) for request in requests]
        return Facts(policy, policy.revision if policy else "", stale, cases)

    async def _outcomes(self, facts: Facts) -> Sequence[_Told]:
        """Steps 3 and 4; a fault of Placet's own denies the whole batch."""
        try:
            if facts.policy is None:
                return [(denied_by_pdp(rule_ids.ENGINE_UNAVAILABLE), "")] * len(facts.cases)
            if facts.stale:
                return [(denied_by_pdp(rule_ids.POLICY_STALE), facts.revision)] * len(facts.cases)
            controlled = [control(case.request.proposal, case.agent_policy) for case in facts.cases]
            asked = [case.seen for case, outcome in zip(facts.cases, controlled, strict=True) if outcome is None]
            verdicts = iter(await _evaluate(asked, facts.policy))
            return [
                facts.told(next(verdicts)) if outcome is None else (outcome, facts.revision) for outcome in controlled
            ]
        except Exception as fault:  # noqa: BLE001 - every path that cannot decide ends in a recorded deny
            self.on_fault(fault)
            return [(denied_by_pdp(rule_ids.INTERNAL_ERROR), facts.revision)] * len(facts.cases)

    def _commitment(self, case: Case, outcome: Outcome, revision: str) -> Commitment:
        request, proposal = case.request, case.request.proposal
        decided_at_us = self.clock.wall_us()
        decision = Decision(
            decision_id=self.ids.decision_id(decided_at_us),
            effect=outcome.effect,
            rule_id=outcome.rule_id,
            reason=outcome.reason,
            findings=outcome.findings,
            policy_revision=revision,
            action_digest=proposal.action_digest,
            received_at_us=request.received_at_us,
            decided_at_us=decided_at_us,
            approval=outcome.approval,
        )
        kept = redacted_input(case.seen, proposal, case.agent_policy)
        told = redacted_decision(decision, proposal, case.agent_policy)
        commitment = decision_commitment(told, proposal, request.caller, kept.document, kept.replayable, kept.why_not)
        return commitment if told is decision else replace(commitment, decision=decision)


def _case(request: Request, agent_policies: Mapping[str, AgentPolicy], now: str) -> Case:
    action, identity = request.proposal.action, request.proposal.identity
    agent_policy = agent_policies.get(identity.tenant)
    tool_class = agent_policy.tool_class(action.tool) if agent_policy else ToolClass.UNKNOWN
    return Case(request, agent_policy, policy_input(request.proposal.document, tool_class, now))


async def _evaluate(inputs: Sequence[bytes], policy: LoadedPolicy) -> Sequence[Verdict | NoVerdict]:
    if not inputs:
        return ()
    verdicts = await policy.evaluate(inputs)
    if len(verdicts) != len(inputs):  # whose verdict is whose?
        raise AssertionError("an engine gives one verdict for each input")
    return verdicts


def _answer(commitment: Commitment, result: CommitResult) -> Answer:
    if isinstance(result, KeyReused):
        return KeyReusedError("use a fresh idempotency_key for another request")
    decision = result.decision if isinstance(result, Repeated) else commitment.decision
    if decision is None:
        raise AssertionError("a decision's commitment carries the decision")
    return decision
