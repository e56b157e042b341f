"""placet.v1.ApprovalService."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Final

from placet.approvals.service import VoteCommand
from placet.approvals.vote_voiding import Voiding
from placet.kernel.errors import InvalidRequestError
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
from placet.transport.grpc.messages.fields import Fields
from placet.transport.grpc.messages.present_approval import STATES, present_approval, present_listed
from placet.transport.grpc.refused_requests import caller_of
from placet.v1 import approval_pb2

if TYPE_CHECKING:
    from collections.abc import Callable

    import grpc

    from placet.approvals.service import Approvals
    from placet.approvals.vote_voiding import VoteVoiding
    from placet.transport.grpc.context import Context
    from placet.transport.grpc.refused_requests import RefusalLog
    from placet.transport.grpc.services.watch import Watching
    from placet.v1 import person_pb2

SERVICE = "placet.v1.ApprovalService"
_STATES: Final[dict[int, str]] = {
    approval_pb2.APPROVAL_STATE_UNSPECIFIED: "",
    **{number: state.value for state, number in STATES.items()},
}


@dataclass(frozen=True, slots=True)
class ApprovalService:
    """Parses, has it done, answers. `refusals` records what could not be parsed."""

    approvals: Approvals
    voiding: VoteVoiding
    watching: Watching
    refusals: RefusalLog

    def handlers(self, on_error: Callable[[BaseException], None]) -> dict[str, grpc.RpcMethodHandler[object, object]]:
        """Method name -> handler."""
        return {
            "ListApprovals": self.refusals.unary(self.list_approvals, approval_pb2.ListApprovalsRequest, on_error),
            "GetApproval": self.refusals.unary(self.get_approval, approval_pb2.GetApprovalRequest, on_error),
            "ApproveAction": self.refusals.unary(self.approve_action, approval_pb2.ApproveActionRequest, on_error),
            "RejectAction": self.refusals.unary(self.reject_action, approval_pb2.RejectActionRequest, on_error),
            "CancelApproval": self.refusals.unary(self.cancel_approval, approval_pb2.CancelApprovalRequest, on_error),
            "VoidVotes": self.refusals.unary(self.void_votes, approval_pb2.VoidVotesRequest, on_error),
            "WatchApprovals": self.refusals.streaming(
                self.watching.watch_approvals, approval_pb2.WatchApprovalsRequest, on_error
            ),
        }

    async def list_approvals(
        self, message: approval_pb2.ListApprovalsRequest, _context: Context
    ) -> approval_pb2.ListApprovalsResponse:
        """A page, newest first."""
        fields = Fields()
        tenant = fields.tenant("tenant", message.tenant)
        size = fields.count("page_size", message.page_size, PAGE_SIZE_MAX) or PAGE_SIZE_DEFAULT
        if message.state not in _STATES:
            fields.wrong("state", f"{message.state} is no state that this server knows")
        _require(fields)
        query = RowQuery(StateTable.APPROVALS, tenant, _STATES[message.state], size, message.page_token)
        page = await self.approvals.listed(query)
        return approval_pb2.ListApprovalsResponse(
            approvals=[present_listed(shown) for shown in page.approvals], next_page_token=page.next_page_token
        )

    async def get_approval(
        self, message: approval_pb2.GetApprovalRequest, _context: Context
    ) -> approval_pb2.GetApprovalResponse:
        """One, with everything that a person needs to decide."""
        fields = Fields()
        tenant, approval_id = _which(fields, message)
        viewer = _person(fields, "viewer", message.viewer) if message.HasField("viewer") else None
        _require(fields)
        shown = await self.approvals.get(tenant, approval_id, viewer)
        return approval_pb2.GetApprovalResponse(approval=present_approval(shown))

    async def approve_action(
        self, message: approval_pb2.ApproveActionRequest, context: Context
    ) -> approval_pb2.ApproveActionResponse:
        """A vote for it."""
        fields = Fields()
        seen_digest = fields.sha256("action_digest", message.action_digest)
        word = _word(fields, message, "approver", message.approver, context)
        shown = await self.approvals.approve(word, seen_digest)
        return approval_pb2.ApproveActionResponse(approval=present_approval(shown))

    async def reject_action(
        self, message: approval_pb2.RejectActionRequest, context: Context
    ) -> approval_pb2.RejectActionResponse:
        """A vote against it."""
        shown = await self.approvals.reject(_word(Fields(), message, "approver", message.approver, context))
        return approval_pb2.RejectActionResponse(approval=present_approval(shown))

    async def cancel_approval(
        self, message: approval_pb2.CancelApprovalRequest, context: Context
    ) -> approval_pb2.CancelApprovalResponse:
        """Withdraw it."""
        shown = await self.approvals.cancel(_word(Fields(), message, "actor", message.actor, context))
        return approval_pb2.CancelApprovalResponse(approval=present_approval(shown))

    async def void_votes(
        self, message: approval_pb2.VoidVotesRequest, context: Context
    ) -> approval_pb2.VoidVotesResponse:
        """Void what a person voted for."""
        fields = Fields()
        tenant = fields.tenant("tenant", message.tenant) if message.tenant else ""
        person = fields.name("person", message.person.strip(), PRINCIPAL_BYTES_MAX, required=True)
        actor = _person(fields, "actor", message.actor)
        reason = fields.text("reason", message.reason.strip(), CONTROL_REASON_BYTES_MAX, required=True)
        _require(fields)
        done = await self.voiding.void(Voiding(tenant, person, actor, reason, caller_of(context)))
        return approval_pb2.VoidVotesResponse(
            voided=[present_listed(shown) for shown in done.open],
            used=[present_listed(shown) for shown in done.used],
            voided_count=done.open_count,
            used_count=done.used_count,
            used_voided_count=done.used_voided_count,
            revoked_decision_ids=done.revoked,
            revoked_count=done.revoked_count,
            tenants_without_groups=done.without_groups,
        )


_Said = (
    approval_pb2.ApproveActionRequest
    | approval_pb2.RejectActionRequest
    | approval_pb2.CancelApprovalRequest
    | approval_pb2.GetApprovalRequest
)


def _word(
    fields: Fields,
    message: approval_pb2.ApproveActionRequest | approval_pb2.RejectActionRequest | approval_pb2.CancelApprovalRequest,
    who: str,
    named: person_pb2.Person,
    context: Context,
) -> VoteCommand:
    tenant, approval_id = _which(fields, message)
    person = _person(fields, who, named)
    reason = fields.text("reason", message.reason, CONTROL_REASON_BYTES_MAX).strip()
    _require(fields)
    return VoteCommand(tenant, approval_id, person, reason, caller_of(context))


def _which(fields: Fields, message: _Said) -> tuple[str, str]:
    tenant = fields.tenant("tenant", message.tenant)
    return tenant, fields.text("approval_id", message.approval_id, SHORT_LABEL_BYTES_MAX, required=True)


def _person(fields: Fields, who: str, named: person_pb2.Person) -> Person:
    name = fields.name(f"{who}.id", named.id.strip(), PRINCIPAL_BYTES_MAX, required=True)
    roles = fields.names(f"{who}.roles", named.roles, ROLES_MAX, LABEL_BYTES_MAX)
    return Person(name, tuple(sorted(set(roles))))


def _require(fields: Fields) -> None:
    if fields.violations:
        raise InvalidRequestError(fields.violations)
