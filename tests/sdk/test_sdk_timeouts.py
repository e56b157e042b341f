"""Every timeout is finite, more than 0, and at most the documented maximum."""

from __future__ import annotations

import math
import re
from typing import TYPE_CHECKING

import pytest

from placet.sdk import ApprovalClient, AsyncClient, AuditClient, Client, ControlClient, KillScope
from placet.sdk.defaults import CALL_SECONDS_MAX, WAIT_SECONDS_MAX

if TYPE_CHECKING:
    from tests.sdk.scripted_server import ScriptedServer

WRONG = (0, -1, math.nan, math.inf, -math.inf, 1e10)
CALL = re.escape(f"timeout must be more than 0 and at most {CALL_SECONDS_MAX} seconds, not ")
WAIT = re.escape(f"timeout must be more than 0 and at most {WAIT_SECONDS_MAX} seconds, not ")


@pytest.mark.parametrize("seconds", WRONG)
def test_a_wait_out_of_range_raises(server: ScriptedServer, seconds: float) -> None:
    with Client(server.address) as client, ApprovalClient(server.address) as approvals:
        with pytest.raises(ValueError, match=WAIT):
            client.wait_for_approval("dec_1", seconds, tenant="acme")
        with pytest.raises(ValueError, match=WAIT):
            client.watch_decision("dec_1", tenant="acme", timeout=seconds)
        with pytest.raises(ValueError, match=WAIT):
            approvals.watch("acme", timeout=seconds)
    assert server.calls == []


@pytest.mark.parametrize("seconds", WRONG)
async def test_an_asyncio_wait_out_of_range_raises(server: ScriptedServer, seconds: float) -> None:
    async with AsyncClient(server.address) as client:
        with pytest.raises(ValueError, match=WAIT):
            await client.wait_for_approval("dec_1", seconds, tenant="acme")
        with pytest.raises(ValueError, match=WAIT):
            client.watch_decision("dec_1", tenant="acme", timeout=seconds)
        with pytest.raises(ValueError, match=CALL):
            await client.report_outcome("dec_1", "succeeded", tenant="acme", timeout=seconds)
    assert server.calls == []


@pytest.mark.parametrize("seconds", WRONG)
def test_a_call_out_of_range_raises(server: ScriptedServer, seconds: float) -> None:
    with Client(server.address) as client, ControlClient(server.address) as control:
        with pytest.raises(ValueError, match=CALL):
            client.report_outcome("dec_1", "succeeded", tenant="acme", timeout=seconds)
        with pytest.raises(ValueError, match=CALL):
            control.set_kill_switch(KillScope.GLOBAL, "", actor="ann", reason="a test", timeout=seconds)
        with pytest.raises(ValueError, match=CALL):
            control.confirm_policy("rev_1", actor="ann", reason="a test", timeout=seconds)
    with AuditClient(server.address) as audit, pytest.raises(ValueError, match=WAIT):
        audit.verify(seconds)
    assert server.calls == []


@pytest.mark.parametrize("seconds", WRONG)
@pytest.mark.parametrize("made", [Client, AsyncClient, ApprovalClient, AuditClient, ControlClient])
def test_a_client_timeout_out_of_range_raises(made: type[Client], seconds: float) -> None:
    with pytest.raises(ValueError, match=CALL):
        made(timeout=seconds)


def test_a_wait_of_another_type_raises(server: ScriptedServer) -> None:
    with Client(server.address) as client, pytest.raises(TypeError, match="timeout must be a number of seconds"):
        client.wait_for_approval("dec_1", "5", tenant="acme")  # type: ignore[arg-type] # wrong on purpose
