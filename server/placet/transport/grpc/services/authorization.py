"""The servicer of placet.v1.AuthorizationService."""

from __future__ import annotations

from dataclasses import dataclass, field
from operator import attrgetter
from typing import TYPE_CHECKING, Any, Final

from msgspec.structs import replace

from placet.approvals.page import NO_APPROVAL_URL
from placet.decision.attempt import Request
from placet.kernel.errors import IdempotencyConflictError
from placet.kernel.steps import TOGETHER
from placet.scheduling.slices import Turns
from placet.transport.grpc.interceptors.caller import current_caller, current_principal, current_user_proofs
from placet.transport.grpc.messages.from_proto import parsing, parsing_batch
from placet.transport.grpc.messages.to_proto import decision_fields
from placet.transport.grpc.services.outcomes import OutcomeMethods
from placet.v1 import authorization_pb2

if TYPE_CHECKING:
    from collections.abc import AsyncGenerator, Sequence

    from placet.actions.outcome import OutcomeReport
    from placet.approvals.page import ApprovalUrlTemplate
    from placet.decision.replies import Answer
    from placet.kernel.clock import Clock
    from placet.kernel.model import Decision, Proposal
    from placet.kernel.steps import Steps
    from placet.outcomes.service import OutcomeReply
    from placet.permits.issuing import PermitIssuer
    from placet.scheduling.batching import Batcher
    from placet.transport.grpc.context import Context
    from placet.transport.grpc.flows import Flows
    from placet.transport.grpc.services.watch import ChangeStreams

_DETAILS: Final = attrgetter("details")
_INCLUDE_PERMIT: Final = attrgetter("include_permit")


@dataclass(frozen=True)
class AuthorizationServicer(OutcomeMethods):
    """Decides proposed actions, records their outcomes, and streams their changes."""

    decisions: Batcher[Request, Answer]
    outcomes: Batcher[OutcomeReport, OutcomeReply]
    streams: ChangeStreams
    permits: PermitIssuer
    clock: Clock
    flows: Flows
    approval_page: ApprovalUrlTemplate = NO_APPROVAL_URL
    turns: Turns = field(default_factory=Turns)

    async def Authorize(
        self, request: authorization_pb2.AuthorizeRequest, context: Context
    ) -> authorization_pb2.AuthorizeResponse:
        """Decide one action."""
        received_at_us = self.clock.wall_us()
        proposal = await self.turns.take(
            parsing(request, _traceparent(context), verified=current_principal() is not None)
        )
        [decision] = await self._decide([request], [proposal], received_at_us, context.time_remaining())
        fields: Any = self._fields(request, proposal, decision)
        return authorization_pb2.AuthorizeResponse(decision=fields)

    async def AuthorizeBatch(
        self, request: authorization_pb2.AuthorizeBatchRequest, context: Context
    ) -> authorization_pb2.AuthorizeBatchResponse:
        """Decide a plan, in order, in one commit."""
        received_at_us = self.clock.wall_us()
        proposals = await self.turns.take(
            parsing_batch(request, _traceparent(context), verified=current_principal() is not None)
        )
        decisions = await self._decide(request.requests, proposals, received_at_us, context.time_remaining())
        return await self.turns.take(self._response(request.requests, proposals, decisions))

    async def AuthorizeStream(
        self, streamed: authorization_pb2.StreamedRequest, context: Context
    ) -> authorization_pb2.StreamedResponse:
        """Decide one request of a stream."""
        received_at_us = self.clock.wall_us()
        seconds = streamed.timeout_ms / 1_000 if streamed.timeout_ms else context.time_remaining()
        traceparent = streamed.traceparent or _traceparent(context)
        proposal = await self.turns.take(
            parsing(streamed.request, traceparent, verified=current_principal() is not None)
        )
        [decision] = await self._decide([streamed.request], [proposal], received_at_us, seconds)
        fields: Any = self._fields(streamed.request, proposal, decision)
        return authorization_pb2.StreamedResponse(id=streamed.id, decision=fields)

    def WatchDecision(
        self, request: authorization_pb2.WatchDecisionRequest, _context: Context
    ) -> AsyncGenerator[authorization_pb2.WatchDecisionResponse]:
        """Stream the changes of one decision."""
        return self.streams.of_decision(request)

    def _response(
        self,
        requests: Sequence[authorization_pb2.AuthorizeRequest],
        proposals: Sequence[Proposal],
        decisions: Sequence[Decision],
    ) -> Steps[authorization_pb2.AuthorizeBatchResponse]:
        response = authorization_pb2.AuthorizeBatchResponse()
        add = response.decisions.add
        for index, (request, proposal, decision) in enumerate(zip(requests, proposals, decisions, strict=True), 1):
            add(**self._fields(request, proposal, decision))
            if not index % TOGETHER or any(map(_DETAILS, decision.findings)):
                yield
        return response

    def _fields(
        self, request: authorization_pb2.AuthorizeRequest, proposal: Proposal, decision: Decision
    ) -> dict[str, Any]:
        """Return the fields of the decision's message, with its permit if that is wanted."""
        permit = self.permits.permit(decision, proposal, requested=request.include_permit)
        url = ""
        if decision.approval is not None:
            url = self.approval_page.url(proposal.identity.tenant, decision.approval.approval_id)
        return decision_fields(decision, permit, url)

    async def _decide(
        self,
        messages: Sequence[authorization_pb2.AuthorizeRequest],
        proposals: Sequence[Proposal],
        received_at_us: int,
        seconds: float | None,
    ) -> Sequence[Decision]:
        tenant = proposals[0].identity.tenant
        self.permits.require_keys(tenant, requested=any(map(_INCLUDE_PERMIT, messages)))
        caller = current_caller()
        if proofs := current_user_proofs():
            proposals = [
                proposal if proof is None else replace(proposal, user_proof=proof)
                for proposal, proof in zip(proposals, proofs, strict=True)
            ]
        requests = [
            Request(proposal, caller, received_at_us, proposals, message.include_permit)
            for message, proposal in zip(messages, proposals, strict=True)
        ]
        flow = self.flows.of(tenant)
        answers = await self.decisions.submit(requests, flow, seconds)
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
