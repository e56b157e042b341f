"""The streams: what becomes of a decision, and of a tenant's approvals."""

from __future__ import annotations

from collections import OrderedDict
from contextlib import aclosing
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Final

from placet.approvals.service import ApprovalView
from placet.kernel.errors import InvalidRequestError
from placet.kernel.limits import SHORT_LABEL_BYTES_MAX
from placet.transport.grpc.messages.cursor import cursor_text, read_cursor
from placet.transport.grpc.messages.fields import Fields
from placet.transport.grpc.messages.present import timestamp
from placet.transport.grpc.messages.present_approval import present_listed
from placet.v1 import approval_pb2, authorization_pb2
from placet.watch.state import DecisionState

if TYPE_CHECKING:
    from collections.abc import AsyncGenerator, Callable

    import grpc

    from placet.approvals.model import Approval
    from placet.transport.grpc.context import Context
    from placet.transport.grpc.refused_requests import RefusalLog
    from placet.watch.feeds import ChangeFeeds

LISTED_MAX: Final = 64
"""Approvals whose messages are kept: those that are being told."""
STATES: Final = {
    DecisionState.PENDING: authorization_pb2.DECISION_STATE_PENDING,
    DecisionState.APPROVED: authorization_pb2.DECISION_STATE_APPROVED,
    DecisionState.REJECTED: authorization_pb2.DECISION_STATE_REJECTED,
    DecisionState.EXPIRED: authorization_pb2.DECISION_STATE_EXPIRED,
    DecisionState.CANCELLED: authorization_pb2.DECISION_STATE_CANCELLED,
    DecisionState.USED: authorization_pb2.DECISION_STATE_USED,
    DecisionState.ALLOWED: authorization_pb2.DECISION_STATE_ALLOWED,
    DecisionState.REVOKED: authorization_pb2.DECISION_STATE_REVOKED,
    DecisionState.ENDED: authorization_pb2.DECISION_STATE_ENDED,
}


class Listed:
    """Approvals as messages. All who watch a tenant are told of the same ones, so each is made once."""

    def __init__(self) -> None:
        self._made: OrderedDict[int, tuple[Approval, approval_pb2.Approval]] = OrderedDict()

    def of(self, approval: Approval) -> approval_pb2.Approval:
        """The message; not to be changed."""
        kept = self._made.get(id(approval))
        if kept is not None and kept[0] is approval:
            return kept[1]
        made = present_listed(ApprovalView(approval, approval.state))
        self._made[id(approval)] = (approval, made)
        if len(self._made) > LISTED_MAX:
            self._made.popitem(last=False)
        return made


@dataclass(frozen=True, slots=True)
class Watching:
    """Streams changes until the caller goes, the server stops, or nothing more can happen."""

    following: ChangeFeeds
    refusals: RefusalLog
    listed: Listed = field(default_factory=Listed)

    def handlers(self, on_error: Callable[[BaseException], None]) -> dict[str, grpc.RpcMethodHandler[object, object]]:
        """Method name -> handler: what belongs to the authorization service."""
        return {
            "WatchDecision": self.refusals.streaming(
                self.watch_decision, authorization_pb2.WatchDecisionRequest, on_error
            )
        }

    def end(self) -> None:
        """The server stops: end all streams, so that they go on elsewhere."""
        self.following.hub.close()

    async def watch_decision(
        self, message: authorization_pb2.WatchDecisionRequest, _context: Context
    ) -> AsyncGenerator[authorization_pb2.WatchDecisionResponse]:
        """Follow one decision."""
        fields = Fields()
        tenant = fields.tenant("tenant", message.tenant)
        decision_id = fields.text("decision_id", message.decision_id, SHORT_LABEL_BYTES_MAX, required=True)
        if fields.violations:
            raise InvalidRequestError(fields.violations)
        cursor = read_cursor(message.cursor) or {}
        async with aclosing(self.following.decision(tenant, decision_id, cursor)) as changes:
            async for change in changes:
                yield authorization_pb2.WatchDecisionResponse(
                    cursor=cursor_text(change.cursor),
                    state=STATES[change.state],
                    approval_id=change.approval_id,
                    reason=change.reason,
                    at=timestamp(change.at_us),
                )

    async def watch_approvals(
        self, message: approval_pb2.WatchApprovalsRequest, _context: Context
    ) -> AsyncGenerator[approval_pb2.WatchApprovalsResponse]:
        """Follow a tenant's approvals."""
        fields = Fields()
        tenant = fields.tenant("tenant", message.tenant)
        if fields.violations:
            raise InvalidRequestError(fields.violations)
        async with aclosing(self.following.approvals(tenant, read_cursor(message.cursor))) as changes:
            async for change in changes:
                shown = self.listed.of(change.approval) if change.approval is not None else None
                yield approval_pb2.WatchApprovalsResponse(cursor=cursor_text(change.cursor), approval=shown)
