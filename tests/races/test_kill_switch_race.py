"""A kill switch set under load: when `Set` has returned, no replica allows what it covers."""

from __future__ import annotations

import itertools
import time
from dataclasses import dataclass
from typing import TYPE_CHECKING

import pytest

from placet.sdk import ControlClient, KillScope
from tests.faults.serving import eventually
from tests.races.fleet import check_whole
from tests.races.load_clients import Caller, LoadClients
from tests.races.tenant import READ, TENANT, Ask, fresh

if TYPE_CHECKING:
    from collections.abc import Callable

    from tests.races.fleet import Fleet
    from tests.races.load_clients import Reply

CALLERS = 16
SECONDS_MAX = 30.0
SCOPES = (KillScope.RUN, KillScope.WORKFLOW, KillScope.AGENT, KillScope.TOOL)


@dataclass(frozen=True, slots=True)
class Stopped:
    """One stop under load, in milliseconds.

    `decided_ms` is when the last allow was decided, after the time that the switch is set at; `answered_ms` when it was
    answered, after `Set` returned.
    """

    took_ms: float
    decided_ms: float
    answered_ms: float


class Load:
    """Callers who ask for whatever is asked for just now."""

    def __init__(self) -> None:
        self.round: tuple[Ask, list[Reply]] = (Ask(READ), [])

    def work(self, caller: Caller, clients: LoadClients) -> None:
        for number in itertools.count():
            if clients.ended.is_set():
                return
            ask, replies = self.round
            said = caller.ask(Ask(ask.tool, ask.workflow, ask.run_id, ask.agent), at=number)
            replies.append(said)


def target(scope: KillScope) -> tuple[Ask, str]:
    """What to ask for, and the value of the switch that stops it and nothing else that went before."""
    name = fresh("x")
    match scope:
        case KillScope.RUN:
            return Ask(READ, run_id=name), name
        case KillScope.WORKFLOW:
            return Ask(READ, workflow=name), name
        case KillScope.AGENT:
            return Ask(READ, agent=name), name
        case _:
            return Ask(READ), "vault.*"


def stop(fleet: Fleet, load: Load, scope: KillScope, at: int) -> Stopped:
    """Set a switch by one replica while both are asked, see that it holds, clear it, see that calls pass again."""
    replies: list[Reply] = []
    ask, value = target(scope)
    load.round = (ask, replies)
    eventually(lambda: sum(each.allowed for each in list(replies)) >= CALLERS, SECONDS_MAX, "calls before")
    with ControlClient(fleet.addresses[at % 2], timeout=SECONDS_MAX) as control:
        began = time.monotonic()
        was_set = control.set_kill_switch(scope, value, actor="ann", reason="it runs wild", tenant=TENANT)
        returned, returned_us = time.monotonic(), time.time_ns() // 1_000
        count = len(replies)
        eventually(lambda: len(replies) >= count + 4 * CALLERS, SECONDS_MAX, "calls after")
        allows = [each for each in list(replies) if each.allowed]
        assert not [each for each in allows if each.sent_at > returned]
        assert max(each.decided_at_us for each in allows) <= returned_us
        assert {each.rule_id for each in list(replies) if each.sent_at > returned} == {f"kill_switch.{scope}"}
        revoked = {each.decision_id for each in was_set.revoked}
        assert {each.decision_id for each in allows} <= revoked, "an allow whose permit was not revoked"
        waits = control.clear_kill_switch(was_set.kill_switch.id, actor="ann", reason="mended", tenant=TENANT)
        if waits is not None:  # the pattern stops most of the tenant's tools
            switch = was_set.kill_switch.id
            assert control.clear_kill_switch(switch, actor="bob", reason="mended", tenant=TENANT) is None
    cleared = time.monotonic()
    eventually(
        lambda: any(each.allowed and each.sent_at > cleared for each in list(replies)), SECONDS_MAX, "calls again"
    )
    set_at = was_set.kill_switch.set_at
    assert set_at is not None
    return Stopped(
        1_000 * (returned - began),
        max(each.decided_at_us for each in allows) / 1_000 - set_at.timestamp() * 1_000,
        1_000 * (max(each.answered_at for each in allows) - returned),
    )


def check_race(fleet: Fleet, times: int, figure: Callable[[str], None]) -> None:
    load = Load()
    with LoadClients(fleet.addresses, CALLERS, load.work) as clients:
        stops = []
        for number in range(times):
            stops.append(stop(fleet, load, SCOPES[number % len(SCOPES)], number // len(SCOPES)))
            clients.raise_error()
    took = sorted(each.took_ms for each in stops)
    decided, answered = max(each.decided_ms for each in stops), max(each.answered_ms for each in stops)
    figure(
        f"{times} stops; the last allow was decided at most {decided:.1f} ms after the time of the switch and answered "
        f"{answered:.1f} ms after Set returned; Set took p50 {took[times // 2]:.0f} ms, at most {took[-1]:.0f} ms"
    )
    fleet.accounts().balance()
    check_whole(fleet, chains=fleet.chains)


def test_no_allow_after_a_kill_switch_is_set(pair: Fleet, figure: Callable[[str], None]) -> None:
    check_race(pair, len(SCOPES), figure)


@pytest.mark.soak
@pytest.mark.timeout(900)
def test_no_allow_after_a_kill_switch_is_set_many_times(pair: Fleet, figure: Callable[[str], None]) -> None:
    check_race(pair, 100, figure)
