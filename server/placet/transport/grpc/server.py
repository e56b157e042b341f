"""The gRPC server: services, health, reflection."""

from __future__ import annotations

import socket
from dataclasses import dataclass
from typing import TYPE_CHECKING, Final

import grpc
from grpc_health.v1 import health, health_pb2, health_pb2_grpc
from grpc_reflection.v1alpha import reflection

from placet.kernel.errors import ConfigurationError
from placet.kernel.limits import MESSAGE_BYTES_MAX
from placet.transport.grpc.health import Health
from placet.transport.grpc.intake import FLOW_CONTROL, Intake
from placet.transport.grpc.receiving import ReceivingInterceptor
from placet.transport.grpc.services import approvals as approval
from placet.transport.grpc.services import audit, authorization, control, outcomes, watch

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

PING_INTERVAL_MS_MIN: Final = 5_000
"""How often clients may ping, also without calls: most that do choose 10 s or more, and clocks differ."""
KEEPALIVE_MS: Final = 30_000
"""How often a connection is tried that says nothing: watchers whose machine is gone leave after 40 s."""
KEEPALIVE_TIMEOUT_MS: Final = 10_000
OPTIONS: Final = (
    ("grpc.http2.min_ping_interval_without_data_ms", PING_INTERVAL_MS_MIN),
    ("grpc.keepalive_permit_without_calls", 1),
    ("grpc.keepalive_time_ms", KEEPALIVE_MS),
    ("grpc.keepalive_timeout_ms", KEEPALIVE_TIMEOUT_MS),
    ("grpc.http2.ping_timeout_ms", KEEPALIVE_TIMEOUT_MS),
    ("grpc.http2.max_pings_without_data", 0),
    ("grpc.max_receive_message_length", MESSAGE_BYTES_MAX),
    ("grpc.max_send_message_length", MESSAGE_BYTES_MAX),
    *FLOW_CONTROL,
    ("grpc.so_reuseport", 0),  # two servers on one port would split the callers without a word
)
_STATES: Final = {
    True: health_pb2.HealthCheckResponse.SERVING,
    False: health_pb2.HealthCheckResponse.NOT_SERVING,
}
SERVICES: Final = (authorization.SERVICE, approval.SERVICE, audit.SERVICE, control.SERVICE)


@dataclass(frozen=True, slots=True)
class Services:
    """What the server offers."""

    authorization: authorization.AuthorizationService
    outcomes: outcomes.OutcomeReports
    watching: watch.Watching
    approvals: approval.ApprovalService
    audit: audit.AuditService
    control: control.ControlService


class RpcServer:
    """Listens once started. Health is NOT_SERVING until `set_serving(True)`."""

    def __init__(
        self,
        services: Services,
        on_error: Callable[[BaseException], None],
        on_shed: Callable[[str, int], None],
        *,
        reflect: bool,
    ) -> None:
        self._server = grpc.aio.server(interceptors=[ReceivingInterceptor(Intake(on_shed))], options=OPTIONS)
        self._health = Health()
        self._watching = services.watching
        named = (
            (authorization.SERVICE, services.authorization),
            (authorization.SERVICE, services.outcomes),
            (authorization.SERVICE, services.watching),
            (approval.SERVICE, services.approvals),
            (audit.SERVICE, services.audit),
            (control.SERVICE, services.control),
        )
        self._server.add_generic_rpc_handlers(
            tuple(grpc.method_handlers_generic_handler(name, each.handlers(on_error)) for name, each in named)
        )
        health_pb2_grpc.add_HealthServicer_to_server(self._health, self._server)
        if reflect:
            names = (*SERVICES, health.SERVICE_NAME, reflection.SERVICE_NAME)
            reflection.enable_server_reflection(names, self._server)

    async def start(self, listen: str) -> str:
        """Listen on ``host:port`` (port 0 takes a free one); the address taken.

        ConfigurationError when it cannot be had.
        """
        await self.set_serving(serving=False)
        host = listen.rpartition(":")[0]
        require_free(listen)
        try:
            port = self._server.add_insecure_port(listen)
        except RuntimeError as error:
            what = f"cannot listen on {listen}: in use, or not an address of this machine"
            raise ConfigurationError(f"{what}; choose another with --listen") from error
        await self._server.start()
        return f"{host}:{port}"

    async def set_serving(self, *, serving: bool, parts: Mapping[str, bool] | None = None) -> None:
        """Tell health watchers whether to send requests here, and of each part, by name, whether it is well."""
        for name, well in {**dict.fromkeys(("", *SERVICES), serving), **(parts or {})}.items():
            await self._health.set(name, _STATES[well])

    async def stop(self, grace_seconds: float) -> None:
        """Refuse new calls, give those under way so long, then cancel them."""
        await self._health.enter_graceful_shutdown()
        self._health.end_watching()
        self._watching.end()
        await self._server.stop(grace_seconds)


def require_free(listen: str) -> None:
    """ConfigurationError when the address cannot be had.

    Tried before gRPC does, which would write lines of its own to stderr and not say what is wrong.
    """
    host, _, port = listen.rpartition(":")
    try:
        family, *_, address = socket.getaddrinfo(host.strip("[]"), int(port), type=socket.SOCK_STREAM)[0]
        with socket.socket(family, socket.SOCK_STREAM) as probe:
            probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
            probe.bind(address)
    except OSError as error:
        raise ConfigurationError(
            f"cannot listen on {listen}: {error.strerror}; choose another with --listen"
        ) from error
