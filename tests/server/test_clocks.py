"""Clocks set back, ahead and right again under whole servers, on both stores: nothing that was used comes back."""

from __future__ import annotations

import asyncio
import time
from typing import TYPE_CHECKING

import jwt
import pytest

from placet.kernel.errors import ConfigurationError
from placet.kernel.limits import PERMIT_TTL_SECONDS
from placet.sdk import Action, ApprovalClient, Client, ControlClient, Identity, KillScope, Person
from placet.sdk.errors import CallFailedError
from placet.server import background
from placet.server.ledger import accept_clock
from placet.signing.pinned_checkpoints import PinnedCheckpoints
from tests.faults.serving import eventually
from tests.server.clocks import (
    DAY,
    HOUR,
    LENIENT_SECONDS,
    MINUTE,
    READ,
    SECOND_US,
    TAKE,
    TAKES_MAX,
    TENANT,
    WIRE,
    Clocks,
    MovedClock,
    noon,
)
from tests.serving import settings

if TYPE_CHECKING:
    from pathlib import Path

    from placet.sdk.decision import Decision
    from placet.server.ledger_clock import LedgerClock
    from tests.serving import Server

AGENT = Identity(agent="teller", tenant=TENANT, user="u_1")
SKEWED = "pdp.clock_skew"
KEEPER = Person("u_keeper", ["keeper"])
SECONDS_MAX = 20.0
SWEEP_SECONDS = 0.02


