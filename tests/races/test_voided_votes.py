"""Votes that are voided, over gRPC: on two replicas on PostgreSQL, and on one server on SQLite."""

from __future__ import annotations

from contextlib import closing
from typing import TYPE_CHECKING

import pytest

from placet.sdk import ApprovalClient, ApprovalState, Client, DecisionState, Person
from tests.races.fleet import Fleet, check_whole
from tests.races.load_clients import ALLOW, DENY, REQUIRE_APPROVAL, Caller
from tests.races.tenant import EMPTY, TENANT, WIRE, Ask, fresh, races_rego

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

    from tests.races.load_clients import Reply

ADA = Person("ada")
WATCH_SECONDS_MAX = 30.0


def keeper() -> Person:
    return Person(fresh("keeper"), ("keeper",))


@pytest.fixture(scope="module", params=["sqlite", "postgres"])
def fleet(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Fleet]:
    if request.param == "postgres":
        yield request.getfixturevalue("pair")
        return
    folder: Path = tmp_path_factory.mktemp("single")
    with Fleet(folder, races_rego(folder), {"a": ""}) as made:
        yield made


@pytest.fixture
def asker(fleet: Fleet) -> Iterator[Caller]:
    with closing(Caller(fleet.addresses)) as caller:
        yield caller


@pytest.fixture
def people(fleet: Fleet) -> Iterator[ApprovalClient]:
    """Who decides, at another replica than who asks where there is one."""
    with ApprovalClient(fleet.addresses[-1]) as client:
        yield client


def asked(asker: Caller, tool: str) -> Reply:
    reply = asker.ask(Ask(tool, run_id=fresh("run")))
    assert reply.effect == REQUIRE_APPROVAL
    return reply


def test_a_voided_vote_sends_the_approval_back_to_wait(fleet: Fleet, asker: Caller, people: ApprovalClient) -> None:
    waiting, thief = asked(asker, WIRE), keeper()
    people.approve(TENANT, waiting.approval_id, thief)
    done = people.void_votes(thief.id, ADA, "account stolen", tenant=TENANT)
    assert [(each.id, each.state) for each in done.voided] == [(waiting.approval_id, ApprovalState.PENDING)]
    presented = asker.ask(Ask(WIRE, run_id=waiting.ask.run_id, approval_id=waiting.approval_id))
    assert (presented.effect, presented.rule_id) == (DENY, "approvals.pending")
    assert asker.ask(waiting.ask).decision_id == waiting.decision_id
    people.approve(TENANT, waiting.approval_id, keeper())
    assert asker.ask(waiting.ask).effect == ALLOW
    check_whole(fleet)


def test_of_two_votes_one_is_voided(fleet: Fleet, asker: Caller, people: ApprovalClient) -> None:
    waiting, thief, second, third = asked(asker, EMPTY), keeper(), keeper(), keeper()
    people.approve(TENANT, waiting.approval_id, thief)
    assert people.approve(TENANT, waiting.approval_id, second).state is ApprovalState.APPROVED
    [voided] = people.void_votes(thief.id, ADA, "account stolen", tenant=TENANT).voided
    assert voided.state is ApprovalState.PENDING
    assert [vote.void_reason for vote in voided.votes] == ["account stolen", ""]
    assert asker.ask(waiting.ask).effect == REQUIRE_APPROVAL
    assert people.approve(TENANT, waiting.approval_id, third).state is ApprovalState.APPROVED
    assert asker.ask(waiting.ask).effect == ALLOW
    check_whole(fleet)


def test_an_allow_whose_vote_was_voided_is_revoked(fleet: Fleet, asker: Caller, people: ApprovalClient) -> None:
    waiting, thief = asked(asker, WIRE), keeper()
    people.approve(TENANT, waiting.approval_id, thief)
    allowed = asker.ask(waiting.ask)
    assert (allowed.effect, allowed.rule_id) == (ALLOW, "approvals.granted")
    done = people.void_votes(thief.id, ADA, "account stolen", tenant=TENANT)
    assert [(each.id, each.state) for each in done.used] == [(waiting.approval_id, ApprovalState.USED)]
    again = asker.ask(waiting.ask)
    assert (again.effect, again.rule_id) == (DENY, "pdp.permit_revoked")
    with Client(fleet.addresses[0], timeout=WATCH_SECONDS_MAX) as client:
        seen = list(client.watch_decision(allowed.decision_id, tenant=TENANT))
    assert [each.state for each in seen] == [DecisionState.ALLOWED, DecisionState.REVOKED]
    anew = asker.ask(Ask(WIRE, run_id=waiting.ask.run_id))
    assert (anew.effect, anew.approval_id == waiting.approval_id) == (REQUIRE_APPROVAL, False)
    check_whole(fleet)
