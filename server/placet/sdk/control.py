"""Asks a running server what it is doing."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Final, Self

from placet.sdk.blocking import BlockingChannel
from placet.sdk.channel import DEFAULT_ADDRESS, DEFAULT_TIMEOUT_SECONDS, GET_PERMIT_KEYS, GET_POLICY_STATUS, Defaults
from placet.sdk.decode import time_of
from placet.v1 import control_pb2

if TYPE_CHECKING:
    from datetime import datetime

    import grpc

_MODES: Final = {control_pb2.ENGINE_MODE_MANAGED: "managed", control_pb2.ENGINE_MODE_EXTERNAL: "external"}


@dataclass(frozen=True, slots=True)
class PolicyStatus:
    """Which policy is served, by which engine, and why a newer one was refused."""

    ready: bool
    policy_revision: str
    loaded_at: datetime | None
    confirmed_at: datetime | None
    engine_mode: str
    engine_version: str
    engine_restarts: int
    tenants: tuple[str, ...]
    reloads_accepted: int
    reloads_refused: int
    last_error: str
    last_error_at: datetime | None


class ControlClient:
    """Shows the server's state; safe to use from several threads. Whatever fails raises CallFailedError."""

    def __init__(
        self,
        address: str = DEFAULT_ADDRESS,
        *,
        timeout: float = DEFAULT_TIMEOUT_SECONDS,
        credentials: grpc.ChannelCredentials | None = None,
    ) -> None:
        self._timeout = Defaults(timeout, "raise").timeout
        self._channel = BlockingChannel(address, credentials)

    def policy_status(self) -> PolicyStatus:
        """Which policy is served."""
        parse = control_pb2.GetPolicyStatusResponse.FromString
        request = control_pb2.GetPolicyStatusRequest()
        answer = self._channel.read(GET_POLICY_STATUS, request, parse, self._timeout)
        return PolicyStatus(
            ready=answer.ready,
            policy_revision=answer.policy_revision,
            loaded_at=time_of(answer.loaded_at),
            confirmed_at=time_of(answer.confirmed_at),
            engine_mode=_MODES.get(answer.engine_mode, "unknown"),
            engine_version=answer.engine_version,
            engine_restarts=answer.engine_restarts,
            tenants=tuple(answer.tenants),
            reloads_accepted=answer.reloads_accepted,
            reloads_refused=answer.reloads_refused,
            last_error=answer.last_error,
            last_error_at=time_of(answer.last_error_at),
        )

    def permit_keys(self) -> str:
        """The public keys that permits are verified with, as the JSON text of a JWK set; see `PermitKeys`."""
        parse = control_pb2.GetPermitKeysResponse.FromString
        return self._channel.read(GET_PERMIT_KEYS, control_pb2.GetPermitKeysRequest(), parse, self._timeout).jwks_json

    def close(self) -> None:
        """End the connection."""
        self._channel.close()

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()
