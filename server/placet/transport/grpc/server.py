"""The gRPC server: servicers, health, reflection."""

from __future__ import annotations

import socket
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Final

import grpc
from grpc_health.v1 import health, health_pb2, health_pb2_grpc
from grpc_reflection.v1alpha import reflection, reflection_pb2_grpc

from placet.kernel.errors import ConfigurationError
from placet.kernel.limits import HEADER_BYTES_MAX, MESSAGE_BYTES_MAX
from placet.matching.addresses import unix_path
from placet.transport.grpc import unix_socket
from placet.transport.grpc.health import Health
from placet.transport.grpc.intake import FLOW_CONTROL
from placet.transport.grpc.registration import GenericRegistration
from placet.transport.grpc.unix_socket import UnixSocket, require_free_socket
from placet.v1 import (
    approval_pb2,
    approval_pb2_grpc,
    audit_pb2,
    audit_pb2_grpc,
    authorization_pb2,
    authorization_pb2_grpc,
    control_pb2,
    control_pb2_grpc,
    key_pb2,
    key_pb2_grpc,
    token_pb2,
    token_pb2_grpc,
)

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from placet.transport.grpc.intake import Intake
    from placet.transport.grpc.services.approvals import ApprovalServicer
    from placet.transport.grpc.services.audit import AuditServicer
    from placet.transport.grpc.services.authorization import AuthorizationServicer
    from placet.transport.grpc.services.control import ControlServicer
    from placet.transport.grpc.services.keys import KeyServicer
    from placet.transport.grpc.services.tokens import TokenServicer
    from placet.transport.grpc.services.watch import ChangeStreams

PING_INTERVAL_MS_MIN: Final = 5_000
"""Minimum interval of client pings, also without calls. Most clients ping every 10 s or less often; clocks differ."""
KEEPALIVE_MS: Final = 30_000
"""Interval of server pings on a silent connection, so that watchers whose machine is gone leave after 40 s."""
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
    ("grpc.max_metadata_size", HEADER_BYTES_MAX),
    ("grpc.absolute_max_metadata_size", HEADER_BYTES_MAX),
    *FLOW_CONTROL,
)
_STATES: Final = {
    True: health_pb2.HealthCheckResponse.SERVING,
    False: health_pb2.HealthCheckResponse.NOT_SERVING,
}
SERVICES: Final = tuple(
    service.full_name
    for module in (authorization_pb2, approval_pb2, audit_pb2, control_pb2, token_pb2, key_pb2)
    for service in module.DESCRIPTOR.services_by_name.values()
)


@dataclass(frozen=True, slots=True)
class Listener:
    """An address: ``host:port``, with port 0 for a free port, or ``unix:/path``.

    `credentials` are for TLS; None for plaintext. `mode` are the rights of the file of a unix socket.
    """

    address: str
    credentials: grpc.ServerCredentials | None = None
    mode: int = unix_socket.MODE


@dataclass(frozen=True, slots=True)
class Servicers:
    """The servicers of the server, and the streams that a stop ends."""

    authorization: AuthorizationServicer
    approvals: ApprovalServicer
    audit: AuditServicer
    control: ControlServicer
    tokens: TokenServicer
    keys: KeyServicer
    streams: ChangeStreams

    def register(self, server: GenericRegistration) -> None:
        """Add each servicer to the server."""
        authorization_pb2_grpc.add_AuthorizationServiceServicer_to_server(self.authorization, server)
        approval_pb2_grpc.add_ApprovalServiceServicer_to_server(self.approvals, server)
        audit_pb2_grpc.add_AuditServiceServicer_to_server(self.audit, server)
        control_pb2_grpc.add_ControlServiceServicer_to_server(self.control, server)
        token_pb2_grpc.add_TokenServiceServicer_to_server(self.tokens, server)
        key_pb2_grpc.add_KeyServiceServicer_to_server(self.keys, server)


class RpcServer:
    """Listens after `start`. Health is NOT_SERVING until `set_serving(True)`."""

    def __init__(
        self,
        servicers: Servicers,
        interceptors: Sequence[grpc.aio.ServerInterceptor],  # type: ignore[type-arg] # no generic when it runs
        intake: Intake,
        *,
        reflect: bool,
        share_port: bool = False,
    ) -> None:
        """`share_port` lets other processes of the same user listen on the address: the kernel splits the callers."""
        self._share_port = share_port
        options = (*OPTIONS, ("grpc.so_reuseport", int(share_port)))
        self._server = grpc.aio.server(interceptors=interceptors, options=options)
        self._health = Health()
        self._streams = servicers.streams
        self._intake = intake
        self._sockets: list[UnixSocket] = []
        registration = GenericRegistration(self._server)
        servicers.register(registration)
        health_pb2_grpc.add_HealthServicer_to_server(self._health, registration)
        if reflect:
            names = (*SERVICES, health.SERVICE_NAME, reflection.SERVICE_NAME)
            reflector = reflection.aio.ReflectionServicer(names)  # type: ignore[attr-defined] # the stubs leave it out
            reflection_pb2_grpc.add_ServerReflectionServicer_to_server(reflector, registration)

    async def start(self, listeners: Sequence[Listener]) -> list[str]:
        """Listen on the addresses, and return them with the ports that were picked.

        ConfigurationError if one is in use.
        """
        await self.set_serving(serving=False)
        addresses = [self._listen(listener) for listener in listeners]
        await self._server.start()
        return addresses

    def _listen(self, listener: Listener) -> str:
        address = listener.address
        if (path := unix_path(address)) is not None:
            bind = self._server.add_insecure_port
            self._sockets.append(UnixSocket.listen(Path(path), listener.mode, lambda draft: bind(f"unix:{draft}")))
            return f"unix:{path}"
        if not self._share_port:
            require_free(address)
        try:
            if listener.credentials is None:
                port = self._server.add_insecure_port(address)
            else:
                port = self._server.add_secure_port(address, listener.credentials)
        except RuntimeError as error:
            what = f"cannot listen on {address}: in use, or not an address of this machine"
            raise ConfigurationError(f"{what}; choose another with --listen") from error
        return f"{address.rpartition(':')[0]}:{port}"

    async def set_serving(self, *, serving: bool, parts: Mapping[str, bool] | None = None) -> None:
        """Set the health of the server, and the health of its parts by name."""
        for name, healthy in {**dict.fromkeys(("", *SERVICES), serving), **(parts or {})}.items():
            await self._health.set(name, _STATES[healthy])

    async def stop(self, grace_seconds: float) -> None:
        """Refuse new calls, wait up to `grace_seconds` for the others, then cancel them."""
        await self._health.enter_graceful_shutdown()
        self._health.end_watching()
        self._streams.end()
        self._intake.end_streams()
        await self._server.stop(grace_seconds)
        while self._sockets:
            self._sockets.pop().close()


def require_free(listen: str, flag: str = "--listen") -> None:
    """Raise ConfigurationError if nothing can listen on the address, ``host:port`` or ``unix:/path``.

    Checked before gRPC listens, because gRPC writes to stderr and does not return the cause.
    """
    if (path := unix_path(listen)) is not None:
        require_free_socket(Path(path))
        return
    host, _, port = listen.rpartition(":")
    try:
        family, *_, address = socket.getaddrinfo(host.strip("[]"), int(port), type=socket.SOCK_STREAM)[0]
        with socket.socket(family, socket.SOCK_STREAM) as probe:
            probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
            probe.bind(address)
    except OSError as error:
        raise ConfigurationError(f"cannot listen on {listen}: {error.strerror}; choose another with {flag}") from error
