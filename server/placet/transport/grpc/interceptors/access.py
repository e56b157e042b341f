"""Lets a call through if its caller may make it, and sets the people and users that the caller may name."""

from __future__ import annotations

from contextlib import aclosing
from typing import TYPE_CHECKING, Any

import grpc

from placet.identity.access import ACCESS
from placet.identity.permissions import ROLE_NOT_GRANTED, person_of, require_access, resolved_user
from placet.kernel.errors import PermissionDeniedError
from placet.kernel.model import ASSERTED, PROVEN, UserProof
from placet.transport.grpc.interceptors.base import PACKAGE, CallInterceptor
from placet.transport.grpc.interceptors.caller import current_principal, set_user_proofs
from placet.transport.grpc.interceptors.delegation import prove_delegation
from placet.transport.grpc.messages.access import named_person, proposals_of, set_person, tenants_of

if TYPE_CHECKING:
    from collections.abc import AsyncGenerator

    from google.protobuf.message import Message

    from placet.identity.access import Access
    from placet.identity.model import Principal
    from placet.identity.ports import Authenticator
    from placet.transport.grpc.context import Context
    from placet.transport.grpc.interceptors.base import Behavior, Handler, Method
    from placet.v1.authorization_pb2 import AuthorizeRequest


class AccessInterceptor(CallInterceptor):
    """Checks each request against the table of `placet.identity.access`. Servicers run only for what it lets through.

    It changes the request: the person who calls and the user of a user token take the place of what the request names.
    """

    def __init__(self, authenticator: Authenticator) -> None:
        self._authenticator = authenticator

    def intercept(self, behavior: Behavior, method: Method) -> Behavior:
        """Return the behavior for requests that the caller may make. KeyError for a method without a row."""
        access = access_of(method)

        async def call(request: Message, context: Context) -> Any:  # noqa: ANN401 - a response of any method
            await self._allow(access, request)
            return await behavior(request, context)

        return call

    def wrap(self, handler: Any, method: Method) -> Handler:  # noqa: ANN401 - published without types
        """Return the handler with its behavior wrapped. A behavior that yields responses becomes another such one."""
        if handler.request_streaming or not handler.response_streaming:
            return super().wrap(handler, method)
        access = access_of(method)

        async def stream(request: Message, context: Context) -> AsyncGenerator[Message]:
            await self._allow(access, request)
            async with aclosing(handler.unary_stream(request, context)) as responses:
                async for response in responses:
                    yield response

        return grpc.unary_stream_rpc_method_handler(stream, handler.request_deserializer, handler.response_serializer)

    async def _allow(self, access: Access, request: Message) -> None:
        principal = current_principal()
        if principal is None:
            raise PermissionDeniedError(ROLE_NOT_GRANTED, "the caller is not authenticated")
        require_access(principal, access, tenants_of(request))
        set_user_proofs(tuple([await self._set_user(principal, proposal) for proposal in proposals_of(request)]))
        if access.person:
            person = person_of(principal, access, named_person(request, access.person))
            set_person(request, access.person, person)

    async def _set_user(self, principal: Principal, proposal: AuthorizeRequest) -> UserProof | None:
        """Set user, roles and delegation of a request for a decision, and remove the tokens, which are stored nowhere.

        Returns how the user is known; None for no user.
        """
        identity = proposal.identity
        token, identity.user_token = identity.user_token, ""
        proven = await self._authenticator.user_of(token) if token else None
        user, roles = resolved_user(principal, identity.tenant, identity.agent, identity.user, identity.roles, proven)
        if identity.delegation_chain:
            await prove_delegation(self._authenticator, identity)
        if proven is not None:
            identity.user = user
            identity.roles[:] = roles
            return UserProof(PROVEN, proven.issuer)
        return UserProof(ASSERTED) if user or roles else None


def access_of(method: Method) -> Access:
    """Return the row of a method. KeyError if it has none: then the server does not start."""
    return ACCESS[f"{method.service.removeprefix(PACKAGE + '.')}.{method.name}"]
