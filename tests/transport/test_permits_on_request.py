"""Permits over gRPC: signed for callers that ask, and for tenants that want each allow signed."""

from __future__ import annotations

import asyncio
import uuid
from typing import TYPE_CHECKING, Any

import pytest

from placet import sdk
from placet.kernel.limits import BATCH_ACTIONS_MAX
from placet.kernel.steps import TOGETHER
from placet.signing.permit_signer import SigningPermitKey
from placet.v1 import decision_pb2
from tests.serving import serving, settings
from tests.transport.streaming import StreamCall, streamed
from tests.transport.wire import Wire, request

if TYPE_CHECKING:
    from collections.abc import Iterator

    from tests.serving import Server

ALLOWED = {"action.tool": "kb.search"}
DENIED = {"action.tool": "no.such_tool"}


@pytest.fixture(scope="module")
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Server]:
    """A server with a tenant that leaves the setting out, and one for each of its values."""
    chosen = settings(tmp_path_factory.mktemp("permits"))
    for tenant, more in (("acme", ""), ("always", "  permits: always\n"), ("asked", "  permits: on_request\n")):
        (chosen.rego_dir / f"config/{tenant}.yaml").write_text(
            f"agent_policy:\n{more}  allowed_tools: [kb.search]\n  write_tools: [mail.send]\n"
        )
    with serving(chosen) as running:
        yield running


def permit(wire: Wire, tenant: str, **changes: Any) -> str:
    """Return the permit of an allow."""
    decision = wire.authorize(request({**ALLOWED, "identity.tenant": tenant, **changes}))
    assert decision.effect == decision_pb2.EFFECT_ALLOW
    text: str = decision.permit
    return text


@pytest.mark.parametrize(
    ("tenant", "requested", "signed"),
    [
        ("acme", False, False),
        ("acme", True, True),
        ("asked", False, False),
        ("asked", True, True),
        ("always", False, True),
        ("always", True, True),
    ],
)
def test_an_allow_carries_a_permit_if_the_caller_or_the_tenant_wants_it(
    wire: Wire,
    tenant: str,
    requested: bool,  # noqa: FBT001 - a table's column
    signed: bool,  # noqa: FBT001 - a table's column
) -> None:
    assert bool(permit(wire, tenant, include_permit=requested)) is signed


def test_a_client_without_the_field_gets_the_permits_of_a_tenant_that_wants_them(wire: Wire) -> None:
    message = request({**ALLOWED, "identity.tenant": "always"})
    assert not message.include_permit
    assert wire.authorize(message).permit.count(".") == 2


@pytest.mark.parametrize("changes", [DENIED, {"action.tool": "mail.send"}])
def test_other_decisions_carry_none(wire: Wire, changes: dict[str, str]) -> None:
    for tenant in ("acme", "always"):
        decision = wire.authorize(request({**changes, "identity.tenant": tenant, "include_permit": True}))
        assert decision.effect != decision_pb2.EFFECT_ALLOW
        assert decision.permit == ""


def test_a_repeat_may_ask_for_the_permit_and_gets_that_of_the_stored_decision(wire: Wire) -> None:
    key = uuid.uuid4().hex
    answers = [
        wire.authorize(request({**ALLOWED, "idempotency_key": key, "include_permit": requested}))
        for requested in (False, True, False, True)
    ]
    assert len({answer.decision_id for answer in answers}) == 1
    without, permit, again, same = (answer.permit for answer in answers)
    assert (without, again) == ("", "")
    assert permit == same != ""


def test_each_request_of_a_batch_asks_for_itself(wire: Wire) -> None:
    wanted = [True, False, True, True, False]
    tools = [ALLOWED, ALLOWED, DENIED, ALLOWED, DENIED]
    batch = [request({**tool, "include_permit": include}) for tool, include in zip(tools, wanted, strict=True)]
    decisions = wire.authorize_batch(batch)
    assert [bool(decision.permit) for decision in decisions] == [True, False, False, True, False]
    assert decisions[0].permit != decisions[3].permit


def test_each_request_of_a_stream_asks_for_itself(server: Server) -> None:
    wanted = {"a": True, "b": False, "c": True}
    with StreamCall(server.address) as stream:
        stream.send(*(streamed(name, request({**ALLOWED, "include_permit": each})) for name, each in wanted.items()))
        answers = stream.wait(len(wanted))
    assert {each.id: bool(each.decision.permit) for each in answers} == wanted


def test_the_sdk_verifies_what_it_asked_for(server: Server) -> None:
    action, identity = sdk.Action("kb.search", {"q": "x"}), sdk.Identity("agent", "acme")
    with sdk.Client(server.address) as client, sdk.ControlClient(server.address) as control:
        assert client.authorize(action, identity).permit == ""
        decision = client.authorize(action, identity, include_permit=True)
        [first, second] = client.authorize_batch(
            [sdk.Request(action, identity), sdk.Request(action, identity, include_permit=True)]
        )
        keys = sdk.PermitKeySet(control.permit_keys())
    assert first.permit == ""
    for each in (decision, second):
        assert sdk.verify_permit(each.permit, action, keys, identity=identity).decision_id == each.decision_id


def test_a_batch_is_signed_in_steps(wire: Wire, monkeypatch: pytest.MonkeyPatch) -> None:
    """A signature occupies the event loop, so few are made in one of its passes."""
    passes: list[int] = [0]
    sign = SigningPermitKey.sign

    def counted(key: SigningPermitKey, claims: bytes) -> str:
        if not passes[-1]:
            asyncio.get_running_loop().call_soon(passes.append, 0)
        passes[-1] += 1
        return sign(key, claims)

    monkeypatch.setattr(SigningPermitKey, "sign", counted)
    batch = [request({**ALLOWED, "include_permit": True}) for _ in range(BATCH_ACTIONS_MAX)]
    assert all(decision.permit for decision in wire.authorize_batch(batch))
    assert sum(passes) == BATCH_ACTIONS_MAX
    assert max(passes) <= TOGETHER
