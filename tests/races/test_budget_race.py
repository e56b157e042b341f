"""However many ask at once, wherever: a budget gives all of its units, each once."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from tests.races.fleet import Fleet, check_whole
from tests.races.load_clients import Caller, LoadClients
from tests.races.tenant import TAKE, Ask, fresh, races_rego

if TYPE_CHECKING:
    from pathlib import Path

    from tests.races.accounting import Recorded

LIGHT = (100, 16, 1)
FULL = (1_000, 64, 20)
AGAIN_EACH = 10


def grab(caller: Caller, clients: LoadClients, workflow: str) -> None:
    """Take units until there are none; ask for one in ten again, wherever: it is the same one."""
    while not clients.ended.is_set():
        reply = caller.ask(Ask(TAKE, workflow))
        clients.replies.append(reply)
        if len(clients.replies) % AGAIN_EACH == 0:
            again = caller.ask(reply.ask, at=len(clients.replies))
            assert (again.decision_id, again.effect) == (reply.decision_id, reply.effect)
        if not reply.allowed:
            return


def race(fleet: Fleet, units: int, client_count: int) -> str:
    """One budget, from its first unit to its last; the workflow that it was for."""
    workflow = fresh("wf")
    with LoadClients(fleet.addresses, client_count, lambda caller, clients: grab(caller, clients, workflow)) as clients:
        clients.join()
    assert len({each.decision_id for each in clients.allowed}) == units
    denied = [each for each in clients.replies if not each.allowed]
    assert [each.rule_id for each in denied] == ["budgets.units"] * client_count
    assert fleet.accounts().usage("units", f"workflow:{workflow}") == (0, units)
    return workflow


def check_races(fleet: Fleet, units: int, clients: int, times: int) -> None:
    with fleet:
        for _ in range(times):
            race(fleet, units, clients)
        recorded = fleet.accounts().balance()
        assert allowed(recorded) == units * times
        assert len(recorded) == (units + clients) * times
        check_whole(fleet, chains=fleet.chains)


def allowed(recorded: dict[str, Recorded]) -> int:
    return sum(each.effect == "allow" for each in recorded.values())


def test_two_replicas_grant_each_unit_once(tmp_path: Path, postgres_url: str) -> None:
    units, clients, times = LIGHT
    check_races(
        Fleet(tmp_path, races_rego(tmp_path, units), {"a": postgres_url, "b": postgres_url}), units, clients, times
    )


def test_one_server_grants_each_unit_once(tmp_path: Path) -> None:
    units, clients, times = LIGHT
    check_races(Fleet(tmp_path, races_rego(tmp_path, units), {"a": ""}), units, clients, times)


@pytest.mark.soak
@pytest.mark.timeout(600)
def test_two_replicas_grant_a_thousand_units_twenty_times(tmp_path: Path, postgres_url: str) -> None:
    units, clients, times = FULL
    check_races(
        Fleet(tmp_path, races_rego(tmp_path, units), {"a": postgres_url, "b": postgres_url}), units, clients, times
    )


@pytest.mark.soak
@pytest.mark.timeout(600)
def test_one_server_grants_a_thousand_units_twenty_times(tmp_path: Path) -> None:
    units, clients, times = FULL
    check_races(Fleet(tmp_path, races_rego(tmp_path, units), {"a": ""}), units, clients, times)
