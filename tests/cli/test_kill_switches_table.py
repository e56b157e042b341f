"""The output of `placet kill-switches set` with many revoked permits."""

from __future__ import annotations

from typing import TYPE_CHECKING

from placet.v1 import control_pb2

if TYPE_CHECKING:
    from tests.cli.conftest import Placet
    from tests.sdk.scripted_server import ScriptedServer

SET = "/placet.v1.ControlService/SetKillSwitch"


def test_a_long_list_is_cut_and_the_switch_is_below_it(placet: Placet, server: ScriptedServer) -> None:
    switch = control_pb2.KillSwitch(id="ks_1", scope=control_pb2.KillScope(tool="stripe.*"), reason="r")
    revoked = [control_pb2.RevokedPermit(decision_id=f"dec_{number}", tenant="acme") for number in range(1_234)]
    server.script(SET, control_pb2.SetKillSwitchResponse(kill_switch=switch, revoked=revoked))
    ran = placet("kill-switches", "set", "--tool", "stripe.*", "--reason", "r", "--as", "ann")
    lines = ran.out.splitlines()
    assert ran.out.count("dec_") == 20
    assert "and 1,214 more; --output json lists all" in lines
    assert lines[0] == "The switch revoked these permits. Their calls may be running:"
    fields = [line.split() for line in lines if line.startswith(("id ", "scope ", "reason "))]
    assert fields == [["id", "ks_1"], ["scope", "tool"], ["reason", "r"]]
    everything = placet("kill-switches", "set", "--tool", "stripe.*", "--reason", "r", "--as", "ann", "-o", "json")
    assert len(everything.document["revoked"]) == 1_234
