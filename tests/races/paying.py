"""Payments without end while something breaks; and that not one of them was lost, doubled or counted wrongly."""

from __future__ import annotations

import contextlib
import random
from itertools import pairwise
from typing import TYPE_CHECKING

from tests.faults.serving import eventually
from tests.races.crowd import Crowd
from tests.races.fleet import whole
from tests.races.tenant import PAY, TENANT, Ask

if TYPE_CHECKING:
    from collections.abc import Iterator

    from tests.races.crowd import Caller
    from tests.races.fleet import Fleet

PAYERS = 8
AGAIN_EACH = 5
REPORT_EACH = 3
EXPIRY_SECONDS_MAX = 150.0
"""A reservation lives for 60 seconds at least; a server looks for those that are over every few seconds."""


def pay(caller: Caller, crowd: Crowd) -> None:
    """Pay; ask some again at another replica, and report some."""
    chance = random.Random()
    while not crowd.ended.is_set():
        asked = Ask(PAY, agent=f"agent_{chance.randint(1, 3)}", minor_units=chance.randint(1, 900))
        told = caller.ask(asked, at=chance.randint(0, 1))
        assert told.allowed, told
        crowd.told.append(told)
        if chance.randrange(AGAIN_EACH) == 0:
            again = caller.ask(asked, at=chance.randint(0, 1))
            assert (again.effect, again.decision_id) == (told.effect, told.decision_id)
        if chance.randrange(REPORT_EACH) == 0:
            caller.report(TENANT, told.decision_id)


@contextlib.contextmanager
def payments(fleet: Fleet) -> Iterator[Crowd]:
    """Payers at work until the end of the block."""
    with Crowd(fleet.addresses, PAYERS, pay) as crowd:
        more(crowd, PAYERS)
        yield crowd


def more(crowd: Crowd, count: int, seconds: float = 60.0) -> None:
    """Until so many more were answered."""
    until = len(crowd.told) + count

    def enough() -> bool:
        crowd.check()
        return len(crowd.told) >= until

    eventually(enough, seconds, f"{count} answers")


def settled(fleet: Fleet, crowd: Crowd, url: str = "") -> None:
    """Each payment that was answered stands in the books, once, and none that was not."""
    recorded = fleet.books(url).balance()
    asked = {each.decision_id: each.ask for each in crowd.told}
    assert {name: ask.key for name, ask in asked.items()} == {name: each.key for name, each in recorded.items()}
    assert sum(fleet.books(url).usage("money", "tenant")) == sum(ask.minor_units for ask in asked.values())
    whole(fleet, url, chains=len(fleet.names))


def expired(fleet: Fleet, crowd: Crowd, url: str = "", *, wait: bool = False) -> None:
    """What nobody reported on expires by itself, and the books still balance. Its time is over, or is waited for."""
    books = fleet.books(url)
    if not wait:
        books.grow_old()
    eventually(lambda: books.held() == 0, EXPIRY_SECONDS_MAX, "reservations expire")
    settled(fleet, crowd, url)
    assert books.usage("money", "tenant") == (sum(each.ask.minor_units for each in crowd.told), 0)


def longest_silence_ms(crowd: Crowd) -> float:
    """Between two answers, whoever was asked."""
    times = sorted(each.answered_at for each in crowd.told)
    return 1_000 * max(after - before for before, after in pairwise(times))
