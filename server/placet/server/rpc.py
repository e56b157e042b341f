"""Builds the gRPC server of a process and starts it."""

from __future__ import annotations

from functools import partial
from typing import TYPE_CHECKING, Final

from placet.approvals.page import ApprovalUrlTemplate
from placet.identity.refusal_samples import RefusalSamples
from placet.kernel.limits import SHUTDOWN_SECONDS_MAX
from placet.matching.addresses import unix_path
from placet.permits.claims import published_keys
from placet.permits.issuing import PermitIssuer
from placet.server.callers.authentication import open_authenticator
from placet.server.callers.tokens import build_tokens
from placet.server.parts.controls import control_servicer
from placet.server.parts.decisions import build_decisions
from placet.server.parts.outcomes import build_outcomes
from placet.transport.grpc.flows import Flows
from placet.transport.grpc.intake import Intake
from placet.transport.grpc.interceptors.caller_limits import CallerLimits
from placet.transport.grpc.interceptors.chain import interceptor_chain
from placet.transport.grpc.interceptors.invalid_requests import InvalidRequestRecorder
from placet.transport.grpc.interceptors.refused_access import RefusedAccessRecorder
from placet.transport.grpc.server import Listener, RpcServer, Servicers
from placet.transport.grpc.services.audit import AuditServicer
from placet.transport.grpc.services.authorization import AuthorizationServicer
from placet.transport.grpc.services.keys import KeyServicer
from placet.transport.grpc.services.tokens import TokenServicer

if TYPE_CHECKING:
    import contextlib

    from placet.actions.outcome import OutcomeReport
    from placet.identity.ports import Authenticator
    from placet.outcomes.service import OutcomeReply
    from placet.scheduling.batching import Batcher
    from placet.server.core import Core
    from placet.server.parts.approvals import ApprovalParts
    from placet.server.parts.decisions import DecisionParts
    from placet.transport.tls import ServerTls

RPC_GRACE_SECONDS: Final = SHUTDOWN_SECONDS_MAX - 4
"""Time that running calls get at a stop. The rest is for the last commit, the checkpoint and the end of OPA."""


class Rpc:
    """The gRPC server of a process, with the queues behind it."""

    def __init__(self, core: Core, approvals: ApprovalParts) -> None:
        self._core = core
        self._approvals = approvals
        settings, clock, policies, ledger, observer = (
            core.settings, core.clock, core.policies, core.ledger, core.observer,
        )  # fmt: skip
        self._decisions = build_decisions(settings, clock, policies, ledger, observer)
        self._outcomes = build_outcomes(settings, clock, policies, ledger, observer)
        self._tokens = build_tokens(core)

    def close_queues_with(self, stack: contextlib.AsyncExitStack) -> None:
        """Make the stack close the queues when it closes."""
        stack.push_async_callback(self._decisions.invalid_requests.close)
        stack.push_async_callback(self._decisions.slow_requests.close)
        stack.push_async_callback(self._decisions.requests.close)
        stack.push_async_callback(self._outcomes.close)

    async def start(
        self, stack: contextlib.AsyncExitStack, listen: str, mtls_listen: str = "", *, share_port: bool = False
    ) -> str:
        """Accept calls until the stack closes. Returns the address. `share_port`: other processes listen there too."""
        authenticator = await open_authenticator(stack, self._core, self._tokens)
        tokens = TokenServicer(self._tokens.tokens, self._core.clock)
        rpc = _build_rpc(
            self._core, self._approvals, self._decisions, self._outcomes, tokens, authenticator, share_port=share_port
        )
        stack.push_async_callback(rpc.stop, RPC_GRACE_SECONDS)
        mode = int(self._core.settings.listen_socket_mode, 8)
        address, *_ = await rpc.start(_listeners(self._core.tls, listen, mtls_listen, mode))
        self._core.observer.rpc = rpc
        await self._core.observer.show_health()
        return address


def _listeners(tls: ServerTls | None, listen: str, mtls_listen: str, mode: int) -> list[Listener]:
    """Return the listeners. A unix socket is plaintext: the kernel hands its bytes to the server and to no one else."""
    if tls is None:
        return [Listener(listen, mode=mode)]
    verify_clients = tls.has_client_ca and not mtls_listen
    encrypted = None if unix_path(listen) is not None else tls.credentials(verify_clients=verify_clients)
    first = Listener(listen, encrypted, mode)
    return [first, Listener(mtls_listen, tls.credentials(verify_clients=True))] if mtls_listen else [first]


def _build_rpc(
    core: Core,
    approvals: ApprovalParts,
    decisions: DecisionParts,
    outcomes: Batcher[OutcomeReport, OutcomeReply],
    tokens: TokenServicer,
    authenticator: Authenticator | None,
    *,
    share_port: bool,
) -> RpcServer:
    settings, clock, observer, policies = core.settings, core.clock, core.observer, core.policies
    authorization = AuthorizationServicer(
        decisions.requests,
        outcomes,
        approvals.streams,
        PermitIssuer(core.permit_keys.keys, policies),
        clock,
        Flows(policies),
        ApprovalUrlTemplate.parse(settings.approval_url),
    )
    jwks = partial(published_keys, core.permit_keys.keys)
    control = control_servicer(clock, policies, core.ledger, decisions.controls, observer.health, jwks)
    audit, streams = AuditServicer(core.ledger), approvals.streams
    keys = KeyServicer(core.permit_keys.keys, core.permit_keys.changes, clock)
    servicers = Servicers(authorization, approvals.servicer, audit, control, tokens, keys, streams)
    recorder = InvalidRequestRecorder(decisions.invalid_requests, clock)
    intake = Intake(observer.shed)
    samples = RefusalSamples(clock.monotonic)
    refusals = RefusedAccessRecorder(decisions.invalid_requests, clock, samples, observer)
    limits = _caller_limits(core)
    interceptors = interceptor_chain(intake, recorder, observer.error, authenticator, refusals, limits)
    return RpcServer(servicers, interceptors, intake, reflect=settings.reflection, share_port=share_port)


def _caller_limits(core: Core) -> CallerLimits | None:
    requests, streams = core.settings.caller_requests_per_second_max, core.settings.caller_streams_max
    if not (requests or streams):
        return None
    return CallerLimits(requests, streams, core.clock.monotonic, core.observer.shed)
