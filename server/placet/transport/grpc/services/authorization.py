"""placet.v1.AuthorizationService."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING

from placet.approvals.page import NO_PAGE
from placet.decision.attempt import Request
from placet.kernel.errors import IdempotencyConflictError, InvalidRequestError
from placet.kernel.steps import TOGETHER
from placet.permits.claims import permit_of
from placet.scheduling.slices import Turns
from placet.transport.grpc.handlers import unary
from placet.transport.grpc.messages.parse import parsing, parsing_batch
from placet.transport.grpc.messages.present import present_decision
from placet.transport.grpc.refused_requests import caller_of
from placet.v1 import authorization_pb2

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    import grpc

    from placet.approvals.page import ApprovalPage
    from placet.decision.replies import Answer
    from placet.kernel.clock import Clock
    from placet.kernel.model import Decision, Proposal
    from placet.kernel.steps import Steps
    from placet.permits.claims import PermitKeys
    from placet.scheduling.batching import Batcher
    from placet.transport.grpc.context import Context
    from placet.transport.grpc.flows import Flows
    from placet.transport.grpc.refused_requests import RefusalLog
    from placet.v1 import decision_pb2

SERVICE = "placet.v1.AuthorizationService"


@dataclass(frozen=True, slots=True)
class AuthorizationService:
    """Parses, has it decided, answers. `refusals` records what could not be parsed."""

    decisions: Batcher[Request, Answer]
    refusals: RefusalLog
    permit_keys: PermitKeys
    clock: Clock
    flows: Flows
    approval_page: ApprovalPage = NO_PAGE
    turns: Turns = field(default_factory=Turns)

    def handlers(self, on_error: Callable[[BaseException], None]) -> dict[str, grpc.RpcMethodHandler[object, object]]:
        """Method name -> handler."""
        return {
            "Authorize": unary(self.authorize, authorization_pb2.AuthorizeRequest, on_error, self.refusals.malformed),
            "AuthorizeBatch": unary(
                self.authorize_batch, authorization_pb2.AuthorizeBatchRequest, on_error, self.refusals.malformed
            ),
        }

    async def authorize(
        self, message: authorization_pb2.AuthorizeRequest, context: Context
    ) -> authorization_pb2.AuthorizeResponse:
        """Decide one action."""
        received_at_us = self.clock.wall_us()
        try:
            proposal = await self.turns.take(parsing(message, _traceparent(context)))
        except InvalidRequestError as error:
            await self.refusals.refused("Authorize", message.identity.tenant, error, context)
            raise
        [decision] = await self._decide([proposal], received_at_us, context)
        return authorization_pb2.AuthorizeResponse(decision=self._told(proposal, decision))

    async def authorize_batch(
        self, message: authorization_pb2.AuthorizeBatchRequest, context: Context
    ) -> authorization_pb2.AuthorizeBatchResponse:
        """Decide a plan, in order, in one commit."""
        received_at_us = self.clock.wall_us()
        try:
            proposals = await self.turns.take(parsing_batch(message, _traceparent(context)))
        except InvalidRequestError as error:
            tenant = message.requests[0].identity.tenant if message.requests else ""
            await self.refusals.refused("AuthorizeBatch", tenant, error, context)
            raise
        decisions = await self._decide(proposals, received_at_us, context)
        told = await self.turns.take(self._telling(proposals, decisions))
        return authorization_pb2.AuthorizeBatchResponse(decisions=told)

    def _telling(
        self, proposals: Sequence[Proposal], decisions: Sequence[Decision]
    ) -> Steps[list[decision_pb2.Decision]]:
        told: list[decision_pb2.Decision] = []
        for proposal, decision in zip(proposals, decisions, strict=True):
            told.append(self._told(proposal, decision))
            if not len(told) % TOGETHER or any(each.details for each in decision.findings):
                yield
        return told

    def _told(self, proposal: Proposal, decision: Decision) -> decision_pb2.Decision:
        """The decision with its permit, which is signed anew: the same decision has the same one."""
        approval_id = decision.approval.approval_id if decision.approval is not None else ""
        url = self.approval_page.url(proposal.identity.tenant, approval_id)
        return present_decision(decision, permit_of(decision, proposal, self.permit_keys), url)

    async def _decide(self, proposals: Sequence[Proposal], received_at_us: int, context: Context) -> Sequence[Decision]:
        caller = caller_of(context)
        requests = [Request(each, caller, received_at_us) for each in proposals]
        flow = self.flows.of(proposals[0].identity.tenant, context)
        answers = await self.decisions.submit(requests, flow, context.time_remaining())
        decisions: list[Decision] = []
        for answer in answers:
            if isinstance(answer, IdempotencyConflictError):
                raise answer
            decisions.append(answer)
        return decisions


def _traceparent(context: Context) -> str:
    for key, value in context.invocation_metadata() or ():
        if key == "traceparent" and isinstance(value, str):
            return value
    return ""
