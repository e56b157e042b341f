"""Continuous payments during a failure, and checks that none was lost, doubled or counted wrongly."""

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
"""A reservation lasts at least 60 seconds; a server expires due ones every few seconds."""


def pay(caller: Caller, clients: LoadClients) -> None:
    """Pay until the end. Repeat some requests at another replica, and report some outcomes."""
    chance = random.Random()
    while not clients.ended.is_set():
        ask = Ask(PAY, agent=f"agent_{chance.randint(1, 3)}", minor_units=chance.randint(1, 900))
        reply = caller.ask(ask, at=chance.randint(0, 1))
        assert reply.allowed, reply
        clients.replies.append(reply)
        if chance.randrange(AGAIN_EACH) == 0:
            again = caller.ask(ask, at=chance.randint(0, 1))
            assert (again.effect, again.decision_id) == (reply.effect, reply.decision_id)
        if chance.randrange(REPORT_EACH) == 0:
            caller.report(TENANT, reply.decision_id)


@contextlib.contextmanager
def payments(fleet: Fleet) -> Iterator[LoadClients]:
    """Run payers for the duration of the block. Begins when PAYERS payments have a reply."""
    with LoadClients(fleet.addresses, PAYERS, pay) as clients:
        more(clients, PAYERS)
        yield clients


def more(clients: LoadClients, count: int, seconds: float = 60.0) -> None:
    """Wait until `count` more payments have a reply."""
    until = len(clients.replies) + count

    def enough() -> bool:
        clients.raise_error()
        return len(clients.replies) >= until

    eventually(enough, seconds, f"{count} answers")


def check_settled(fleet: Fleet, clients: LoadClients, url: str = "") -> None:
    """Check that the accounts have each payment with a reply exactly once, and no others."""
    recorded = fleet.accounts(url).balance()
    asks = {reply.decision_id: reply.ask for reply in clients.replies}
    assert {name: ask.key for name, ask in asks.items()} == {name: decision.key for name, decision in recorded.items()}
    assert sum(fleet.accounts(url).usage("money", "tenant")) == sum(ask.minor_units for ask in asks.values())
    check_whole(fleet, url, chains=fleet.chains)


def check_expired(fleet: Fleet, clients: LoadClients, url: str = "", *, wait: bool = False) -> None:
    """Check that unreported reservations expire and the accounts still balance.

    With `wait`, wait for their time; otherwise set it to the past.
    """
    accounts = fleet.accounts(url)
    if not wait:
        accounts.expire_reservations()
    eventually(lambda: accounts.held() == 0, EXPIRY_SECONDS_MAX, "reservations expire")
    check_settled(fleet, clients, url)
    assert accounts.usage("money", "tenant") == (sum(reply.ask.minor_units for reply in clients.replies), 0)


def longest_silence_ms(clients: LoadClients) -> float:
    """Return the longest time between two replies of any replica, in milliseconds."""
    times = sorted(reply.answered_at for reply in clients.replies)
    return 1_000 * max(after - before for before, after in pairwise(times))
