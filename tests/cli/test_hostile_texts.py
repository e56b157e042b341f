"""Texts that a server sends, which may be from any caller, cannot control the terminal or look like other lines."""

from __future__ import annotations

import json
import re
from typing import TYPE_CHECKING, Any

import grpc
import pytest
from google.protobuf.descriptor import FieldDescriptor

from placet.cli.commands.audit import decisions
from placet.kernel.printable import escaped_json, visible, visible_lines
from placet.sdk._wire import methods
from placet.v1 import approval_pb2, audit_pb2, authorization_pb2, control_pb2
from tests.sdk.scripted_server import AUTHORIZE, status

if TYPE_CHECKING:
    from google.protobuf.message import Message

    from tests.cli.conftest import Placet
    from tests.sdk.scripted_server import ScriptedServer

HOSTILE = 'x\nplacet: forged\r\x1b[2J\x1b]0;title\x07\x9b31m\x7f\u202eevil\u2066\u2028\u200b\u0085{"event":"forged"}'
DOCUMENT = json.dumps(
    {"identity": {"agent": HOSTILE}, "tool": {"name": HOSTILE}, HOSTILE: [HOSTILE]}, ensure_ascii=False
)
TENANT = ("--tenant", "acme")
SETTING = ("--reason", "r", "--as", "ann")
POLICY_STATUS = ("policy", "status")
"""Prints the problems of policy files line by line: their texts may have several."""
DANGEROUS = re.compile(r"[^\n\x20-\x7e]")


def filled(message: Any, depth: int = 0) -> Any:
    """Return the message with hostile texts in all of its fields."""
    for field in message.DESCRIPTOR.fields:
        if field.message_type is not None:
            if field.message_type.full_name.startswith("placet.v1") and depth < 4:
                part = getattr(message, field.name)
                filled(part.add() if field.is_repeated else part, depth + 1)
        elif field.type == FieldDescriptor.TYPE_STRING:
            text = DOCUMENT if field.name.endswith("_json") else HOSTILE
            if field.is_repeated:
                getattr(message, field.name).append(text)
            else:
                setattr(message, field.name, text)
        elif field.type == FieldDescriptor.TYPE_ENUM and not field.is_repeated:
            setattr(message, field.name, 1)
    for name in ("next_page_token", "failure"):
        if name in message.DESCRIPTOR.fields_by_name:
            message.ClearField(name)
    return message


COMMANDS: list[tuple[tuple[str, ...], str, Message]] = [
    (("audit", "decisions", *TENANT), methods.QUERY_DECISIONS, audit_pb2.QueryDecisionsResponse()),
    (("audit", "tail", *TENANT), methods.QUERY_DECISIONS, audit_pb2.QueryDecisionsResponse()),
    (("audit", "show", "dec_1", *TENANT), methods.GET_DECISION, audit_pb2.GetDecisionResponse()),
    (("audit", "verify", "--server"), methods.VERIFY_AUDIT, audit_pb2.VerifyAuditResponse()),
    (("approvals", "list", *TENANT), methods.LIST_APPROVALS, approval_pb2.ListApprovalsResponse()),
    (("approvals", "show", "apr_1", *TENANT, "--as", "ann"), methods.GET_APPROVAL, approval_pb2.GetApprovalResponse()),
    (
        ("approvals", "void-votes", "--person", "bob", *TENANT, *SETTING),
        methods.VOID_VOTES,
        approval_pb2.VoidVotesResponse(),
    ),
    (("kill-switches", "list", *TENANT), methods.LIST_KILL_SWITCHES, control_pb2.ListKillSwitchesResponse()),
    (
        ("kill-switches", "set", "--tool", "jira.*", *SETTING),
        methods.SET_KILL_SWITCH,
        control_pb2.SetKillSwitchResponse(),
    ),
    (("autonomy", "list", *TENANT), methods.LIST_AUTONOMY_RULES, control_pb2.ListAutonomyRulesResponse()),
    (("budgets", "show", "money", *TENANT), methods.LIST_BUDGETS, control_pb2.ListBudgetsResponse()),
    (POLICY_STATUS, methods.GET_POLICY_STATUS, control_pb2.GetPolicyStatusResponse()),
    (
        ("authorize", *TENANT, "--agent", "a", "--tool", "t"),
        AUTHORIZE,
        authorization_pb2.AuthorizeResponse(),
    ),
]


@pytest.fixture(autouse=True)
def no_pause(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(decisions, "pause", lambda _seconds: pytest.fail("it does not follow"))


def require_harmless(text: str) -> None:
    assert text.isascii() or not [char for char in DANGEROUS.findall(text) if not char.isprintable()], text
    assert not re.search(r"[\x00-\x09\x0b-\x1f\x7f]", text), text
    assert not re.search(r"^placet: forged", text, re.MULTILINE), text


@pytest.mark.parametrize(
    ("command", "method", "message"), COMMANDS, ids=[" ".join(command[:2]) for command, *_ in COMMANDS]
)
@pytest.mark.parametrize("output", ["table", "json"])
def test_what_a_command_prints_is_harmless(
    placet: Placet, server: ScriptedServer, command: tuple[str, ...], method: str, message: Message, output: str
) -> None:
    answer = filled(type(message)())
    server.script(method, answer)
    if method != methods.GET_POLICY_STATUS:
        server.script(methods.GET_POLICY_STATUS, control_pb2.GetPolicyStatusResponse())
    ran = placet(*command, "--output", output)
    assert "evil" in ran.out + ran.err, "the text is shown"
    require_harmless(ran.out)
    require_harmless(ran.err.replace("\nplacet: forged", "") if command == POLICY_STATUS else ran.err)
    if output == "json":
        assert HOSTILE in json.dumps(json.loads(ran.out), ensure_ascii=False) or "forged" in str(json.loads(ran.out))


@pytest.mark.parametrize("command", [command for command, *_ in COMMANDS], ids=" ".join)
def test_an_error_of_the_server_is_harmless(placet: Placet, server: ScriptedServer, command: tuple[str, ...]) -> None:
    for _, method, _ in COMMANDS:
        server.script(method, status(grpc.StatusCode.PERMISSION_DENIED, HOSTILE, reason="SOME_REASON"))
    ran = placet(*command)
    assert "evil" in ran.err
    require_harmless(ran.err)
    assert all(line.startswith("placet: ") for line in ran.err.splitlines())


def test_texts_that_are_printable_stay() -> None:
    for text in ("", "ordinary", "Zoë — 東京 🙂", "a b"):
        assert visible(text) == text
        assert escaped_json(json.dumps({"a": text}, ensure_ascii=False)) == json.dumps({"a": text}, ensure_ascii=False)


def test_other_texts_are_replaced_or_escaped() -> None:
    assert visible("a\x1b[31m\u202eb\n") == "a\ufffd[31m\ufffdb\ufffd"
    assert visible_lines("a\nb\r\u2028c\x07") == ["a", "b", "", "c\ufffd"]
    document = json.dumps({HOSTILE: ["\U000e0001", "é"]}, ensure_ascii=False, indent=2)
    escaped = escaped_json(document)
    assert json.loads(escaped) == json.loads(document)
    assert "é" in escaped
    require_harmless(escaped)
