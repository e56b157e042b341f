"""The scenario API without a server: a decision point and its services in this process, with a clock that tests set."""

from __future__ import annotations

import contextlib
import json
import uuid
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, NoReturn

from google.rpc import error_details_pb2
from msgspec import structs

from placet.actions.outcome import Outcome, OutcomeReport, OutcomeStatus
from placet.approvals.service import Approvals, VoteCommand
from placet.audit.tool_call_event import tool_call_event
from placet.budgets.service import Adjustment, BudgetAdmin
from placet.cli.scenarios.api import (
    Answer,
    Approval,
    ApprovalStatus,
    Receipt,
    RefusedError,
    Switch,
    UnsupportedStepError,
)
from placet.commands.execute import ControlCommands
from placet.controls.autonomy.model import AutonomyLevel
from placet.controls.autonomy.service import AutonomyAdmin, NewLevel
from placet.controls.kill_switches.model import KillScope
from placet.controls.kill_switches.revocation import Revoker
from placet.controls.kill_switches.service import KillSwitches, NewSwitch
from placet.controls.snapshot import ControlState
from placet.decision.attempt import Request
from placet.decision.gathering import NO_MAX_AGE, Gatherer
from placet.decision.pipeline import decision_point
from placet.decision.recorder import Recorder
from placet.kernel.errors import InvalidRequestError, PlacetError
from placet.kernel.limits import RESERVATION_TTL_SECONDS
from placet.kernel.model import Caller, Decision
from placet.matching.person import Person
from placet.outcomes.service import OutcomeReceipt, OutcomeService
from placet.sdk._wire.encode import request_to_proto
from placet.server.system import RandomIds, SystemClock
from placet.transport.grpc.errors import status_of
from placet.transport.grpc.messages.from_proto import parse_request

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping, Sequence
    from datetime import datetime

    from placet import sdk
    from placet.audit.ports import Ledger
    from placet.cli.scenarios.api import Report, Selector
    from placet.decision.ports import PolicySource

SECOND_US = 1_000_000
CALLER = Caller(peer="test")


@dataclass
class SettableClock:
    """A wall clock that tests set. Its monotonic clock is the machine's."""

    now_us: int

    def wall_us(self) -> int:
        return self.now_us

    def monotonic(self) -> float:
        return SystemClock().monotonic()


