"""The client of approvers, for asyncio."""

from __future__ import annotations

from typing import TYPE_CHECKING

from placet.sdk._async.base import AsyncBaseClient
from placet.sdk._wire import methods
from placet.sdk._wire.approvals import (
    approval_change_from_proto,
    approval_from_proto,
    approval_page_from_proto,
    approval_state_to_proto,
    person_to_proto,
    voided_votes_from_proto,
)
from placet.sdk._wire.fields import set_fields
from placet.v1 import approval_pb2

if TYPE_CHECKING:
    from collections.abc import AsyncGenerator

    from placet.sdk.approvals import Approval, ApprovalChange, ApprovalPage, ApprovalState, Person, VoidedVotes


class AsyncApprovalClient(AsyncBaseClient):
    """Client of an approver: shows requests for approval, and votes.

    ::

        from placet.sdk import AsyncApprovalClient, ApprovalState, Person

        lead = Person("u_bill", roles=["support_lead"])
        async with AsyncApprovalClient("127.0.0.1:7070") as approvals:
            page = await approvals.list("acme", ApprovalState.PENDING)
            shown = await approvals.get("acme", page.approvals[0].id, viewer=lead)
            await approvals.approve("acme", shown.id, lead, action_digest=shown.action_digest)

    Safe to use from several event loops.

    Args:
        address: Address of the server, ``host:port`` or ``unix:/path``.
        timeout: Default timeout of a call in seconds, more than 0 and at most 300.
        credentials: Credentials of a TLS connection, see `tls_credentials`. None takes them from the variables
            PLACET_TLS_CA_FILE, PLACET_CLIENT_CERT_FILE and PLACET_CLIENT_KEY_FILE; without them there is no TLS.
        token: Token of the caller, an access token or a JWT; or a function that returns the current one. It is called
            for each call, and must return at once. None takes the token from the variable PLACET_TOKEN, if that is set.
        allow_plaintext_token: True to send the token without TLS beyond this host, where something else encrypts.

    With a server that authenticates its callers, people are who their credential says: pass None for `approver`,
    `actor` and `viewer`. Another person than the credential's is refused with ``PERSON_MISMATCH``.

    Each method raises CallFailedError if the call fails, and InvalidRequestError if an argument is invalid. If a vote
    cannot count, `failure.error` of the CallFailedError is the stable id of the cause, such as ``VOTED_ALREADY``. A
    vote is sent once; if there is no response, `get` shows whether it counted.
    """

    async def list(
        self, tenant: str, state: ApprovalState | None = None, *, page_size: int = 0, page_token: str = ""
    ) -> ApprovalPage:
        """Return one page of the tenant's approvals, newest first, without the parameters of their actions.

        `state` None means any state. `page_size` 0 means 50; the maximum is 500. `page_token` is the `next_page_token`
        of the previous page.
        """
        message = approval_pb2.ListApprovalsRequest(state=approval_state_to_proto(state))
        request = set_fields(message, "", tenant=tenant, page_size=page_size, page_token=page_token)
        parse = approval_pb2.ListApprovalsResponse.FromString
        return approval_page_from_proto(await self._channel.read(methods.LIST_APPROVALS, request, parse, self._timeout))

    async def get(self, tenant: str, approval_id: str, viewer: Person | None = None) -> Approval:
        """Return one approval. Only a `viewer` who may vote sees sensitive values of the parameters."""
        message = approval_pb2.GetApprovalRequest(viewer=person_to_proto("viewer", viewer))
        request = set_fields(message, "", tenant=tenant, approval_id=approval_id)
        parse = approval_pb2.GetApprovalResponse.FromString
        response = await self._channel.read(methods.GET_APPROVAL, request, parse, self._timeout)
        return approval_from_proto(response.approval)

    async def approve(
        self,
        tenant: str,
        approval_id: str,
        approver: Person | None = None,
        *,
        reason: str = "",
        action_digest: str = "",
    ) -> Approval:
        """Vote for an action, and return the approval after the vote.

        `action_digest` is the digest of the action that the person saw: the vote counts only for that action. `reason`
        is required if the action exceeds a budget; at most 1,024 bytes.
        """
        message = approval_pb2.ApproveActionRequest(approver=person_to_proto("approver", approver))
        request = set_fields(
            message, "", tenant=tenant, approval_id=approval_id, reason=reason, action_digest=action_digest
        )
        parse = approval_pb2.ApproveActionResponse.FromString
        response = await self._channel.change(methods.APPROVE_ACTION, request, parse, self._timeout)
        return approval_from_proto(response.approval)

    async def reject(self, tenant: str, approval_id: str, approver: Person | None, reason: str) -> Approval:
        """Vote against an action, and return the approval, which is then rejected. `reason` is required."""
        message = approval_pb2.RejectActionRequest(approver=person_to_proto("approver", approver))
        request = set_fields(message, "", tenant=tenant, approval_id=approval_id, reason=reason)
        parse = approval_pb2.RejectActionResponse.FromString
        response = await self._channel.change(methods.REJECT_ACTION, request, parse, self._timeout)
        return approval_from_proto(response.approval)

    async def cancel(self, tenant: str, approval_id: str, actor: Person | None = None, reason: str = "") -> Approval:
        """Withdraw a request for approval, and return it.

        `actor` is the user on whose behalf the request was made, or a person who may vote.
        """
        message = approval_pb2.CancelApprovalRequest(actor=person_to_proto("actor", actor))
        request = set_fields(message, "", tenant=tenant, approval_id=approval_id, reason=reason)
        parse = approval_pb2.CancelApprovalResponse.FromString
        response = await self._channel.change(methods.CANCEL_APPROVAL, request, parse, self._timeout)
        return approval_from_proto(response.approval)

    async def void_votes(self, person: str, actor: Person | None, reason: str, *, tenant: str = "") -> VoidedVotes:
        """Void the votes of a person whose account was stolen, in one tenant or, if `tenant` is empty, in all.

        Pending approvals lose the vote. Permits of approvals that were used are revoked if too few votes remain. Before
        this call, remove the person from the tenant's `approver_groups`, so that the person cannot vote again.
        """
        message = approval_pb2.VoidVotesRequest(actor=person_to_proto("actor", actor))
        request = set_fields(message, "", tenant=tenant, person=person, reason=reason)
        parse = approval_pb2.VoidVotesResponse.FromString
        response = await self._channel.change(methods.VOID_VOTES, request, parse, self._timeout)
        return voided_votes_from_proto(response)

    def watch(
        self, tenant: str, cursor: str = "", timeout: float | None = None
    ) -> AsyncGenerator[ApprovalChange, None]:
        """Watch the tenant's approvals: yields each pending one, then each one that changes.

        With the `cursor` of an earlier change, yields the changes after it. The stream resumes by itself after a lost
        connection; it can then yield a change twice. It ends with CallFailedError: after `timeout` seconds (more than 0
        and at most 604800, None means no limit), or if the server rejects the watch. Raises ValueError if `timeout` is
        invalid.
        """
        request = set_fields(approval_pb2.WatchApprovalsRequest(), "", tenant=tenant)
        parse = approval_pb2.WatchApprovalsResponse.FromString
        return self._channel.watch(methods.WATCH_APPROVALS, request, parse, approval_change_from_proto, cursor, timeout)
