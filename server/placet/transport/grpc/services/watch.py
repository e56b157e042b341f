"""Converts the change feeds of decisions and approvals to response streams."""

from __future__ import annotations

from collections import OrderedDict
from contextlib import aclosing
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Final

import orjson

from placet.approvals.service import ApprovalView
from placet.identity.permissions import may_watch
from placet.kernel.limits import SHORT_LABEL_BYTES_MAX
from placet.transport.grpc.interceptors.caller import current_principal
from placet.transport.grpc.messages.approvals import listed_approval_to_proto
from placet.transport.grpc.messages.cursor import cursor_text, read_cursor
from placet.transport.grpc.messages.enums import enum_codec
from placet.transport.grpc.messages.to_proto import timestamp
from placet.transport.grpc.messages.validation import RequestValidator
from placet.v1 import approval_pb2, authorization_pb2
from placet.watch.state import DecisionState

if TYPE_CHECKING:
    from collections.abc import AsyncGenerator

    from placet.approvals.model import Approval
    from placet.audit.records import RecordedDecision
    from placet.watch.feeds import ChangeFeeds

CACHED_MAX: Final = 64
"""Maximum approvals whose messages are cached: those that are being sent."""
STATES: Final = enum_codec(DecisionState, authorization_pb2.DecisionState)


class ApprovalMessages:
    """A cache of approval messages: all streams of a tenant send the same approvals, so each is built once."""

    def __init__(self) -> None:
        self._cached: OrderedDict[int, tuple[Approval, approval_pb2.Approval]] = OrderedDict()

    def of(self, approval: Approval) -> approval_pb2.Approval:
        """Return the message of an approval. Callers must not change it."""
        entry = self._cached.get(id(approval))
        if entry is not None and entry[0] is approval:
            return entry[1]
        message = listed_approval_to_proto(ApprovalView(approval, approval.state))
        self._cached[id(approval)] = (approval, message)
        if len(self._cached) > CACHED_MAX:
            self._cached.popitem(last=False)
        return message


@dataclass(frozen=True, slots=True)
class ChangeStreams:
    """Streams changes until the caller cancels, the server stops, or nothing more can happen."""

    feeds: ChangeFeeds
    messages: ApprovalMessages = field(default_factory=ApprovalMessages)

    def end(self) -> None:
        """End all streams, because the server stops. Callers go on at another server with their cursors."""
        self.feeds.hub.close()

    async def of_decision(
        self, request: authorization_pb2.WatchDecisionRequest
    ) -> AsyncGenerator[authorization_pb2.WatchDecisionResponse]:
        """Yield the changes of one decision. NotFoundError if it is none of those that the caller may watch."""
        validator = RequestValidator()
        tenant = validator.tenant("tenant", request.tenant)
        decision_id = validator.text("decision_id", request.decision_id, SHORT_LABEL_BYTES_MAX, required=True)
        validator.require_valid()
        cursor = read_cursor(request.cursor) or {}
        principal = current_principal()

        def visible(recorded: RecordedDecision) -> bool:
            return may_watch(principal, tenant, recorded.caller, _agent_of(recorded) if principal is not None else "")

        async with aclosing(self.feeds.decision(tenant, decision_id, cursor, visible)) as changes:
            async for change in changes:
                yield authorization_pb2.WatchDecisionResponse(
                    cursor=cursor_text(change.cursor),
                    state=STATES.to_wire[change.state],
                    approval_id=change.approval_id,
                    reason=change.reason,
                    at=timestamp(change.at_us),
                )

    async def of_approvals(
        self, request: approval_pb2.WatchApprovalsRequest
    ) -> AsyncGenerator[approval_pb2.WatchApprovalsResponse]:
        """Yield the changes of a tenant's approvals."""
        validator = RequestValidator()
        tenant = validator.tenant("tenant", request.tenant)
        validator.require_valid()
        async with aclosing(self.feeds.approvals(tenant, read_cursor(request.cursor))) as changes:
            async for change in changes:
                message = self.messages.of(change.approval) if change.approval is not None else None
                yield approval_pb2.WatchApprovalsResponse(cursor=cursor_text(change.cursor), approval=message)


def _agent_of(recorded: RecordedDecision) -> str:
    return str(orjson.loads(recorded.input_json)["identity"]["agent"])
