"""The servicer of placet.v1.ApprovalService."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, TypeAlias

from placet.approvals.service import VoteCommand
from placet.approvals.vote_voiding import Voiding
from placet.kernel.limits import (
    CONTROL_REASON_BYTES_MAX,
    LABEL_BYTES_MAX,
    PAGE_SIZE_DEFAULT,
    PAGE_SIZE_MAX,
    PRINCIPAL_BYTES_MAX,
    ROLES_MAX,
    SHORT_LABEL_BYTES_MAX,
)
from placet.kernel.state import RowQuery, StateTable
from placet.matching.person import Person
from placet.transport.grpc.interceptors.caller import current_caller
from placet.transport.grpc.messages.approvals import STATES, approval_to_proto, listed_approval_to_proto
from placet.transport.grpc.messages.validation import RequestValidator
from placet.v1 import approval_pb2, approval_pb2_grpc

if TYPE_CHECKING:
    from collections.abc import AsyncGenerator

    from placet.approvals.service import Approvals
    from placet.approvals.vote_voiding import VoteVoiding
    from placet.transport.grpc.context import Context
    from placet.transport.grpc.services.watch import ChangeStreams
    from placet.v1 import person_pb2

_Vote: TypeAlias = (
    approval_pb2.ApproveActionRequest | approval_pb2.RejectActionRequest | approval_pb2.CancelApprovalRequest
)


@dataclass(frozen=True)
class ApprovalServicer(approval_pb2_grpc.ApprovalServiceServicer):
    """Lists approvals, takes votes, and streams changes."""

    approvals: Approvals
    voiding: VoteVoiding
    streams: ChangeStreams

    async def ListApprovals(
        self, request: approval_pb2.ListApprovalsRequest, _context: Context
    ) -> approval_pb2.ListApprovalsResponse:
        """Return a page of approvals, newest first."""
        validator = RequestValidator()
        tenant = validator.tenant("tenant", request.tenant)
        size = validator.count("page_size", request.page_size, PAGE_SIZE_MAX) or PAGE_SIZE_DEFAULT
        state = STATES.from_wire.get(request.state)
        if state is None and request.state:
            validator.violation("state", f"{request.state} is not a known state; use a value of ApprovalState")
        validator.require_valid()
        query = RowQuery(
            StateTable.APPROVALS, tenant, state.value if state is not None else "", size, request.page_token
        )
        page = await self.approvals.listed(query)
        return approval_pb2.ListApprovalsResponse(
            approvals=[listed_approval_to_proto(view) for view in page.approvals],
            next_page_token=page.next_page_token,
        )

    async def GetApproval(
        self, request: approval_pb2.GetApprovalRequest, _context: Context
    ) -> approval_pb2.GetApprovalResponse:
        """Return one approval with everything that a person needs to vote."""
        validator = RequestValidator()
        tenant, approval_id = _approval_of(validator, request)
        viewer = _person(validator, "viewer", request.viewer) if request.HasField("viewer") else None
        validator.require_valid()
        view = await self.approvals.get(tenant, approval_id, viewer)
        return approval_pb2.GetApprovalResponse(approval=approval_to_proto(view))

    async def ApproveAction(
        self, request: approval_pb2.ApproveActionRequest, _context: Context
    ) -> approval_pb2.ApproveActionResponse:
        """Vote for an approval."""
        validator = RequestValidator()
        seen_digest = validator.sha256("action_digest", request.action_digest)
        vote = _parse_vote(validator, request, "approver", request.approver)
        view = await self.approvals.approve(vote, seen_digest)
        return approval_pb2.ApproveActionResponse(approval=approval_to_proto(view))

    async def RejectAction(
        self, request: approval_pb2.RejectActionRequest, _context: Context
    ) -> approval_pb2.RejectActionResponse:
        """Vote against an approval."""
        vote = _parse_vote(RequestValidator(), request, "approver", request.approver)
        return approval_pb2.RejectActionResponse(approval=approval_to_proto(await self.approvals.reject(vote)))

    async def CancelApproval(
        self, request: approval_pb2.CancelApprovalRequest, _context: Context
    ) -> approval_pb2.CancelApprovalResponse:
        """Cancel an approval."""
        vote = _parse_vote(RequestValidator(), request, "actor", request.actor)
        return approval_pb2.CancelApprovalResponse(approval=approval_to_proto(await self.approvals.cancel(vote)))

    async def VoidVotes(
        self, request: approval_pb2.VoidVotesRequest, _context: Context
    ) -> approval_pb2.VoidVotesResponse:
        """Void the votes of a person."""
        result = await self.voiding.void(_parse_voiding(request))
        return approval_pb2.VoidVotesResponse(
            voided=[listed_approval_to_proto(view) for view in result.open],
            used=[listed_approval_to_proto(view) for view in result.used],
            voided_count=result.open_count,
            used_count=result.used_count,
            used_voided_count=result.used_voided_count,
            revoked_decision_ids=result.revoked,
            revoked_count=result.revoked_count,
            tenants_without_groups=result.without_groups,
        )

    def WatchApprovals(
        self, request: approval_pb2.WatchApprovalsRequest, _context: Context
    ) -> AsyncGenerator[approval_pb2.WatchApprovalsResponse]:
        """Stream the changes of a tenant's approvals."""
        return self.streams.of_approvals(request)


def _parse_vote(validator: RequestValidator, request: _Vote, field: str, voter: person_pb2.Person) -> VoteCommand:
    """Return the vote. `field` is the name of the field that holds the voter."""
    tenant, approval_id = _approval_of(validator, request)
    person = _person(validator, field, voter)
    reason = validator.text("reason", request.reason, CONTROL_REASON_BYTES_MAX).strip()
    validator.require_valid()
    return VoteCommand(tenant, approval_id, person, reason, current_caller())


def _parse_voiding(request: approval_pb2.VoidVotesRequest) -> Voiding:
    validator = RequestValidator()
    tenant = validator.optional_tenant("tenant", request.tenant)
    person = validator.name("person", request.person.strip(), PRINCIPAL_BYTES_MAX, required=True)
    actor = _person(validator, "actor", request.actor)
    reason = validator.text("reason", request.reason.strip(), CONTROL_REASON_BYTES_MAX, required=True)
    validator.require_valid()
    return Voiding(tenant, person, actor, reason, current_caller())


def _approval_of(validator: RequestValidator, request: _Vote | approval_pb2.GetApprovalRequest) -> tuple[str, str]:
    """Return the tenant and id of the approval."""
    tenant = validator.tenant("tenant", request.tenant)
    return tenant, validator.text("approval_id", request.approval_id, SHORT_LABEL_BYTES_MAX, required=True)


def _person(validator: RequestValidator, field: str, message: person_pb2.Person) -> Person:
    name = validator.name(f"{field}.id", message.id.strip(), PRINCIPAL_BYTES_MAX, required=True)
    roles = validator.names(f"{field}.roles", message.roles, ROLES_MAX, LABEL_BYTES_MAX)
    return Person(name, tuple(sorted(set(roles))))
