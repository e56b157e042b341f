"""The scenario API over gRPC, with the SDK's clients."""

from __future__ import annotations

import contextlib
import json
from dataclasses import asdict
from typing import TYPE_CHECKING, Any, NoReturn, Self

from placet import sdk
from placet.cli.scenarios.api import (
    Answer,
    Approval,
    ApprovalStatus,
    Receipt,
    RefusedError,
    Switch,
    UnsupportedStepError,
)
from placet.sdk import failures

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping, Sequence
    from datetime import datetime

    from placet.cli.scenarios.api import Report, Selector

_NO_CLOCK = "only a scenario that is played inside the process can move the clock"


class GrpcApi:
    """A `placet.cli.scenarios.api.Api` of a running server. An asynchronous context manager."""

    def __init__(self, address: str) -> None:
        self._client = sdk.AsyncClient(address)
        self._approvals = sdk.AsyncApprovalClient(address)
        self._control = sdk.AsyncControlClient(address)
        self._audit = sdk.AsyncAuditClient(address)

    async def authorize(self, requests: Sequence[sdk.Request]) -> Sequence[Answer]:
        """Decide the requests; one alone is sent as one."""
        if len(requests) > 1:
            return [_answer(decision) for decision in await self._client.authorize_batch(requests)]
        [request] = requests
        decision = await self._client.authorize(
            request.action,
            request.identity,
            run=request.run,
            model=request.model,
            evidence=request.evidence,
            idempotency_key=request.idempotency_key,
            approval_id=request.approval_id,
            include_permit=request.include_permit,
        )
        return [_answer(decision)]

    async def report(self, answer: Answer, report: Report) -> Receipt:
        """Report the outcome of an allowed call."""
        with _refusals():
            receipt = await self._client.report_outcome(
                answer.decision_id,
                report.status,
                tenant=answer.tenant,
                tokens=report.tokens,
                cost_micros=report.cost_micros,
                amount_minor_units=report.amount_minor_units,
            )
        return Receipt(receipt.late, receipt.exceeded_budget_ids)

    async def vote(self, verb: str, answer: Answer, person: sdk.Person, reason: str) -> ApprovalStatus:
        """Approve, reject or cancel the approval that the answer requires."""
        approval_id = answer.approval.id if answer.approval else ""
        with _refusals():
            match verb:
                case "approve":
                    approval = await self._approvals.approve(answer.tenant, approval_id, person, reason=reason)
                case "reject":
                    approval = await self._approvals.reject(answer.tenant, approval_id, person, reason)
                case _:
                    approval = await self._approvals.cancel(answer.tenant, approval_id, person, reason)
        votes = [(vote.person, vote.role) for vote in approval.votes]
        return ApprovalStatus(approval.state.value, votes, approval.quorum)

    async def kill_switches(self, tenant: str) -> Sequence[Switch]:
        """Kill switches that apply to the tenant."""
        with _refusals():
            switches = await self._control.kill_switches(tenant)
        return [Switch(each.id, each.actor, each.scope.value, each.value, each.tenant) for each in switches]

    async def set_kill_switch(
        self, scope: sdk.KillScope, value: str, tenant: str, actor: str, reason: str, seconds: int
    ) -> tuple[str, int]:
        """Set a kill switch; returns its id and the number of permits that it revoked."""
        with _refusals():
            done = await self._control.set_kill_switch(
                scope, value, tenant=tenant, actor=actor, reason=reason, expires_after_seconds=seconds
            )
        return done.kill_switch.id, len(done.revoked)

    async def clear_kill_switch(self, switch_id: str, tenant: str, actor: str, reason: str) -> bool:
        """Clear a kill switch; returns False when a second person must confirm it."""
        with _refusals():
            pending = await self._control.clear_kill_switch(switch_id, tenant=tenant, actor=actor, reason=reason)
        return pending is None

    async def set_autonomy(self, tenant: str, level: str, selector: Selector, actor: str, reason: str) -> bool:
        """Set or remove a level of autonomy; returns False when a second person must confirm it."""
        with _refusals():
            done = await self._control.set_autonomy(
                tenant,
                sdk.Autonomy(level or sdk.Autonomy.UNSPECIFIED),
                actor=actor,
                reason=reason,
                workflow=selector.workflow,
                tool=selector.tool,
                agent=selector.agent,
            )
        return done.pending_request is None

    async def adjust_budget(
        self, tenant: str, budget_id: str, scope_key: str, amount: int, actor: str, reason: str
    ) -> bool:
        """Add to what a budget's counter has used; returns False when a second person must confirm it."""
        with _refusals():
            done = await self._control.adjust_budget(tenant, budget_id, scope_key, amount, actor=actor, reason=reason)
        return done.pending_request is None

    async def permit_keys(self) -> sdk.PermitKeySet:
        """Keys that verify permits."""
        return sdk.PermitKeySet(await self._control.permit_keys())

    async def recorded(self, answer: Answer) -> Mapping[str, Any]:
        """Audit record of the decision."""
        found = await self._audit.get(answer.tenant, answer.decision_id)
        if found is None:
            raise RefusedError("", f"{answer.decision_id} is not in the audit trail")
        required = found.decision.approval
        return {
            "event": json.loads(found.event_json),
            "effect": found.decision.effect.value,
            "rule_id": found.decision.rule_id,
            "tenant": found.tenant,
            "input": json.loads(found.input_json),
            "findings": [asdict(finding) for finding in found.decision.findings],
            "approval": required and {"quorum": required.quorum, "approver_roles": list(required.approver_roles)},
            "replayable": found.replayable,
        }

    async def set_time(self, now: datetime) -> None:
        """Not supported."""
        raise UnsupportedStepError(f"{now}: {_NO_CLOCK}")

    async def advance(self, seconds: float) -> None:
        """Not supported."""
        raise UnsupportedStepError(f"{seconds} s: {_NO_CLOCK}")

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(self, *_: object) -> None:
        for client in (self._client, self._approvals, self._control, self._audit):
            await client.close()


@contextlib.contextmanager
def _refusals() -> Iterator[None]:
    try:
        yield
    except sdk.CallFailedError as error:
        _refuse(error.failure)


def _refuse(failure: sdk.Failure) -> NoReturn:
    """Raise the server's reason, or the first field that it names."""
    if failure.violations:
        first = failure.violations[0]
        raise RefusedError(first.field, first.description)
    raise RefusedError(failure.error or failure.rule_id, failure.detail)


def _answer(decision: sdk.Decision) -> Answer:
    failure = decision.failure
    if failure is not None and failure.rule_id == failures.INVALID_ARGUMENT and failure.violations:
        _refuse(failure)
    required = decision.approval
    return Answer(
        decision.decision_id,
        decision.tenant,
        decision.effect.value,
        decision.rule_id,
        decision.reason,
        Approval(required.id, required.quorum, required.approver_roles) if required else None,
        {budget.id: budget.remaining for budget in decision.budgets},
        decision.autonomy.value,
        decision.shadow_effect.value if decision.shadow_effect else "",
        decision.permit,
    )
