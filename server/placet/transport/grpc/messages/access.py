"""Reads from requests which tenants they name, and sets the people and users that they name."""

from __future__ import annotations

from typing import TYPE_CHECKING

from placet.kernel.limits import BATCH_ACTIONS_MAX
from placet.v1.authorization_pb2 import AuthorizeBatchRequest, AuthorizeRequest, StreamedRequest
from placet.v1.control_pb2 import ListKillSwitchesRequest, SetKillSwitchRequest
from placet.v1.token_pb2 import CreateTokenRequest

if TYPE_CHECKING:
    from collections.abc import Sequence

    from google.protobuf.message import Message

    from placet.matching.person import Person


def proposals_of(request: Message) -> Sequence[AuthorizeRequest]:
    """Return the requests for a decision that a message holds."""
    match request:
        case AuthorizeRequest():
            return (request,)
        case AuthorizeBatchRequest():
            return request.requests[:BATCH_ACTIONS_MAX]  # more are refused as invalid
        case StreamedRequest():
            return (request.request,)
    return ()


def tenants_of(request: Message) -> list[str]:
    """Return the tenants that a request names; "" where it names none. Empty only for a batch without requests."""
    match request:
        case AuthorizeRequest() | AuthorizeBatchRequest() | StreamedRequest():
            return [proposal.identity.tenant for proposal in proposals_of(request)]
        case SetKillSwitchRequest():
            return [request.scope.tenant]
        case ListKillSwitchesRequest() if request.every_tenant:
            return [""]
        case CreateTokenRequest():  # so callers can give only what they have
            return [tenant for grant in request.grants for tenant in grant.tenants]
    return [str(getattr(request, "tenant", ""))]


def named_person(request: Message, field: str) -> str:
    """Return the id of the person in a field of the request; empty for none."""
    return str(getattr(request, field).id).strip()


def set_person(request: Message, field: str, person: Person) -> None:
    """Put the person who calls into the field, in place of what the request claims."""
    message = getattr(request, field)
    message.id = person.id
    message.roles[:] = person.roles
