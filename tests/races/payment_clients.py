"""Payments without end while something breaks; and that not one of them was lost, doubled or counted wrongly."""

from __future__ import annotations

import contextlib
import random
from itertools import pairwise
from typing import TYPE_CHECKING

from tests.faults.serving import eventually
from tests.races.fleet import check_whole
from tests.races.load_clients import LoadClients
from tests.races.tenant import PAY, TENANT, Ask

if TYPE_CHECKING:
    from collections.abc import Iterator

    from tests.races.fleet import Fleet
    from tests.races.load_clients import Caller

PAYERS = 8
AGAIN_EACH = 5
REPORT_EACH = 3
EXPIRY_SECONDS_MAX = 150.0
"""A reservation lives for 60 seconds at least; a server looks for those that are over every few seconds."""


def pay(caller: Caller, clients: LoadClients) -> None:
    """Pay; ask some again at another replica, and report some."""
    chance = random.Random()
    while not clients.ended.is_set():
        asked = Ask(PAY, agent=f"agent_{chance.randint(1, 3)}", minor_units=chance.randint(1, 900))
        told = caller.ask(asked, at=chance.randint(0, 1))
        assert told.allowed, told
        clients.told.append(told)
        if chance.randrange(AGAIN_EACH) == 0:
            again = caller.ask(asked, at=chance.randint(0, 1))
            assert (again.effect, again.decision_id) == (told.effect, told.decision_id)
        if chance.randrange(REPORT_EACH) == 0:
            caller.report(TENANT, told.decision_id)


@contextlib.contextmanager
def payments(fleet: Fleet) -> Iterator[LoadClients]:
    """Payers at work until the end of the block."""
    with LoadClients(fleet.addresses, PAYERS, pay) as clients:
        more(clients, PAYERS)
        yield clients


def more(clients: LoadClients, count: int, seconds: float = 60.0) -> None:
    """Until so many more were answered."""
    until = len(clients.told) + count

    def enough() -> bool:
        clients.raise_error()
        return len(clients.told) >= until

    eventually(enough, seconds, f"{count} answers")


def check_settled(fleet: Fleet, clients: LoadClients, url: str = "") -> None:
    """Each payment that was answered stands in the accounts, once, and none that was not."""
    recorded = fleet.accounts(url).balance()
    asked = {each.decision_id: each.ask for each in clients.told}
    assert {name: ask.key for name, ask in asked.items()} == {name: each.key for name, each in recorded.items()}
    assert sum(fleet.accounts(url).usage("money", "tenant")) == sum(ask.minor_units for ask in asked.values())
    check_whole(fleet, url, chains=len(fleet.names))


def check_expired(fleet: Fleet, clients: LoadClients, url: str = "", *, wait: bool = False) -> None:
    """What nobody reported on expires by itself, and the accounts still balance. Its time is over, or is waited for."""
    accounts = fleet.accounts(url)
    if not wait:
        accounts.grow_old()
    eventually(lambda: accounts.held() == 0, EXPIRY_SECONDS_MAX, "reservations expire")
    check_settled(fleet, clients, url)
    assert accounts.usage("money", "tenant") == (sum(each.ask.minor_units for each in clients.told), 0)


def longest_silence_ms(clients: LoadClients) -> float:
    """Between two answers, whoever was asked."""
    times = sorted(each.answered_at for each in clients.told)
    return 1_000 * max(after - before for before, after in pairwise(times))
