"""WatchDecision shows a runtime the decisions of its own agents and its own requests, and no others of its tenant."""

from __future__ import annotations

from typing import TYPE_CHECKING

import grpc
import pytest

from placet.identity.model import Grant, Principal, Role, UserAssertion
from placet.identity.permissions import may_watch
from placet.kernel.model import Caller
from placet.v1 import authorization_pb2, authorization_pb2_grpc
from tests.serving import settings
from tests.transport.authenticated import NamedPrincipals, as_caller, serving_to
from tests.transport.wire import refusal_of, request

if TYPE_CHECKING:
    from collections.abc import Iterator

    from tests.serving import Server

TENANT = "acme"
HERE = frozenset({TENANT})


def runtime(name: str, *agents: str) -> Principal:
    return Principal(
        Caller(name, method="token", is_program=True),
        (Grant(Role.AGENT_RUNTIME, HERE, agents, UserAssertion.TRUSTED),),
    )


PRINCIPALS = {
    "support": runtime("support", "support-*"),
    "support again": runtime("support", "other"),
    "twin": runtime("twin", "Support-?"),
    "sales": runtime("sales", "sales-*"),
    "elsewhere": Principal(
        Caller("elsewhere", method="token"),
        (
            Grant(Role.AGENT_RUNTIME, frozenset({"globex"}), ("*",)),
            Grant(Role.AGENT_RUNTIME, HERE, ("sales-*",)),
            Grant(Role.TOOL_EXECUTOR, frozenset({"globex"})),
        ),
    ),
    "executor": Principal(Caller("executor", method="token"), (Grant(Role.TOOL_EXECUTOR, HERE),)),
}


@pytest.fixture(scope="module")
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Server]:
    with serving_to(NamedPrincipals(PRINCIPALS), settings(tmp_path_factory.mktemp("watches"))) as running:
        yield running


@pytest.fixture(scope="module")
def stub(server: Server) -> Iterator[authorization_pb2_grpc.AuthorizationServiceStub]:
    with grpc.insecure_channel(server.address) as channel:
        yield authorization_pb2_grpc.AuthorizationServiceStub(channel)


@pytest.fixture(scope="module")
def decision_id(stub: authorization_pb2_grpc.AuthorizationServiceStub) -> str:
    """A decision about support-1, for which the runtime `support` asked."""
    message = request({"identity.agent": "support-1", "identity.tenant": TENANT})
    found: str = stub.Authorize(message, metadata=as_caller("support"), timeout=30).decision.decision_id
    return found


@pytest.mark.parametrize(
    ("name", "seen"),
    [
        ("support", True),
        ("support again", True),
        ("twin", True),
        ("executor", True),
        ("sales", False),
        ("elsewhere", False),
    ],
)
def test_a_runtime_follows_its_own_decisions(
    stub: authorization_pb2_grpc.AuthorizationServiceStub,
    decision_id: str,
    name: str,
    seen: bool,  # noqa: FBT001 - a case
) -> None:
    watch = authorization_pb2.WatchDecisionRequest(tenant=TENANT, decision_id=decision_id)
    changes = stub.WatchDecision(watch, metadata=as_caller(name), timeout=30)
    if seen:
        assert next(changes).state != authorization_pb2.DECISION_STATE_UNSPECIFIED
        return
    with pytest.raises(grpc.RpcError) as error:
        next(changes)
    refused = refusal_of(error.value)
    assert refused.code is grpc.StatusCode.NOT_FOUND
    unknown = watch.__class__(tenant=TENANT, decision_id="dec_unknown")
    with pytest.raises(grpc.RpcError) as error:
        next(stub.WatchDecision(unknown, metadata=as_caller(name), timeout=30))
    assert refusal_of(error.value).text == refused.text.replace(decision_id, "dec_unknown")


def test_without_authentication_everybody_follows() -> None:
    assert may_watch(None, TENANT, "somebody", "support-1")
