"""Approvals with a real server, and with connections that are lost."""

from __future__ import annotations

import asyncio
import time
from contextlib import aclosing, closing
from typing import TYPE_CHECKING
from uuid import uuid4

import pytest

from placet.sdk import (
    Action,
    ApprovalClient,
    ApprovalState,
    AsyncClient,
    CallFailedError,
    Client,
    ControlClient,
    Decision,
    DecisionState,
    Effect,
    Identity,
    InvalidRequestError,
    KillScope,
    Person,
    Run,
    failures,
)
from tests.sdk.in_loop import connected
from tests.serving import serving, settings
from tests.tcp_proxy import Proxy

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

from tests.serving import Server

SECONDS_MAX = 30.0
STOP_SECONDS_MAX = 5.0
LEAD = Person("u_lead", ["support_lead"])
WHO = Identity(agent="support-agent", tenant="acme", user="u_1")
REPLY = Action("zendesk.reply", {"body": "Dear Ann"})


@pytest.fixture
def placet(placet_server: Server) -> Iterator[Client]:
    with Client(placet_server.address, timeout=SECONDS_MAX) as client:
        yield client


@pytest.fixture(params=["blocking", "asyncio"])
def approvals(request: pytest.FixtureRequest, placet_server: Server) -> Iterator[ApprovalClient]:
    use_asyncio = request.param == "asyncio"
    with connected(ApprovalClient, placet_server.address, use_asyncio=use_asyncio, timeout=SECONDS_MAX) as client:
        yield client


@pytest.fixture
def proxy(placet_server: Server) -> Iterator[Proxy]:
    with closing(Proxy(int(placet_server.address.rpartition(":")[2]))) as between:
        yield between


def request_approval(placet: Client, run_id: str = "") -> tuple[Decision, str]:
    """A decision that requires the approval of a support lead, and the approval's id. A new run unless one is named."""
    decision = placet.authorize(REPLY, WHO, run=Run(run_id or uuid4().hex))
    assert decision.approval is not None
    return decision, decision.approval.id


def test_an_agent_waits_for_approval_and_continues(placet: Client, approvals: ApprovalClient) -> None:
    decision, approval_id = request_approval(placet, "replying")
    found = approvals.get("acme", approval_id, LEAD)
    assert (found.tool, found.params_json, found.user) == ("zendesk.reply", '{"body":"Dear Ann"}', "u_1")
    assert found.similar is not None
    voted = approvals.approve("acme", approval_id, LEAD, action_digest=found.action_digest)
    assert (voted.state, [vote.person for vote in voted.votes]) == (ApprovalState.APPROVED, ["u_lead"])
    decided = placet.wait_for_approval(decision, SECONDS_MAX)
    assert decided is not None
    assert decided.state is DecisionState.APPROVED
    allowed = placet.authorize(REPLY, WHO, run=Run("replying"), approval_id=decided.approval_id)
    assert allowed.effect is Effect.ALLOW
    states = [change.state for change in placet.watch_decision(decision.decision_id, tenant="acme")]
    assert states == [DecisionState.PENDING, DecisionState.APPROVED, DecisionState.USED]


def test_a_wait_without_a_decision_returns_none(placet: Client) -> None:
    assert placet.wait_for_approval(request_approval(placet)[0], 0.2) is None


def test_a_rejected_vote_raises_with_its_reason(placet: Client, approvals: ApprovalClient) -> None:
    _, approval_id = request_approval(placet)
    with pytest.raises(CallFailedError) as caught:
        approvals.approve("acme", approval_id, Person("u_1", ["support_lead"]))
    assert caught.value.failure.rule_id == failures.NOT_PERMITTED
    assert caught.value.failure.error == "REQUESTER_MAY_NOT_APPROVE"
    with pytest.raises(InvalidRequestError):
        approvals.reject("acme", approval_id, LEAD, "")
    assert approvals.reject("acme", approval_id, LEAD, "wrong customer").state is ApprovalState.REJECTED
    with pytest.raises(CallFailedError) as caught:
        approvals.approve("acme", approval_id, Person("u_other", ["support_lead"]))
    assert caught.value.failure.rule_id == failures.NOT_NOW
    assert caught.value.failure.error == "APPROVAL_ENDED"


def test_voided_votes_return_approvals_to_pending(placet: Client, approvals: ApprovalClient) -> None:
    _, approval_id = request_approval(placet)
    thief = Person("u_thief", ["support_lead"])
    approvals.approve("acme", approval_id, thief)
    done = approvals.void_votes("u_thief", Person("ada"), "account stolen", tenant="acme")
    assert (done.voided_count, done.used_count, done.used) == (1, 0, ())
    [voided] = done.voided
    assert (voided.id, voided.state, voided.votes[0].void_reason) == (
        approval_id,
        ApprovalState.PENDING,
        "account stolen",
    )
    approvals.approve("acme", approval_id, LEAD)
    votes = approvals.get("acme", approval_id).votes
    assert [(vote.person, bool(vote.void_reason)) for vote in votes] == [("u_thief", True), (LEAD.id, False)]
    assert approvals.void_votes("u_thief", Person("ada"), "account stolen").voided_count == 0
    with pytest.raises(InvalidRequestError):
        approvals.void_votes("u_thief", Person("ada"), "", tenant="acme")


def test_lists_have_states_and_pages(placet: Client, approvals: ApprovalClient) -> None:
    made = [request_approval(placet)[1] for _ in range(3)]
    approvals.cancel("acme", made[0], Person("u_1"), "not needed")
    first = approvals.list("acme", ApprovalState.PENDING, page_size=1)
    second = approvals.list("acme", ApprovalState.PENDING, page_size=1, page_token=first.next_page_token)
    assert [first.approvals[0].id, second.approvals[0].id] == [made[2], made[1]]
    assert approvals.list("acme", ApprovalState.CANCELLED).approvals[0].id == made[0]
    assert not {each.id for each in approvals.list("globex").approvals} & set(made)


