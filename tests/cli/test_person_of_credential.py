"""Commands name no person when a credential says who calls, unless `--as` does."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from placet.sdk._wire import methods
from placet.v1 import approval_pb2, control_pb2

if TYPE_CHECKING:
    from tests.cli.conftest import Placet
    from tests.sdk.scripted_server import ScriptedServer

APPROVE = ("approvals", "approve", "apr_1", "--tenant", "acme")
KILL = ("kill-switches", "set", "--tool", "jira.*", "--reason", "r")


@pytest.fixture
def token(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PLACET_TOKEN", "placet_of-a-person")
    monkeypatch.setenv("LOGNAME", "night-shift")


def approver(placet: Placet, server: ScriptedServer, *more: str) -> approval_pb2.ApproveActionRequest:
    """Return the request that the command sends."""
    server.script(methods.APPROVE_ACTION, approval_pb2.ApproveActionResponse())
    assert placet(*APPROVE, *more).code == 0
    return approval_pb2.ApproveActionRequest.FromString(server.requests(methods.APPROVE_ACTION)[-1])


def actor(placet: Placet, server: ScriptedServer, *more: str) -> str:
    server.script(methods.SET_KILL_SWITCH, control_pb2.SetKillSwitchResponse())
    assert placet(*KILL, *more).code == 0
    return control_pb2.SetKillSwitchRequest.FromString(server.requests(methods.SET_KILL_SWITCH)[-1]).actor.id


@pytest.mark.usefixtures("token")
def test_the_credential_says_who_calls(placet: Placet, server: ScriptedServer) -> None:
    assert not approver(placet, server).HasField("approver")
    assert actor(placet, server) == ""


@pytest.mark.usefixtures("token")
def test_a_name_that_is_given_is_sent(placet: Placet, server: ScriptedServer) -> None:
    sent = approver(placet, server, "--as", "ann", "--role", "lead").approver
    assert (sent.id, list(sent.roles)) == ("ann", ["lead"])
    assert actor(placet, server, "--as", "ann") == "ann"


@pytest.mark.usefixtures("token")
def test_roles_without_a_name_are_refused(placet: Placet, server: ScriptedServer) -> None:
    ran = placet(*APPROVE, "--role", "lead")
    assert ran.code == 2
    assert "your credential says which roles you have" in ran.complaint
    assert not server.calls


def test_without_a_credential_it_is_the_login_name(
    placet: Placet, server: ScriptedServer, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("LOGNAME", "night-shift")
    monkeypatch.setenv("PLACET_TOKEN", "")
    assert approver(placet, server).approver.id == "night-shift"
    assert actor(placet, server) == "night-shift"


def test_a_client_certificate_says_who_calls(placet: Placet, monkeypatch: pytest.MonkeyPatch) -> None:
    """The certificate of this test cannot be read, which is noticed before the name of the machine's user is needed."""
    for name in ("LOGNAME", "USER", "LNAME", "USERNAME"):
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setattr("getpass.getuser", lambda: pytest.fail("the login name was read"))
    monkeypatch.setenv("PLACET_TLS_CA_FILE", "/none/ca.crt")
    monkeypatch.setenv("PLACET_CLIENT_CERT_FILE", "/none/tls.crt")
    monkeypatch.setenv("PLACET_CLIENT_KEY_FILE", "/none/tls.key")
    ran = placet(*KILL)
    assert ran.code == 2
    assert "/none/ca.crt" in ran.complaint
