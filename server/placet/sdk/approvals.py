"""Shows requests for approval to people, and takes their word."""

from __future__ import annotations

from typing import TYPE_CHECKING

from placet.sdk.approval_wire import STATES, approval_change_of, approval_of, page_of, person_message, voided_of
from placet.sdk.blocking import BlockingClient
from placet.sdk.channel import (
    APPROVE_ACTION,
    CANCEL_APPROVAL,
    GET_APPROVAL,
    LIST_APPROVALS,
    REJECT_ACTION,
    VOID_VOTES,
    WATCH_APPROVALS,
)
from placet.sdk.fields import filled, refused
from placet.v1 import approval_pb2

if TYPE_CHECKING:
    from collections.abc import Iterator

    from placet.sdk.approval import (
        ApprovalChange,
        ApprovalPage,
        ApprovalState,
        Person,
        RequestedApproval,
        VoidedVotes,
    )


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
            raise refused(("state", f"must be an ApprovalState, not {state!r}"))
        number = approval_pb2.APPROVAL_STATE_UNSPECIFIED if state is None else STATES[state]
        message = approval_pb2.ListApprovalsRequest(state=number)
        request = filled(message, "", tenant=tenant, page_size=page_size, page_token=page_token)
        parse = approval_pb2.ListApprovalsResponse.FromString
        return page_of(self._channel.read(LIST_APPROVALS, request, parse, self._timeout))

    def get(self, tenant: str, approval_id: str, viewer: Person | None = None) -> RequestedApproval:
        """One approval with all that is needed to decide. Those who may vote see its exact parameters."""
        named = person_message("viewer", viewer) if viewer is not None else None
        message = approval_pb2.GetApprovalRequest(viewer=named)
        request = filled(message, "", tenant=tenant, approval_id=approval_id)
        parse = approval_pb2.GetApprovalResponse.FromString
        return approval_of(self._channel.read(GET_APPROVAL, request, parse, self._timeout).approval)

    def approve(
        self, tenant: str, approval_id: str, approver: Person, *, reason: str = "", action_digest: str = ""
    ) -> RequestedApproval:
        """Vote for it. `action_digest` is that of the action that the person was shown."""
        message = approval_pb2.ApproveActionRequest(approver=person_message("approver", approver))
        request = filled(
            message, "", tenant=tenant, approval_id=approval_id, reason=reason, action_digest=action_digest
        )
        parse = approval_pb2.ApproveActionResponse.FromString
        return approval_of(self._channel.change(APPROVE_ACTION, request, parse, self._timeout).approval)

    def reject(self, tenant: str, approval_id: str, approver: Person, reason: str) -> RequestedApproval:
        """Vote against it, which ends it."""
        message = approval_pb2.RejectActionRequest(approver=person_message("approver", approver))
        request = filled(message, "", tenant=tenant, approval_id=approval_id, reason=reason)
        parse = approval_pb2.RejectActionResponse.FromString
        return approval_of(self._channel.change(REJECT_ACTION, request, parse, self._timeout).approval)

    def cancel(self, tenant: str, approval_id: str, actor: Person, reason: str = "") -> RequestedApproval:
        """Withdraw it: nobody has to decide any longer."""
        message = approval_pb2.CancelApprovalRequest(actor=person_message("actor", actor))
        request = filled(message, "", tenant=tenant, approval_id=approval_id, reason=reason)
        parse = approval_pb2.CancelApprovalResponse.FromString
        return approval_of(self._channel.change(CANCEL_APPROVAL, request, parse, self._timeout).approval)

    def void_votes(self, person: str, actor: Person, reason: str, *, tenant: str = "") -> VoidedVotes:
        """Void what the person voted for, in one tenant or in all that are served.

        Open requests wait again. The permits of those that were used are revoked, where too few votes are left.
        For an account that was stolen: take the person out of the tenant's `approver_groups` first, so that no vote
        comes after.
        """
        message = approval_pb2.VoidVotesRequest(actor=person_message("actor", actor))
        request = filled(message, "", tenant=tenant, person=person, reason=reason)
        parse = approval_pb2.VoidVotesResponse.FromString
        return voided_of(self._channel.change(VOID_VOTES, request, parse, self._timeout))

    def watch(self, tenant: str, cursor: str = "", timeout: float | None = None) -> Iterator[ApprovalChange]:
        """The approvals that are pending, then each one that changes; after a `cursor`, all that changed since.

        It goes on by itself after a lost connection, and may then tell something twice. It ends with CallFailedError:
        after `timeout` seconds, or when the server refuses it.
        """
        request = filled(approval_pb2.WatchApprovalsRequest(), "", tenant=tenant)
        parse = approval_pb2.WatchApprovalsResponse.FromString
        messages = self._channel.follow(WATCH_APPROVALS, request, parse, cursor, timeout)
        return (change for change in map(approval_change_of, messages) if change is not None)