def test_invalid_arguments_raise(approvals: ApprovalClient, placet: Client) -> None:
    with pytest.raises(InvalidRequestError, match="viewer"):
        approvals.get("acme", "apr_1", "u_1")  # type: ignore[arg-type]
    with pytest.raises(InvalidRequestError, match="state"):
        approvals.list("acme", "pending or so")  # type: ignore[arg-type]
    with pytest.raises(InvalidRequestError, match="roles"):
        approvals.approve("acme", "apr_1", Person("u_1", "lead"))
    with pytest.raises(InvalidRequestError, match="decision_id"):
        next(iter(placet.watch_decision("")))


def test_a_watch_resumes_after_a_lost_connection(placet: Client, approvals: ApprovalClient, proxy: Proxy) -> None:
    decision, approval_id = request_approval(placet)
    with Client(f"127.0.0.1:{proxy.port}") as cut_off:
        changes = cut_off.watch_decision(decision, timeout=SECONDS_MAX)
        assert next(changes).state is DecisionState.PENDING
        proxy.cut()
        approvals.approve("acme", approval_id, LEAD)
        assert next(changes).state is DecisionState.APPROVED
        proxy.cut()
        approvals.cancel("acme", approval_id, LEAD, "changed my mind")
        assert [(change.state, change.reason) for change in changes] == [(DecisionState.CANCELLED, "changed my mind")]


def test_changes_during_a_lost_connection_arrive(placet: Client, approvals: ApprovalClient, proxy: Proxy) -> None:
    with ApprovalClient(f"127.0.0.1:{proxy.port}") as cut_off:
        request_approval(placet)
        changes = cut_off.watch("acme", timeout=SECONDS_MAX)
        next(changes)
        after = request_approval(placet)[1]
        while next(changes).approval.id != after:
            pass
        proxy.refusing = True
        proxy.cut()
        made = [request_approval(placet)[1] for _ in range(3)]
        for each in made:
            approvals.cancel("acme", each, LEAD)
        proxy.refusing = False
        seen = {next(changes).approval.id}
        while not seen.issuperset(made):
            seen.add(next(changes).approval.id)
        assert seen.issuperset(made)


async def test_asyncio_watches_and_waits(
    placet_server: Server, placet: Client, approvals: ApprovalClient, proxy: Proxy
) -> None:
    decision, approval_id = await asyncio.to_thread(request_approval, placet)
    async with AsyncClient(f"127.0.0.1:{proxy.port}") as client, aclosing(client.watch_decision(decision)) as changes:
        assert (await anext(changes)).state is DecisionState.PENDING
        proxy.cut()
        await asyncio.to_thread(approvals.approve, "acme", approval_id, LEAD)
        assert (await anext(changes)).state is DecisionState.APPROVED
    async with AsyncClient(placet_server.address) as client:
        decided = await client.wait_for_approval(decision, SECONDS_MAX)
        assert decided is not None
        assert decided.state is DecisionState.APPROVED
        other, _ = await asyncio.to_thread(request_approval, placet)
        assert await client.wait_for_approval(other, 0.2) is None
    with pytest.raises(CallFailedError):
        await client.wait_for_approval(decision, 1)


def test_watching_an_unknown_decision_raises(placet: Client, unused_address: str) -> None:
    with pytest.raises(CallFailedError) as caught:
        next(placet.watch_decision("dec_unknown", tenant="acme"))
    assert caught.value.failure.rule_id == failures.NOT_FOUND
    with Client(unused_address) as client, pytest.raises(CallFailedError) as caught:
        next(client.watch_decision("dec_1", tenant="acme", timeout=0.3))
    assert caught.value.failure.rule_id in {failures.TIMEOUT, failures.UNAVAILABLE}


def test_a_watch_shows_a_revoked_permit(placet_server: Server, placet: Client) -> None:
    run = Run(run_id="run_revoked")
    decision = placet.authorize(Action("kb.search", {"q": "x"}), WHO, run=run)
    changes = placet.watch_decision(decision, timeout=SECONDS_MAX)
    assert next(changes).state is DecisionState.ALLOWED
    with ControlClient(placet_server.address, timeout=SECONDS_MAX) as control:
        done = control.set_kill_switch(KillScope.RUN, "run_revoked", tenant="acme", actor="ann", reason="it runs wild")
        states = [(change.state, change.reason) for change in changes]
        control.clear_kill_switch(done.kill_switch.id, tenant="acme", actor="ann", reason="mended")
    assert states == [(DecisionState.REVOKED, "A kill switch stops this run")]


def test_a_watch_resumes_at_a_restarted_server(tmp_path: Path) -> None:
    with serving(settings(tmp_path)) as server:
        port = server.address.rpartition(":")[2]
        with Client(server.address, timeout=SECONDS_MAX) as placet:
            decision, approval_id = request_approval(placet)
        client = Client(server.address)
        changes = client.watch_decision(decision, timeout=60)
        assert next(changes).state is DecisionState.PENDING
        begun = time.monotonic()
    assert time.monotonic() - begun < STOP_SECONDS_MAX, "a stream held up the stop"
    with (
        serving(settings(tmp_path, listen=f"127.0.0.1:{port}")) as server,
        ApprovalClient(server.address, timeout=SECONDS_MAX) as approvals,
    ):
        approvals.reject("acme", approval_id, LEAD, "no")
        assert [change.state for change in changes] == [DecisionState.REJECTED]
    client.close()
