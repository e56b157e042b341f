"""Shows requests for approval to people, and takes their word."""

from __future__ import annotations

from typing import TYPE_CHECKING

from placet.sdk._sync.channel import BlockingClient
from placet.sdk._wire.approvals import (
    STATES,
    approval_change_from_proto,
    approval_from_proto,
    approval_page_from_proto,
    person_to_proto,
    voided_votes_from_proto,
)
from placet.sdk._wire.fields import invalid, set_fields
from placet.sdk._wire.methods import (
    APPROVE_ACTION,
    CANCEL_APPROVAL,
    GET_APPROVAL,
    LIST_APPROVALS,
    REJECT_ACTION,
    VOID_VOTES,
    WATCH_APPROVALS,
)
from placet.v1 import approval_pb2

if TYPE_CHECKING:
    from collections.abc import Iterator

    from placet.sdk.approvals import Approval, ApprovalChange, ApprovalPage, ApprovalState, Person, VoidedVotes


class ApprovalClient(BlockingClient):
    """For those who decide. Safe to use from several threads. Whatever fails raises CallFailedError.

    A vote that cannot count raises it too: `failure.error` is the stable id of why, such as ``VOTED_ALREADY``. A vote
    is sent once; when no answer came, `get` says whether it counted.
    """

    def list(
        self, tenant: str, state: ApprovalState | None = None, *, page_size: int = 0, page_token: str = ""
    ) -> ApprovalPage:
        """A page of the tenant's approvals, newest first, without parameters. `page_size` 0 is 50."""
        if state is not None and state not in STATES:
            raise invalid(("state", f"must be an ApprovalState, not {state!r}"))
        number = approval_pb2.APPROVAL_STATE_UNSPECIFIED if state is None else STATES[state]
        message = approval_pb2.ListApprovalsRequest(state=number)
        request = set_fields(message, "", tenant=tenant, page_size=page_size, page_token=page_token)
        parse = approval_pb2.ListApprovalsResponse.FromString
        return approval_page_from_proto(self._channel.read(LIST_APPROVALS, request, parse, self._timeout))

    def get(self, tenant: str, approval_id: str, viewer: Person | None = None) -> Approval:
        """One approval with all that is needed to decide. Those who may vote see its exact parameters."""
        named = person_to_proto("viewer", viewer) if viewer is not None else None
        message = approval_pb2.GetApprovalRequest(viewer=named)
        request = set_fields(message, "", tenant=tenant, approval_id=approval_id)
        parse = approval_pb2.GetApprovalResponse.FromString
        return approval_from_proto(self._channel.read(GET_APPROVAL, request, parse, self._timeout).approval)

    def approve(
        self, tenant: str, approval_id: str, approver: Person, *, reason: str = "", action_digest: str = ""
    ) -> Approval:
        """Vote for it. `action_digest` is that of the action that the person was shown."""
        message = approval_pb2.ApproveActionRequest(approver=person_to_proto("approver", approver))
        request = set_fields(
            message, "", tenant=tenant, approval_id=approval_id, reason=reason, action_digest=action_digest
        )
        parse = approval_pb2.ApproveActionResponse.FromString
        return approval_from_proto(self._channel.change(APPROVE_ACTION, request, parse, self._timeout).approval)

    def reject(self, tenant: str, approval_id: str, approver: Person, reason: str) -> Approval:
        """Vote against it, which ends it."""
        message = approval_pb2.RejectActionRequest(approver=person_to_proto("approver", approver))
        request = set_fields(message, "", tenant=tenant, approval_id=approval_id, reason=reason)
        parse = approval_pb2.RejectActionResponse.FromString
        return approval_from_proto(self._channel.change(REJECT_ACTION, request, parse, self._timeout).approval)

    def cancel(self, tenant: str, approval_id: str, actor: Person, reason: str = "") -> Approval:
        """Withdraw it: nobody has to decide any longer."""
        message = approval_pb2.CancelApprovalRequest(actor=person_to_proto("actor", actor))
        request = set_fields(message, "", tenant=tenant, approval_id=approval_id, reason=reason)
        parse = approval_pb2.CancelApprovalResponse.FromString
        return approval_from_proto(self._channel.change(CANCEL_APPROVAL, request, parse, self._timeout).approval)

    def void_votes(self, person: str, actor: Person, reason: str, *, tenant: str = "") -> VoidedVotes:
        """Void what the person voted for, in one tenant or in all that are served.

        Open requests wait again. The permits of those that were used are revoked, where too few votes are left.
        For an account that was stolen: take the person out of the tenant's `approver_groups` first, so that no vote
        comes after.
        """
        message = approval_pb2.VoidVotesRequest(actor=person_to_proto("actor", actor))
        request = set_fields(message, "", tenant=tenant, person=person, reason=reason)
        parse = approval_pb2.VoidVotesResponse.FromString
        return voided_votes_from_proto(self._channel.change(VOID_VOTES, request, parse, self._timeout))

    def watch(self, tenant: str, cursor: str = "", timeout: float | None = None) -> Iterator[ApprovalChange]:
        """The approvals that are pending, then each one that changes; after a `cursor`, all that changed since.

        It goes on by itself after a lost connection, and may then tell something twice. It ends with CallFailedError:
        after `timeout` seconds, or when the server refuses it.
        """
        request = set_fields(approval_pb2.WatchApprovalsRequest(), "", tenant=tenant)
        parse = approval_pb2.WatchApprovalsResponse.FromString
        messages = self._channel.follow(WATCH_APPROVALS, request, parse, cursor, timeout)
        return (change for change in map(approval_change_from_proto, messages) if change is not None)
