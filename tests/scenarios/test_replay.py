"""What replaying a script does to a real server, and that it leaves no kill switch behind."""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING

import pytest
import yaml

from placet import sdk
from placet.cli.scenarios.player import ACTOR, replay_script
from placet.cli.scenarios.script import Script

if TYPE_CHECKING:
    from collections.abc import Iterator

    from tests.serving import Server

TENANT = "acme"
IDENTITY = f"{{agent: support-agent, user: u_4812, roles: [support_refunds], tenant: {TENANT}}}"
PARAMS = "params: {charge: ch_<new>, amount: 900.00, currency: USD}"
REFUND = f"{{id: refund, name: ask, tool: stripe.refund, {PARAMS}, amount: 900.00 USD, expect: deny x}}"
SMALL = REFUND.replace("id: refund", "id: small").replace("900.00", "9.00")
STOP = "{id: stop, name: stop, kill: {tool: 'stripe.*'}, expect: set}"


@pytest.fixture
def control(placet_server: Server) -> Iterator[sdk.ControlClient]:
    with sdk.ControlClient(placet_server.address) as client:
        yield client


def written(*steps: str) -> Script:
    return Script.model_validate(
        {
            "description": "d",
            "identity": yaml.safe_load(IDENTITY),
            "run": {"run_id": "run_<new>"},
            "steps": [yaml.safe_load(step) for step in steps],
        }
    )


def replayed(server: Server, *steps: str) -> list[tuple[str, str]]:
    return [(row.effect, row.why) for row in asyncio.run(replay_script(written(*steps), server.address))]


def test_a_lead_says_no(placet_server: Server) -> None:
    assert replayed(
        placet_server,
        REFUND,
        "{name: n, reject: refund, reason: not theirs, by: [{id: u_1, roles: [support_lead]}], expect: rejected}",
        "{name: n, again: refund, approval_of: refund, expect: deny approvals.rejected}",
    ) == [("require_approval", "refunds.over_limit"), ("rejected", ""), ("deny", "approvals.rejected")]


def test_people_vote_until_one_is_refused(placet_server: Server) -> None:
    assert replayed(
        placet_server,
        REFUND.replace("900.00", "2500.00"),
        "{name: n, approve: refund, by: [{id: u_1, roles: [support_lead]}], expect: pending}",
        "{name: n, approve: refund, by: [{id: u_2}, {id: u_3, roles: [support_lead]}], expect: approved}",
        "{name: n, again: refund, approval_of: refund, expect: deny approvals.pending}",
    )[1:] == [("pending", ""), ("refused", "ROLE_MAY_NOT_APPROVE"), ("deny", "approvals.pending")]


def test_what_an_earlier_step_did_not_get_is_refused_and_the_rest_goes_on(placet_server: Server) -> None:
    assert replayed(
        placet_server,
        SMALL.replace("USD", "EUR"),
        "{name: n, approve: small, by: [{id: u_1, roles: [support_lead]}], expect: approved}",
        "{name: n, outcome: small, status: failed, expect: reported}",
        "{name: n, verify: small, expect: verified}",
        "{name: n, again: small, approval_of: small, expect: deny x}",
    ) == [
        ("deny", "refunds.unknown_currency"),
        ("refused", "approval_id"),
        ("refused", "NOTHING_WAS_ALLOWED"),
        ("refused", "malformed"),
        ("deny", "refunds.unknown_currency"),
    ]


def test_a_switch_that_is_not_cleared_is_cleared_at_the_end(placet_server: Server, control: sdk.ControlClient) -> None:
    for _ in range(2):
        assert replayed(placet_server, STOP, SMALL) == [("set", ""), ("deny", "kill_switch.tool")]
        assert control.kill_switches(TENANT) == ()


def test_a_switch_that_takes_two_to_clear_is_cleared_at_the_end(
    placet_server: Server, control: sdk.ControlClient
) -> None:
    stop_all = "{name: n, id: stop, kill: {tool: '*'}, expect: set}"
    assert replayed(placet_server, stop_all, SMALL) == [("set", ""), ("deny", "kill_switch.tool")]
    assert control.kill_switches(TENANT) == ()


def test_a_switch_is_cleared_when_the_replay_is_cancelled(placet_server: Server, control: sdk.ControlClient) -> None:
    async def cancelled() -> None:
        replay = asyncio.create_task(replay_script(written(STOP, *[SMALL.replace("id: small, ", "")] * 500), address))
        while not await asyncio.to_thread(control.kill_switches, TENANT):
            assert not replay.done()
        replay.cancel()
        with pytest.raises(asyncio.CancelledError):
            await replay

    address = placet_server.address
    asyncio.run(cancelled())
    assert control.kill_switches(TENANT) == ()


def test_what_a_replay_left_that_was_killed_is_cleared(placet_server: Server, control: sdk.ControlClient) -> None:
    control.set_kill_switch(sdk.KillScope.TOOL, "stripe.*", tenant=TENANT, actor=ACTOR, reason="r")
    assert replayed(placet_server, SMALL) == [("allow", "refunds.within_limit")]
    assert control.kill_switches(TENANT) == ()


def test_a_switch_that_a_person_set_is_left_alone(placet_server: Server, control: sdk.ControlClient) -> None:
    theirs = control.set_kill_switch(sdk.KillScope.TOOL, "stripe.*", tenant=TENANT, actor="u_9", reason="r").kill_switch
    try:
        clear = "{name: n, clear: stop, expect: cleared}"
        assert replayed(placet_server, STOP, clear) == [("refused", ""), ("refused", "kill_switch_id")]
        assert control.kill_switches(TENANT) == (theirs,)
    finally:
        control.clear_kill_switch(theirs.id, tenant=TENANT, actor="u_9", reason="r")
