"""A server whose callers are authenticated by made-up tokens, each of which names a principal of the test."""

from __future__ import annotations

import contextlib
from typing import TYPE_CHECKING, Any
from unittest import mock

import grpc
from google.protobuf.json_format import ParseDict
from msgspec.structs import replace

from placet.kernel.errors import UnauthenticatedError
from placet.server import rpc
from tests.serving import serving
from tests.transport.rpcs import every_rpc, message_class
from tests.transport.wire import Refusal, refusal_of

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator, Mapping

    from google.protobuf.descriptor import MethodDescriptor
    from google.protobuf.message import Message

    from placet.identity.model import Principal
    from placet.identity.ports import Credentials, Delegation, User
    from placet.server.settings.model import Settings
    from tests.serving import Server

STREAM_SECONDS = 0.5
CALL_SECONDS = 30.0
Tokens = tuple[tuple[str, str], ...]


class NamedPrincipals:
    """Authenticates by tokens that are names of principals, and of users. Implements `Authenticator`."""

    def __init__(self, principals: Mapping[str, Principal], users: Mapping[str, User] | None = None) -> None:
        self.delegations: dict[str, Delegation] = {}
        self.principals = dict(principals)
        self.users = dict(users or {})

    async def authenticate(self, credentials: Credentials) -> Principal:
        name = "".join(credentials.authorization).removeprefix("Bearer ")
        if name not in self.principals:
            reason = "CREDENTIAL_INVALID" if name else "CREDENTIAL_MISSING"
            raise UnauthenticatedError(reason, "no such principal", f"cause of {name}")
        principal = self.principals[name]
        return replace(principal, caller=replace(principal.caller, peer=credentials.peer))

    async def require_current(self, principal: Principal) -> None:
        assert principal.caller.name, "every principal is current"

    async def user_of(self, token: str) -> User:
        if token not in self.users:
            raise UnauthenticatedError("CREDENTIAL_INVALID", "no such user")
        return self.users[token]

    async def delegation_of(self, token: str) -> Delegation:
        if token not in self.delegations:
            raise UnauthenticatedError("CREDENTIAL_INVALID", "no such delegation")
        return self.delegations[token]


@contextlib.contextmanager
def serving_to(authenticator: NamedPrincipals, settings: Settings) -> Iterator[Server]:
    """Run a server whose callers the authenticator proves."""

    async def open_authenticator(*_: Any) -> NamedPrincipals:
        return authenticator

    with contextlib.ExitStack() as stack:
        with mock.patch.object(rpc, "open_authenticator", open_authenticator):
            server = stack.enter_context(serving(settings))
        yield server


def as_caller(name: str) -> Tokens:
    """Return the metadata of a call of a principal; of nobody for an empty name."""
    return (("authorization", f"Bearer {name}"),) if name else ()


class Callers:
    """A channel over which any principal calls."""

    def __init__(self, server: Server) -> None:
        self.channel = grpc.insecure_channel(server.address)

    def ask(self, name: str, rpc: str, /, **fields: Any) -> Any:
        """Return the response of one call, of a stream its first response; or how the call was refused."""
        method = every_rpc()[rpc]
        answer = self.call(name, method, [ParseDict(fields, message_class(method)())])
        return answer if isinstance(answer, Refusal) else message_class(method, response=True).FromString(answer[0])

    def call(self, name: str, method: MethodDescriptor, requests: Iterable[Message]) -> Refusal | list[bytes]:
        """Return the responses as bytes, of a stream those of its first moments; or how the call was refused."""
        path = f"/{method.containing_service.full_name}/{method.name}"
        raw = [request.SerializeToString() for request in requests]
        received: list[bytes] = []
        metadata = as_caller(name)
        try:
            if method.client_streaming:
                stream = self.channel.stream_stream(path, None, None)
                received.extend(stream(iter(raw), timeout=CALL_SECONDS, metadata=metadata))
            elif method.server_streaming:
                [only] = raw
                unary_stream = self.channel.unary_stream(path, None, None)
                received.extend(unary_stream(only, timeout=STREAM_SECONDS, metadata=metadata))
            else:
                [only] = raw
                received.append(
                    self.channel.unary_unary(path, None, None)(only, timeout=CALL_SECONDS, metadata=metadata)
                )
        except grpc.RpcError as error:
            refusal = refusal_of(error)
            if not method.server_streaming or refusal.code is not grpc.StatusCode.DEADLINE_EXCEEDED:
                return refusal
        return received
