"""Approvals and their streams, over gRPC with a real server."""

from __future__ import annotations

import uuid
from contextlib import closing
from typing import TYPE_CHECKING

import grpc
import pytest

from placet.kernel import reasons as refusals
from placet.transport.grpc.messages.cursor import cursor_text, read_cursor
from placet.v1 import approval_pb2, authorization_pb2, decision_pb2, person_pb2
from tests.transport.wire import Refusal, Wire, refusal_of, request

if TYPE_CHECKING:
    from collections.abc import Iterator

    from google.protobuf.message import Message

    from tests.serving import Server

SECONDS_MAX = 30.0
SERVICE = "/placet.v1.ApprovalService/"
WATCH_DECISION = "/placet.v1.AuthorizationService/WatchDecision"
LEAD = person_pb2.Person(id="u_lead", roles=["support_lead"])
REPLY = {"action.tool": "zendesk.reply", "action.params_json": '{"body":"Dear Ann, 5 EUR"}', "identity.user": "u_1"}


def ask(wire: Wire, method: str, message: Message) -> bytes:
    return wire.raw(SERVICE + method, message.SerializeToString())


def asked(wire: Wire, **more: str) -> decision_pb2.Decision:
    """Return a decision that requires approval by a support lead; a separate approval unless the run is given."""
    decision: decision_pb2.Decision = wire.authorize(request({**REPLY, "run.run_id": uuid.uuid4().hex, **more}))
    assert decision.effect == decision_pb2.EFFECT_REQUIRE_APPROVAL
    return decision


def approve(wire: Wire, decision: decision_pb2.Decision, tenant: str = "acme") -> approval_pb2.Approval:
    message = approval_pb2.ApproveActionRequest(tenant=tenant, approval_id=decision.approval.id, approver=LEAD)
    return approval_pb2.ApproveActionResponse.FromString(ask(wire, "ApproveAction", message)).approval


def get(wire: Wire, decision: decision_pb2.Decision, viewer: person_pb2.Person | None = None) -> approval_pb2.Approval:
    message = approval_pb2.GetApprovalRequest(tenant="acme", approval_id=decision.approval.id, viewer=viewer)
    return approval_pb2.GetApprovalResponse.FromString(ask(wire, "GetApproval", message)).approval


@pytest.fixture
def channel(placet_server: Server) -> Iterator[grpc.Channel]:
    with closing(grpc.insecure_channel(placet_server.address)) as connected:
        yield connected


def watching(
    channel: grpc.Channel, decision_id: str, cursor: str = "", tenant: str = "acme"
) -> Iterator[authorization_pb2.WatchDecisionResponse]:
    message = authorization_pb2.WatchDecisionRequest(tenant=tenant, decision_id=decision_id, cursor=cursor)
    stream = channel.unary_stream(WATCH_DECISION, None, authorization_pb2.WatchDecisionResponse.FromString)
    return iter(stream(message.SerializeToString(), timeout=SECONDS_MAX))


def test_from_the_request_to_the_single_allow(wire: Wire, channel: grpc.Channel) -> None:
    decision = asked(wire, **{"run.run_id": "replying"})
    changes = watching(channel, decision.decision_id)
    first = next(changes)
    assert (first.state, first.approval_id) == (authorization_pb2.DECISION_STATE_PENDING, decision.approval.id)
    assert approve(wire, decision).state == approval_pb2.APPROVAL_STATE_APPROVED
    assert next(changes).state == authorization_pb2.DECISION_STATE_APPROVED
    allowed = wire.authorize(
        request({**REPLY, "run.run_id": "replying", "approval_id": decision.approval.id, "include_permit": True})
    )
    assert (allowed.effect, allowed.used_approval_id) == (decision_pb2.EFFECT_ALLOW, decision.approval.id)
    assert allowed.permit
    assert [change.state for change in changes] == [authorization_pb2.DECISION_STATE_USED]
    again = wire.authorize(request({**REPLY, "run.run_id": "replying", "approval_id": decision.approval.id}))
    assert again.rule_id == "approvals.used"
    rest = watching(channel, decision.decision_id, first.cursor)
    states = [authorization_pb2.DECISION_STATE_APPROVED, authorization_pb2.DECISION_STATE_USED]
    assert [change.state for change in rest] == states


def test_the_same_key_gets_the_allow_after_people_approved(wire: Wire) -> None:
    changes = {"idempotency_key": uuid.uuid4().hex, "run.run_id": "one key"}
    decision = asked(wire, **changes)
    assert wire.authorize(request({**REPLY, **changes})).decision_id == decision.decision_id
    approve(wire, decision)
    allowed = wire.authorize(request({**REPLY, **changes}))
    assert (allowed.effect, allowed.used_approval_id) == (decision_pb2.EFFECT_ALLOW, decision.approval.id)
    assert wire.authorize(request({**REPLY, **changes})).decision_id == allowed.decision_id


def test_another_spelling_of_the_agent_joins_and_uses_the_same_approval(wire: Wire) -> None:
    run_id = uuid.uuid4().hex
    first = asked(wire, **{"identity.agent": "spelled-agent", "run.run_id": run_id})
    changes = {"identity.agent": "SPELLED-agent ", "run.run_id": run_id, "idempotency_key": uuid.uuid4().hex}
    assert asked(wire, **changes).approval.id == first.approval.id
    approve(wire, first)
    allowed = wire.authorize(request({**REPLY, **changes}))
    assert (allowed.effect, allowed.used_approval_id) == (decision_pb2.EFFECT_ALLOW, first.approval.id)