class InProcessApi:
    """A `placet.cli.scenarios.api.Api`. When `policies` belong to a running server, call it in its event loop."""

    def __init__(self, policies: PolicySource, ledger: Ledger, clock: SettableClock) -> None:
        self._ledger = ledger
        self._clock = clock
        self.errors: list[BaseException] = []
        controls = ControlState(ledger)
        self._point = decision_point(
            Gatherer(policies, ledger, controls, clock, NO_MAX_AGE),
            Recorder(clock, RandomIds(), RESERVATION_TTL_SECONDS),
            self.errors.append,
            lambda rule_id, why: self.errors.append(AssertionError(f"{rule_id}: {why}")),
        )
        commands = ControlCommands(ledger, clock, controls)
        self._approvals = Approvals(ledger, policies, clock)
        self._outcomes = OutcomeService(ledger, policies, clock)
        self._switches = KillSwitches(commands, Revoker(ledger, clock, policies, controls))
        self._autonomy = AutonomyAdmin(commands, policies)
        self._budgets = BudgetAdmin(commands, policies)

    async def authorize(self, requests: Sequence[sdk.Request]) -> Sequence[Answer]:
        with _refusals():
            parsed = [
                parse_request(request_to_proto(request, request.idempotency_key or uuid.uuid4().hex))
                for request in requests
            ]
        now_us = self._clock.wall_us()
        decisions = await self._point.decide([Request(proposal, CALLER, now_us) for proposal in parsed])
        assert not self.errors
        return [
            _answer(decision, request.identity.tenant) for decision, request in zip(decisions, requests, strict=True)
        ]

    async def report(self, answer: Answer, report: Report) -> Receipt:
        outcome = Outcome(
            OutcomeStatus(report.status),
            tokens=report.tokens,
            cost_micros=report.cost_micros,
            amount_minor_units=report.amount_minor_units,
        )
        [reply] = await self._outcomes.report([OutcomeReport(answer.tenant, answer.decision_id, CALLER, outcome)])
        if not isinstance(reply, OutcomeReceipt):
            _refuse(reply)
        return Receipt(reply.late, reply.exceeded_budget_ids)

    async def vote(self, verb: str, answer: Answer, person: sdk.Person, reason: str) -> ApprovalStatus:
        if answer.approval is None:
            raise RefusedError("approval_id", "is required")
        command = VoteCommand(answer.tenant, answer.approval.id, Person(person.id, tuple(person.roles)), reason, CALLER)
        with _refusals():
            view = await getattr(self._approvals, verb)(command)
        votes = [(vote.person, vote.role) for vote in view.approval.votes]
        return ApprovalStatus(view.state.value, votes, view.approval.quorum)

    async def kill_switches(self, tenant: str) -> Sequence[Switch]:
        switches = [view.switch for view in await self._switches.list(tenant)]
        return [
            Switch(switch.switch_id, switch.actor, switch.scope.value, switch.value, switch.tenant)
            for switch in switches
        ]

    async def set_kill_switch(
        self, scope: sdk.KillScope, value: str, tenant: str, actor: str, reason: str, seconds: int
    ) -> tuple[str, int]:
        command = NewSwitch(KillScope(scope.value), tenant, value, actor, reason, seconds, CALLER)
        with _refusals():
            switch, revocation = await self._switches.set(command)
        return switch.switch_id, len(revocation.revoked)

    async def clear_kill_switch(self, switch_id: str, tenant: str, actor: str, reason: str) -> bool:
        with _refusals():
            return (await self._switches.clear(switch_id, tenant, actor, reason)).waiting is None

    async def set_autonomy(self, tenant: str, level: str, selector: Selector, actor: str, reason: str) -> bool:
        new_level = AutonomyLevel(level) if level else None
        with _refusals():
            done = await self._autonomy.set(
                NewLevel(tenant, selector.workflow, selector.tool, selector.agent, new_level, actor, reason)
            )
        return done.waiting is None

    async def adjust_budget(
        self, tenant: str, budget_id: str, scope_key: str, amount: int, actor: str, reason: str
    ) -> bool:
        with _refusals():
            done = await self._budgets.adjust(Adjustment(tenant, budget_id, scope_key, amount, actor, reason))
        return done.waiting is None

    async def permit_keys(self) -> sdk.PermitKeySet:
        raise UnsupportedStepError("a decision point signs no permits; a server does")

    async def recorded(self, answer: Answer) -> Mapping[str, Any]:
        record = await self._ledger.get_decision(answer.tenant, answer.decision_id)
        assert record is not None
        required = record.decision.approval
        return {
            "event": tool_call_event(record),
            "effect": record.decision.effect.value,
            "rule_id": record.decision.rule_id,
            "tenant": record.tenant,
            "input": json.loads(record.input_json),
            "findings": [structs.asdict(finding) for finding in record.decision.findings],
            "approval": required and {"quorum": required.quorum, "approver_roles": list(required.approver_roles)},
            "replayable": record.replayable,
        }

    async def set_time(self, now: datetime) -> None:
        self._clock.now_us = int(now.timestamp() * SECOND_US)

    async def advance(self, seconds: float) -> None:
        self._clock.now_us += round(seconds * SECOND_US)


@contextlib.contextmanager
def _refusals() -> Iterator[None]:
    try:
        yield
    except PlacetError as error:
        _refuse(error)


def _refuse(error: PlacetError) -> NoReturn:
    """Raise RefusedError with the reason that a client receives over gRPC."""
    if isinstance(error, InvalidRequestError):
        first = error.violations[0]
        raise RefusedError(first.field, first.description)
    info = error_details_pb2.ErrorInfo()
    assert status_of(error).details[0].Unpack(info)
    raise RefusedError(info.reason, str(error))


def _answer(decision: object, tenant: str) -> Answer:
    if isinstance(decision, PlacetError):
        _refuse(decision)
    assert isinstance(decision, Decision)
    required = decision.approval
    return Answer(
        decision.decision_id,
        tenant,
        decision.effect.value,
        decision.rule_id,
        decision.reason,
        Approval(required.approval_id, required.quorum, required.approver_roles) if required else None,
        {budget.id: budget.remaining for budget in decision.budgets},
        decision.autonomy,
        decision.shadow_effect.value if decision.shadow_effect else "",
    )
