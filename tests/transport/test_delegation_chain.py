"""The field `delegation_chain`: what is accepted, and how its tokens are verified."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import pytest
from google.protobuf.json_format import ParseDict

from placet.identity.model import Grant, Principal, Role, UserAssertion
from placet.identity.ports import Delegation
from placet.kernel.errors import InvalidRequestError, PermissionDeniedError, UnauthenticatedError
from placet.kernel.model import Caller, DelegationHop
from placet.transport.grpc.interceptors.delegation import prove_delegation
from placet.transport.grpc.messages.from_proto import parse_request
from placet.v1.action_pb2 import Identity
from tests.serving import settings
from tests.transport.authenticated import Callers, NamedPrincipals, serving_to
from tests.transport.rpcs import every_rpc, message_class
from tests.transport.test_parse import message, refused

if TYPE_CHECKING:
    from pathlib import Path

ISSUER = "https://agents.example.com"
CHAIN = "identity.delegation_chain"
ANNA = Delegation("anna", "planner", ("jira.*", "kb.*"), frozenset({"acme"}), ISSUER)
PLANNER = Delegation("planner", "support-1", ("kb.*",), frozenset({"acme"}), ISSUER)


def hop(principal: str = "planner", *scopes: str, **more: Any) -> dict[str, Any]:
    return {"principal": principal, "scopes": scopes or ["*"], **more}


def signed(token: str) -> dict[str, str]:
    return {"token": token}


def test_the_names_follow_from_the_chain() -> None:
    hops = [hop("anna", "b", "a", "b"), hop("planner", "a")]
    alone = parse_request(message({CHAIN: hops}))
    assert alone.identity.delegation == ("anna", "planner")
    assert alone.identity.delegation_chain == (DelegationHop("anna", ("a", "b")), DelegationHop("planner", ("a",)))
    both = parse_request(message({CHAIN: hops, "identity.delegation": ["anna", "planner"]}))
    assert (both.document, both.request_digest) == (alone.document, alone.request_digest)
    names = parse_request(message({"identity.delegation": ["anna", "planner"]}))
    assert b"delegation_chain" not in names.document
    assert names.action_digest != alone.action_digest


@pytest.mark.parametrize(
    ("changes", "field", "what"),
    [
        ({CHAIN: [hop()] * 17}, CHAIN, "at most 16"),
        ({CHAIN: [hop("")]}, f"{CHAIN}[0].principal", "is required"),
        ({CHAIN: [hop(), hop("\u0391\u039d\u039d\u0391")]}, f"{CHAIN}[1].principal", "looks like Latin"),
        ({CHAIN: [{"principal": "a"}]}, f"{CHAIN}[0].scopes", "must be 1 to 16"),
        ({CHAIN: [hop("a", *"*" * 17)]}, f"{CHAIN}[0].scopes", "must be 1 to 16"),
        ({CHAIN: [hop("a", "p y")]}, f"{CHAIN}[0].scopes[0]", "for any text"),
        ({CHAIN: [hop("a", "*" * 9)]}, f"{CHAIN}[0].scopes[0]", "at most 8"),
        ({CHAIN: [hop(**signed("x"))]}, f"{CHAIN}[0].token", "the server authenticates no callers"),
        ({CHAIN: [hop(proven_by=ISSUER)]}, f"{CHAIN}[0].proven_by", "is set by Placet"),
        ({CHAIN: [hop()], "identity.delegation": ["other"]}, "identity.delegation", "leave it out"),
        ({CHAIN: [hop()], "identity.delegation": ["planner", "x"]}, "identity.delegation", "leave it out"),
    ],
)
def test_wrong_hops_are_invalid(changes: dict[str, Any], field: str, what: str) -> None:
    assert what in refused(changes)[field]


async def proven(*hops: dict[str, Any], agent: str = "support-1", tenant: str = "acme") -> Identity:
    """The identity after its hops were verified. The token of a hop is the name of a delegation."""
    authenticator = NamedPrincipals({})
    authenticator.delegations = {"anna": ANNA, "planner": PLANNER}
    identity = ParseDict({"agent": agent, "tenant": tenant, "delegation_chain": hops}, Identity())
    await prove_delegation(authenticator, identity)
    return identity


async def test_a_token_says_who_delegates_what() -> None:
    identity = await proven({"token": "anna"}, {"token": "planner", "principal": "Planner", "scopes": ["kb.*"]})
    said = [(one.principal, list(one.scopes), one.proven_by, one.token) for one in identity.delegation_chain]
    assert said == [("anna", ["jira.*", "kb.*"], ISSUER, ""), ("planner", ["kb.*"], ISSUER, "")]


async def test_a_hop_without_a_token_stays_an_assertion() -> None:
    identity = await proven(hop("root"), {"token": "planner"})
    assert [one.proven_by for one in identity.delegation_chain] == ["", ISSUER]


@pytest.mark.parametrize(
    ("hops", "more", "reason"),
    [
        ([hop("eve", **signed("planner"))], {}, "DELEGATION_MISMATCH"),
        ([hop("planner", "*", **signed("planner"))], {}, "DELEGATION_MISMATCH"),
        ([hop("planner", "kb.*", "jira.*", **signed("planner"))], {}, "DELEGATION_MISMATCH"),
        ([{"token": "planner"}], {"agent": "support-2"}, "DELEGATION_MISMATCH"),
        ([{"token": "planner"}, hop("other")], {}, "DELEGATION_MISMATCH"),
        ([{"token": "anna"}], {}, "DELEGATION_MISMATCH"),
        ([{"token": "planner"}], {"tenant": "globex"}, "DELEGATION_OF_ANOTHER_TENANT"),
    ],
)
async def test_a_token_of_another_hop_proves_nothing(
    hops: list[dict[str, Any]], more: dict[str, str], reason: str
) -> None:
    with pytest.raises(PermissionDeniedError) as error:
        await proven(*hops, **more)
    assert error.value.reason == reason


async def test_who_proved_a_hop_cannot_be_claimed() -> None:
    with pytest.raises(InvalidRequestError):
        await proven(hop(proven_by=ISSUER))
    with pytest.raises(UnauthenticatedError):
        await proven({"token": "forged"})


def test_the_record_says_who_proved_each_hop_and_holds_no_token(tmp_path: Path) -> None:
    grant = Grant(Role.AGENT_RUNTIME, frozenset({"acme"}), ("support-*",), UserAssertion.NEVER)
    authenticator = NamedPrincipals({"runtime": Principal(Caller("ci-runtime", method="jwt"), (grant,))})
    authenticator.delegations = {"s3cret-hop": PLANNER}
    with serving_to(authenticator, settings(tmp_path)) as server:
        callers = Callers(server)
        fields = {
            "idempotency_key": "k",
            "action": {"tool": "jira.search", "params_json": "{}"},
            "identity": {
                "agent": "support-1",
                "tenant": "acme",
                "delegation_chain": [hop("anna"), {"token": "s3cret-hop"}],
            },
        }
        streamed = {"requests": [{"id": "1", "request": fields}]}
        for rpc, request in (("Authorize", fields), ("AuthorizeStream", streamed)):
            method = every_rpc()[f"AuthorizationService.{rpc}"]
            answer = str(callers.call("runtime", method, [ParseDict(request, message_class(method)())]))
            assert "identity.delegation_scope" in answer
        callers.channel.close()
        [record] = server.records("decision.made")
    chain = record["parts"]["input"]["identity"]["delegation_chain"]
    assert chain == [
        {"principal": "anna", "proven_by": "", "scopes": ["*"]},
        {"principal": "planner", "proven_by": ISSUER, "scopes": ["kb.*"]},
    ]
    assert "s3cret-hop" not in str(record)