def test_only_people_who_may_vote_see_the_exact_parameters(wire: Wire) -> None:
    decision = asked(wire)
    seen = get(wire, decision, LEAD)
    assert (seen.action.params_json, seen.params_redacted) == ('{"body":"Dear Ann, 5 EUR"}', False)
    assert seen.similar.approval_required > 0
    assert seen.action_digest == decision.action_digest
    for viewer in (None, person_pb2.Person(id="u_1", roles=["support_lead"]), person_pb2.Person(id="u_2")):
        hidden = get(wire, decision, viewer)
        assert (hidden.action.params_json, hidden.params_redacted) == ('{"body":"[redacted:sensitive]"}', True)
    page = approval_pb2.ListApprovalsResponse.FromString(
        ask(wire, "ListApprovals", approval_pb2.ListApprovalsRequest(tenant="acme", page_size=1))
    )
    assert page.approvals[0].id == decision.approval.id
    assert (page.approvals[0].action.params_json, page.approvals[0].params_redacted) == ("", True)
    assert page.next_page_token


def test_statuses_of_refused_votes(wire: Wire) -> None:
    decision = asked(wire)
    message = approval_pb2.ApproveActionRequest(tenant="acme", approval_id=decision.approval.id)

    def refusal(person: person_pb2.Person, **more: str) -> tuple[grpc.StatusCode, str]:
        vote = approval_pb2.ApproveActionRequest(approver=person, **more)
        vote.MergeFrom(message)
        with pytest.raises(Refusal) as refused:
            ask(wire, "ApproveAction", vote)
        return refused.value.code, refused.value.reason

    denied, not_now = grpc.StatusCode.PERMISSION_DENIED, grpc.StatusCode.FAILED_PRECONDITION
    requester = person_pb2.Person(id="u_1", roles=["support_lead"])
    assert refusal(requester) == (denied, refusals.REQUESTER_MAY_NOT_APPROVE)
    assert refusal(person_pb2.Person(id="u_2", roles=["staff"])) == (denied, refusals.ROLE_MAY_NOT_APPROVE)
    assert refusal(LEAD, action_digest="0" * 64) == (not_now, refusals.APPROVAL_DIFFERS)
    approve(wire, decision)
    assert refusal(LEAD) == (not_now, refusals.APPROVAL_DECIDED)


def test_every_invalid_field_is_named(wire: Wire) -> None:
    with pytest.raises(Refusal) as refused:
        ask(
            wire,
            "ApproveAction",
            approval_pb2.ApproveActionRequest(tenant="A", reason="x" * 1_025, action_digest="no"),
        )
    assert set(refused.value.violations) == {"tenant", "approval_id", "approver.id", "reason", "action_digest"}
    with pytest.raises(Refusal) as refused:
        ask(wire, "ListApprovals", approval_pb2.ListApprovalsRequest(tenant="acme", page_size=501, state=77))  # type: ignore[arg-type]
    assert set(refused.value.violations) == {"page_size", "state"}
    with pytest.raises(Refusal) as refused:
        ask(wire, "RejectAction", approval_pb2.RejectActionRequest(tenant="acme", approval_id="x", approver=LEAD))
    assert refused.value.code is grpc.StatusCode.NOT_FOUND
    decision = asked(wire)
    no = approval_pb2.RejectActionRequest(tenant="acme", approval_id=decision.approval.id, approver=LEAD)
    with pytest.raises(Refusal) as refused:
        ask(wire, "RejectAction", no)
    assert set(refused.value.violations) == {"reason"}


@pytest.mark.parametrize("method", ["GetApproval", "ApproveAction", "RejectAction", "CancelApproval"])
def test_another_tenant_cannot_use_the_id(wire: Wire, method: str) -> None:
    decision = asked(wire)
    ids = {"tenant": "globex", "approval_id": decision.approval.id}
    messages: dict[str, Message] = {
        "GetApproval": approval_pb2.GetApprovalRequest(viewer=LEAD, **ids),
        "ApproveAction": approval_pb2.ApproveActionRequest(approver=LEAD, **ids),
        "RejectAction": approval_pb2.RejectActionRequest(approver=LEAD, reason="no", **ids),
        "CancelApproval": approval_pb2.CancelApprovalRequest(actor=LEAD, **ids),
    }
    with pytest.raises(Refusal) as refused:
        ask(wire, method, messages[method])
    assert refused.value.code is grpc.StatusCode.NOT_FOUND
    assert get(wire, decision).state == approval_pb2.APPROVAL_STATE_PENDING


def test_another_tenant_cannot_watch_the_decision(wire: Wire, channel: grpc.Channel) -> None:
    decision = asked(wire)
    with pytest.raises(grpc.RpcError) as refused:
        next(watching(channel, decision.decision_id, tenant="globex"))
    assert refusal_of(refused.value).code is grpc.StatusCode.NOT_FOUND


@pytest.mark.parametrize(
    "cursor", ["!", "e30", "W10=", cursor_text({"w": 1})[:-4] + "====", "eyJhIjotMX0=", "eyJhIjoiYiJ9"]
)
def test_an_invalid_cursor_is_refused(channel: grpc.Channel, wire: Wire, cursor: str) -> None:
    decision = asked(wire)
    with pytest.raises(grpc.RpcError) as refused:
        next(watching(channel, decision.decision_id, cursor))
    assert set(refusal_of(refused.value).violations) == {"cursor"}


def test_a_cursor_survives_encoding() -> None:
    assert read_cursor(cursor_text({"a": 1, "b": 2**53 - 1})) == {"a": 1, "b": 2**53 - 1}
    assert read_cursor("") is None


def test_a_malformed_message_opens_no_stream(channel: grpc.Channel) -> None:
    with pytest.raises(grpc.RpcError) as refused:
        list(channel.unary_stream(WATCH_DECISION, None, None)(b"\xff", timeout=SECONDS_MAX))
    assert refused.value.code() is grpc.StatusCode.INVALID_ARGUMENT
