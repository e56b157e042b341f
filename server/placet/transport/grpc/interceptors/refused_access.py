"""Records calls that are refused to their callers: whose credential proves nothing, or who may not make them."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Protocol

from placet.audit.access_records import access_refused_commitment
from placet.identity.permissions import ACCESS_REASONS
from placet.kernel.errors import PermissionDeniedError, PlacetError, UnauthenticatedError
from placet.scheduling.fair_queue import Flow
from placet.transport.grpc.interceptors.base import CallInterceptor
from placet.transport.grpc.interceptors.caller import current_caller
from placet.transport.grpc.messages.access import tenants_of
from placet.transport.grpc.messages.validation import tenant_or_nothing

if TYPE_CHECKING:
    from google.protobuf.message import Message

    from placet.audit.records import Commitment, CommitResult
    from placet.identity.refusal_samples import RefusalSamples
    from placet.kernel.clock import Clock
    from placet.kernel.model import Caller
    from placet.scheduling.batching import Batcher
    from placet.transport.grpc.context import Context
    from placet.transport.grpc.incoming import IncomingMessage
    from placet.transport.grpc.interceptors.base import Behavior, Method

Refusal = UnauthenticatedError | PermissionDeniedError


class RefusalReport(Protocol):
    """Reports refused calls to metrics and log."""

    def access_refused(self, reason: str) -> None:
        """Count a refused call."""

    def access_refusal_recorded(
        self, caller: Caller, host: str, method: str, error: Refusal, tenant: str, left_out: int
    ) -> None:
        """Log a refused call that is recorded. `left_out` calls like it were not since the last one that was."""


@dataclass(frozen=True, slots=True)
class RefusedAccessRecorder:
    """Writes `access.refused` records, of a few calls for each caller and minute."""

    batcher: Batcher[Commitment, CommitResult]
    clock: Clock
    samples: RefusalSamples
    report: RefusalReport

    async def record(self, caller: Caller, method: str, request: Message | None, error: Refusal) -> None:
        """Record a refused call, unless it is left out. A record that fails is counted as left out by the next one."""
        self.report.access_refused(error.reason)
        host = host_of(caller.peer)
        stranger = not caller.method
        left_out = self.samples.take(host if stranger else caller.counted_as, error.reason, stranger=stranger)
        if left_out is None:
            return
        tenant = next((tenant_or_nothing(name) for name in tenants_of(request)), "") if request is not None else ""
        self.report.access_refusal_recorded(caller, host, method, error, tenant, left_out)
        now_us = self.clock.wall_us()
        commitment = access_refused_commitment(tenant, caller, host, method, error.reason, str(error), left_out, now_us)
        try:
            await self.batcher.submit([commitment], Flow(caller=caller.peer))
        except BaseException as failure:
            self.samples.put_back(left_out)
            if not isinstance(failure, PlacetError):
                raise


class RefusedAccessInterceptor(CallInterceptor):
    """Records each call that is refused to its caller, before it is answered."""

    def __init__(self, recorder: RefusedAccessRecorder) -> None:
        self._recorder = recorder

    def intercept(self, behavior: Behavior, method: Method) -> Behavior:
        """Return the behavior with its refused calls recorded."""

        async def call(incoming: IncomingMessage, context: Context) -> Any:  # noqa: ANN401 - a response of any method
            try:
                return await behavior(incoming, context)
            except UnauthenticatedError as error:
                await self._recorder.record(current_caller(), method.name, incoming.request, error)
                raise
            except PermissionDeniedError as error:
                if error.reason in ACCESS_REASONS:  # others are refused by the state, and recorded with it
                    await self._recorder.record(current_caller(), method.name, incoming.request, error)
                raise

        return call


def host_of(peer: str) -> str:
    """Return the address of a connection without its port, which differs with each connection."""
    return peer.rpartition(":")[0] if peer.startswith(("ipv4:", "ipv6:")) else peer
