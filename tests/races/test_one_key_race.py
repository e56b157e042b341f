"""One key, asked for by many at two replicas that stand still and go on, by callers who do not wait: decided once."""

from __future__ import annotations

import contextlib
import itertools
import random
import signal
import subprocess
import sys
import threading
from typing import TYPE_CHECKING, Final

import pytest

from placet.sdk import ApprovalClient, ControlClient, KillScope, Person
from tests.freezing import freeze
from tests.races.fleet import Fleet, check_whole
from tests.races.load_clients import DENY, REQUIRE_APPROVAL, Caller, LoadClients
from tests.races.tenant import PAY, READ, TENANT, WIRE, Ask, fresh, races_rego

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator
    from pathlib import Path

    from tests.races.load_clients import Reply

CALLERS: Final = 8
TRY_SECONDS: Final = 0.4
"""Less than a replica stands still: whoever waits for that one asks the other."""
STANDS_SECONDS: Final = (0.1, 0.9)
GOES_ON_SECONDS: Final = (0.05, 0.4)
SECONDS_MAX: Final = 60.0
KEEPER: Final = Person("u_kim", ("keeper",))


class Rounds:
    """All callers ask for one thing under one key, then for the next. `stop` is called by one beside the others."""

    def __init__(self, asks: list[Ask], stop: Callable[[Ask], None]) -> None:
        self.asks = asks
        self.replies: list[list[Reply]] = [[] for _ in asks]
        self._stop = stop
        self._together = threading.Barrier(CALLERS)

    def work(self, caller: Caller, clients: LoadClients) -> None:
        for number, (ask, replies) in enumerate(zip(self.asks, self.replies, strict=True)):
            first = self._together.wait(SECONDS_MAX) == 0
            if first and number % 4 == 3:
                self._stop(ask)
            replies.append(caller.ask(ask, at=random.randrange(2)))
            if clients.ended.is_set():
                return


@contextlib.contextmanager
def standing_still(fleet: Fleet) -> Iterator[None]:
    """One replica after the other is stopped in whatever it does, and goes on, until the end of the block."""
    over = threading.Event()

    def torment() -> None:
        chance = random.Random()
        for server in itertools.cycle(fleet.servers.values()):
            freeze(server.process.pid)
            over.wait(chance.uniform(*STANDS_SECONDS))
            server.signal(signal.SIGCONT)
            if over.wait(chance.uniform(*GOES_ON_SECONDS)):
                return

    thread = threading.Thread(target=torment)
    thread.start()
    try:
        yield
    finally:
        over.set()
        thread.join()


@contextlib.contextmanager
def starved(processes: int) -> Iterator[None]:
    """Busy loops take the processors, until the end of the block."""
    loops = [subprocess.Popen([sys.executable, "-c", "while True: pass"]) for _ in range(processes)]
    try:
        yield
    finally:
        for loop in loops:
            loop.kill()
            loop.wait()


def agreed(fleet: Fleet) -> Ask:
    """Something that people were asked about under its key, and agreed to."""
    caller = Caller(fleet.addresses)
    asked = caller.ask(Ask(WIRE, run_id=fresh("run")))
    caller.close()
    assert asked.effect == REQUIRE_APPROVAL
    with ApprovalClient(fleet.addresses[1]) as people:
        people.approve(TENANT, asked.approval_id, KEEPER)
    return asked.ask


def wanted(fleet: Fleet, number: int) -> Ask:
    match number % 4:
        case 0:
            return Ask(PAY, agent="agent_1", minor_units=7)
        case 1:
            return agreed(fleet)
        case _:
            return Ask(READ, run_id=fresh("run"))


def one_answer(replies: list[Reply]) -> None:
    """All were told the same decision, but for a deny in its place: such are decisions of their own."""
    instead = {"kill_switch.run", "pdp.contention", "pdp.permit_revoked"}
    decided = {(each.decision_id, each.effect) for each in replies if each.rule_id not in instead}
    denied = [each for each in replies if each.rule_id in instead]
    assert len(decided) <= 1, replies
    assert all(each.effect == DENY for each in denied)


def check_race(fleet: Fleet, rounds: int) -> None:
    def stop(ask: Ask) -> None:
        with ControlClient(fleet.addresses[random.randrange(2)], timeout=SECONDS_MAX) as control:
            made = control.set_kill_switch(KillScope.RUN, ask.run_id, actor="ann", reason="it runs wild", tenant=TENANT)
            control.clear_kill_switch(made.kill_switch.id, actor="ann", reason="mended", tenant=TENANT)

    game = Rounds([wanted(fleet, number) for number in range(rounds)], stop)
    with starved(2), standing_still(fleet), LoadClients(fleet.addresses, CALLERS, game.work, TRY_SECONDS) as clients:
        clients.join()
    for replies in game.replies:
        assert len(replies) == CALLERS
        one_answer(replies)
    fleet.accounts().balance()
    check_whole(fleet, chains=2)


@pytest.fixture
def fleet(tmp_path: Path, postgres_url: str) -> Iterator[Fleet]:
    with Fleet(tmp_path, races_rego(tmp_path), {"a": postgres_url, "b": postgres_url}) as made:
        yield made


@pytest.mark.timeout(180)
def test_a_key_is_decided_once_whoever_stands_still(fleet: Fleet) -> None:
    check_race(fleet, 12)


@pytest.mark.soak
@pytest.mark.timeout(1_800)
def test_a_key_is_decided_once_whoever_stands_still_many_times(fleet: Fleet) -> None:
    check_race(fleet, 400)
