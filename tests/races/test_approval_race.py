"""One approval, presented by many at once on two replicas: it is used once."""

from __future__ import annotations

from collections import Counter
from dataclasses import replace
from typing import TYPE_CHECKING

import pytest

from placet.sdk import ApprovalClient, ApprovalState, Person
from tests.races.fleet import check_whole
from tests.races.load_clients import ALLOW, DENY, REQUIRE_APPROVAL, Caller, LoadClients
from tests.races.tenant import TENANT, WIRE, Ask, fresh

if TYPE_CHECKING:
    from collections.abc import Sequence

    from tests.races.fleet import Fleet

PRESENTERS = 100
KEEPER = Person("u_kim", ("keeper",))


def approved(fleet: Fleet) -> Ask:
    """What was asked for, and was agreed to."""
    caller = Caller(fleet.addresses)
    asked = caller.ask(Ask(WIRE, run_id="run_1"))
    caller.close()
    assert (asked.effect, asked.rule_id) == (REQUIRE_APPROVAL, "approvals.required")
    with ApprovalClient(fleet.addresses[1]) as people:
        people.approve(TENANT, asked.approval_id, KEEPER)
    return replace(asked.ask, approval_id=asked.approval_id)


def presented(fleet: Fleet, presenters: int, ask: Ask, *, one_key: bool) -> LoadClients:
    """All present it at once, half of them at each replica."""
    asks = [Ask(ask.tool, run_id=ask.run_id, approval_id=ask.approval_id) for _ in range(presenters)]
    return all_at_once(fleet, [ask] * presenters if one_key else asks)


def all_at_once(fleet: Fleet, asks: Sequence[Ask]) -> LoadClients:
    """One caller asks for each, half of them at each replica."""
    waiting = iter(asks)

    def work(caller: Caller, clients: LoadClients) -> None:
        clients.replies.append(caller.ask(next(waiting)))

    with LoadClients(fleet.addresses, len(asks), work) as clients:
        clients.join()
    assert len(clients.replies) == len(asks)
    return clients


def one_approval(fleet: Fleet, asks: Sequence[Ask]) -> str:
    """The one approval that all of them wait for, when they ask at once; it is given."""
    clients = all_at_once(fleet, asks)
    assert {each.effect for each in clients.replies} == {REQUIRE_APPROVAL}
    [approval_id] = {each.approval_id for each in clients.replies}
    with ApprovalClient(fleet.addresses[0]) as people:
        people.approve(TENANT, approval_id, KEEPER)
    return approval_id


def used(fleet: Fleet, ask: Ask) -> str:
    """The decision that used the approval up."""
    with ApprovalClient(fleet.addresses[0]) as people:
        approval = people.get(TENANT, ask.approval_id)
    assert approval.state is ApprovalState.USED
    return approval.used_by_decision_id


def check_race(fleet: Fleet, times: int) -> None:
    for _ in range(times):
        ask = approved(fleet)
        clients = presented(fleet, PRESENTERS, ask, one_key=False)
        replies = Counter((each.effect, each.rule_id) for each in clients.replies)
        assert replies == {(ALLOW, "approvals.granted"): 1, (DENY, "approvals.used"): PRESENTERS - 1}
        assert clients.allowed[0].decision_id == used(fleet, ask)
    fleet.accounts().balance()
    check_whole(fleet, chains=2)


def test_a_hundred_presenters_and_one_allow(pair: Fleet) -> None:
    check_race(pair, 1)


def test_presenters_with_one_key_are_told_the_same(pair: Fleet) -> None:
    """Who asks again with the key that first needed approval is given the one allow, however often he asks at once."""
    asked = approved(pair)
    clients = presented(pair, 20, replace(asked, approval_id=""), one_key=True)
    assert {(each.effect, each.decision_id) for each in clients.replies} == {(ALLOW, used(pair, asked))}
    pair.accounts().balance()
    check_whole(pair, chains=2)


def test_askers_at_both_replicas_wait_for_one_approval(pair: Fleet) -> None:
    """Each under a key of its own, all at once; then all ask again, and one is allowed."""
    run_id = fresh("run")
    asks = [Ask(WIRE, run_id=run_id) for _ in range(20)]
    one_approval(pair, asks)
    clients = all_at_once(pair, asks)
    assert len(clients.allowed) == 1
    assert {each.rule_id for each in clients.replies} <= {"approvals.granted", "approvals.required", "approvals.used"}
    pair.accounts().balance()
    check_whole(pair, chains=2)


def test_spellings_of_one_agent_at_both_replicas_wait_for_one_approval(pair: Fleet) -> None:
    """All at once; the one approval is then presented in every spelling at once, and used once."""
    run_id = fresh("run")
    asks = [Ask(WIRE, agent=agent, run_id=run_id) for agent in ("ag", "AG", "Ag ", "\uff41g", "aG") * 4]
    approval_id = one_approval(pair, asks)
    clients = all_at_once(
        pair, [Ask(each.tool, agent=each.agent, run_id=run_id, approval_id=approval_id) for each in asks]
    )
    assert len(clients.allowed) == 1
    assert {each.rule_id for each in clients.replies} <= {
        "approvals.granted",
        "approvals.used",
        "approvals.digest_mismatch",
    }
    pair.accounts().balance()
    check_whole(pair, chains=2)


@pytest.mark.soak
@pytest.mark.timeout(600)
def test_a_hundred_presenters_and_one_allow_twenty_times(pair: Fleet) -> None:
    check_race(pair, 20)