@pytest.fixture(params=["sqlite", "postgres"])
def clocks(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> Clocks:
    url = request.getfixturevalue("postgres_url") if request.param == "postgres" else ""
    return Clocks(monkeypatch, tmp_path, url)


@pytest.fixture
def shared(monkeypatch: pytest.MonkeyPatch, tmp_path: Path, postgres_url: str) -> Clocks:
    return Clocks(monkeypatch, tmp_path, postgres_url)


def ask(server: Server, tool: str = READ, *, approval_id: str = "", key: str | None = None) -> Decision:
    with Client(server.address, timeout=20) as client:
        action = Action(tool, {"vault": 7})
        return client.authorize(action, AGENT, approval_id=approval_id, idempotency_key=key, include_permit=True)


def follows(server: Server, rule_id: str, tool: str = READ) -> None:
    """The server has seen where the clocks stand, and decides so."""
    eventually(lambda: ask(server, tool).rule_id == rule_id, SECONDS_MAX, rule_id)


def seen(clocks: Clocks, server: Server) -> None:
    """The server takes the time of the moved clocks for the time."""
    clock = server.running.ledger._writer._clock
    eventually(lambda: clock.wall_us() >= clocks.machine.wall_us() - 1_000_000, SECONDS_MAX, "time is followed")


def test_used_money_does_not_come_back_with_a_clock_set_back(clocks: Clocks) -> None:
    today = noon()
    clocks.move_database(today)
    with clocks.serving(today) as server:
        assert [ask(server, TAKE).allowed for _ in range(TAKES_MAX + 1)] == [True] * TAKES_MAX + [False]
        spent = ask(server, TAKE).rule_id
        clocks.move_all(today - 2 * DAY)
        assert ask(server, TAKE).rule_id == SKEWED
        clocks.move_all(today)
        follows(server, spent, TAKE)


def test_the_floor_alone_keeps_the_window_over_restarts(clocks: Clocks) -> None:
    today = noon()
    clocks.move_database(today)
    with clocks.serving(today, clock_skew_max_seconds=LENIENT_SECONDS) as server:
        assert all(ask(server, TAKE).allowed for _ in range(TAKES_MAX))
        clocks.move_all(today - 2 * DAY)
        assert not ask(server, TAKE).allowed
    with clocks.serving(today - 2 * DAY, clock_skew_max_seconds=LENIENT_SECONDS) as server:
        assert not ask(server, TAKE).allowed
        clocks.move_all(today + DAY)
        seen(clocks, server)
        assert [ask(server, TAKE).allowed for _ in range(TAKES_MAX + 1)] == [True] * TAKES_MAX + [False]
        clocks.move_all(today)
        assert not ask(server, TAKE).allowed


def test_an_expired_approval_does_not_revive(clocks: Clocks) -> None:
    with clocks.serving(clock_skew_max_seconds=LENIENT_SECONDS) as server:
        asked = ask(server, WIRE)
        assert asked.approval is not None
        with ApprovalClient(server.address) as approvals:
            approvals.approve(TENANT, asked.approval.id, KEEPER)
            clocks.move_all(2 * MINUTE)
            seen(clocks, server)
            assert ask(server, WIRE, approval_id=asked.approval.id).rule_id == "approvals.expired"
            clocks.move_all(-HOUR)
            assert ask(server, WIRE, approval_id=asked.approval.id).rule_id == "approvals.expired"


def test_a_clock_set_back_does_not_stretch_an_approval(clocks: Clocks) -> None:
    with clocks.serving(clock_skew_max_seconds=LENIENT_SECONDS) as server:
        asked = ask(server, WIRE)
        assert asked.approval is not None
        clocks.move_all(-HOUR)
        ask(server)
        clocks.move_all(MINUTE + 5)
        seen(clocks, server)
        with ApprovalClient(server.address) as approvals, pytest.raises(CallFailedError):
            approvals.approve(TENANT, asked.approval.id, KEEPER)
        assert ask(server, WIRE, approval_id=asked.approval.id).rule_id == "approvals.expired"


def test_a_kill_switch_ends_when_it_was_set_to_end(clocks: Clocks) -> None:
    with clocks.serving(clock_skew_max_seconds=LENIENT_SECONDS) as server, ControlClient(server.address) as control:
        control.set_kill_switch(
            KillScope.TOOL, READ, actor="ann", reason="test", tenant=TENANT, expires_after_seconds=MINUTE
        )
        clocks.move_all(-2 * DAY)
        assert not ask(server).allowed
        clocks.move_all(MINUTE + 5)
        seen(clocks, server)
        assert ask(server).allowed
        clocks.move_all(-2 * DAY)
        assert ask(server).allowed


def test_a_key_stands_for_its_decision_whatever_the_clock_says(clocks: Clocks) -> None:
    with clocks.serving(clock_skew_max_seconds=LENIENT_SECONDS) as server:
        first = ask(server, key="k")
        clocks.move_all(-2 * DAY)
        assert ask(server, key="k").decision_id == first.decision_id
    assert first.allowed


@pytest.mark.parametrize("ahead_seconds", [30, -30])
def test_a_replica_that_is_a_little_off_decides_by_the_shared_time(shared: Clocks, ahead_seconds: int) -> None:
    with shared.serving(ahead_seconds) as off, shared.serving(replica="b") as right:
        for server in (off, right, off, right):
            assert ask(server).allowed
        told = [each.timestamp() for server in (off, right) if (each := ask(server).decided_at) is not None]
        assert abs(told[1] - told[0]) < abs(ahead_seconds) / 2


@pytest.mark.parametrize("ahead_seconds", [90, -90, 2 * DAY, -2 * DAY])
def test_a_replica_that_is_far_off_stops_itself_alone(shared: Clocks, ahead_seconds: int) -> None:
    with shared.serving(replica="b") as right, shared.serving(ahead_seconds) as off:
        assert ask(off).rule_id == SKEWED
        follows(right, ask(right).rule_id)
        for _ in range(3):
            assert ask(right).allowed
            assert ask(off).rule_id == SKEWED
        with ControlClient(off.address) as control:
            assert control.policy_status().ready
        shared.machine.ahead_seconds = 0
        follows(off, ask(right).rule_id)
    with shared.serving(replica="c") as later:
        assert ask(later).allowed


def test_a_clock_that_is_set_while_the_replica_runs_is_noticed_at_once(shared: Clocks) -> None:
    with shared.serving(replica="b") as right, shared.serving() as off:
        for ahead_seconds in (-90, 90, -2 * DAY):
            assert ask(off).allowed
            shared.machine.ahead_seconds = ahead_seconds
            assert ask(off).rule_id == SKEWED
            assert ask(right).allowed
            shared.machine.ahead_seconds = 0


def test_a_clock_that_is_off_is_not_accepted_by_a_word(shared: Clocks) -> None:
    with shared.serving() as server:
        given = settings(server.data_dir, database_url=shared.url, replica_id="a")
    with pytest.raises(ConfigurationError, match=r"\+172,800 s off that of the database's server"):
        asyncio.run(accept_clock(given, MovedClock(2 * DAY), "ann", "test", lambda _: None))


@pytest.mark.parametrize("ahead_seconds", [HOUR, DAY])
def test_keys_are_not_swept_while_the_clock_is_skewed(
    clocks: Clocks, monkeypatch: pytest.MonkeyPatch, ahead_seconds: int
) -> None:
    """Records made ahead of the true time must not have keys forgotten before theirs."""
    swept: list[int] = []

    async def sweep(_ledger: object, clock: LedgerClock, _hours: int) -> int:
        swept.append(clock.wall_us())
        return 0

    monkeypatch.setattr(background, "purge_idempotency_keys", sweep)
    monkeypatch.setattr(background, "SWEEP_SECONDS", SWEEP_SECONDS)
    clocks.move_database(ahead_seconds)
    with clocks.serving(ahead_seconds) as server:
        assert ask(server).allowed
        eventually(lambda: swept, SECONDS_MAX, "a sweep")
        clocks.move_all(0)
        follows(server, SKEWED)
        before = len(swept)
        for _ in range(20):
            assert ask(server).rule_id == SKEWED
            server.run(asyncio.sleep(SWEEP_SECONDS))
        assert len(swept) <= before + 1, "one may have begun before"
        clocks.move_all(ahead_seconds)
        eventually(lambda: len(swept) > before + 1, SECONDS_MAX, "sweeps go on")


@pytest.mark.parametrize("back_seconds", [MINUTE, HOUR, 2 * DAY])
def test_permits_and_checkpoints_do_not_go_back_with_the_clock(clocks: Clocks, back_seconds: int) -> None:
    with clocks.serving(clock_skew_max_seconds=LENIENT_SECONDS) as server:
        pinned = PinnedCheckpoints(server.data_dir / "keys")
        issued, signed = [], []
        for ahead_seconds in (0, -back_seconds, 0):
            clocks.move_all(ahead_seconds)
            issued.append(issued_at(ask(server, TAKE)))
            server.run(server.running.ledger.checkpoint())
            [(checkpoint, _)] = pinned.read()
            signed.append(checkpoint.signed_at_us)
    assert issued == sorted(issued)
    assert signed == sorted(signed)
    assert abs(issued[1] - time.time()) < MINUTE / 2
    assert all(at_us >= begun * SECOND_US for at_us, begun in zip(signed, issued, strict=True))


def issued_at(decision: Decision) -> int:
    """When the permit says that it was issued, in seconds since the epoch."""
    assert decision.allowed
    claims = jwt.decode(decision.permit, options={"verify_signature": False})
    assert claims["exp"] - claims["iat"] == PERMIT_TTL_SECONDS
    return int(claims["iat"])
