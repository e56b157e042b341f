"""Records requests that break the contract."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Final

from placet.audit.decision_codec import invalid_request_commitment
from placet.kernel.errors import InvalidRequestError
from placet.scheduling.fair_queue import Flow
from placet.transport.grpc.interceptors.base import CallInterceptor
from placet.transport.grpc.interceptors.caller import current_caller, current_principal
from placet.transport.grpc.messages.validation import tenant_or_nothing
from placet.v1 import audit_pb2
from placet.v1.authorization_pb2 import AuthorizeBatchRequest, AuthorizeRequest, StreamedRequest
from placet.v1.control_pb2 import SetKillSwitchRequest

if TYPE_CHECKING:
    from google.protobuf.message import Message

    from placet.audit.records import Commitment, CommitResult
    from placet.kernel.clock import Clock
    from placet.scheduling.batching import Batcher
    from placet.transport.grpc.context import Context
    from placet.transport.grpc.incoming import IncomingMessage
    from placet.transport.grpc.interceptors.base import Behavior, Method

NOT_RECORDED: Final = audit_pb2.DESCRIPTOR.services_by_name["AuditService"].full_name
"""The service whose invalid requests are not recorded: a question about the audit trail adds nothing to the trail."""


@dataclass(frozen=True, slots=True)
class InvalidRequestRecorder:
    """Writes `request.refused` records."""

    batcher: Batcher[Commitment, CommitResult]
    clock: Clock

    async def record(self, method: str, request: Message | None, error: InvalidRequestError) -> None:
        """Record the violations of a request. LedgerUnavailableError if they cannot be recorded.

        `request` is None if the bytes are not a valid message. Its record names neither method nor tenant, because
        nothing in it can be trusted.
        """
        caller, principal = current_caller(), current_principal()
        name, tenant = ("", "") if request is None else (method, tenant_or_nothing(_tenant_of(request)))
        if principal is not None and not any(grant.covers(tenant) for grant in principal.grants):
            tenant = ""  # callers do not write into the trails of tenants of others
        commitment = invalid_request_commitment(tenant, caller, name, error.violations, self.clock.wall_us())
        await self.batcher.submit([commitment], Flow(caller=caller.peer))


class InvalidRequestInterceptor(CallInterceptor):
    """Records every request of Placet's methods that is answered with INVALID_ARGUMENT, before it is answered."""

    def __init__(self, recorder: InvalidRequestRecorder) -> None:
        self._recorder = recorder

    def intercept(self, behavior: Behavior, method: Method) -> Behavior:
        """Return the behavior with its invalid requests recorded."""
        if method.service == NOT_RECORDED:
            return behavior

        async def call(incoming: IncomingMessage, context: Context) -> Any:  # noqa: ANN401 - a response of any method
            try:
                return await behavior(incoming, context)
            except InvalidRequestError as error:
                await self._recorder.record(method.name, incoming.request, error)
                raise

        return call


def _tenant_of(request: Message) -> str:
    """Return the tenant that a request names; "" if it names none."""
    match request:
        case AuthorizeRequest():
            return request.identity.tenant
        case AuthorizeBatchRequest():
            return request.requests[0].identity.tenant if request.requests else ""
        case StreamedRequest():
            return request.request.identity.tenant
        case SetKillSwitchRequest():
            return request.scope.tenant
    return str(getattr(request, "tenant", ""))
