"""`placet audit decisions|tail|show`, against a scripted server."""

from __future__ import annotations

import json
import re
import threading
from typing import TYPE_CHECKING, Any

import grpc
import pytest

from placet.cli.commands.audit import decision_pages, decisions
from placet.cli.rendering import exit_codes
from placet.v1 import audit_pb2, decision_pb2
from tests.sdk.scripted_server import GET_DECISION, QUERY_DECISIONS, ScriptedServer, decision, plain_status

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from tests.cli.conftest import Placet

EVENT = {
    "trace_id": "9f2d",
    "run_id": "run_1",
    "user": {"id": "u_4812", "tenant": "acme"},
    "model": {"name": "gpt-4.1", "input_tokens": 812, "output_tokens": 164},
    "tool": {"name": "jira.search", "scope": "jira:read", "dry_run": False},
    "policy": {"decision": "allow", "rule_id": "allowlist.read_tool"},
    "result": None,
}
SAID = {"identity": {"agent": "triage-agent"}, "now": "2026-04-24T18:33:01.123456Z"}
START_US = 1_777_055_581_000_000


def recorded(number: int, **changes: Any) -> audit_pb2.RecordedDecision:
    message = audit_pb2.RecordedDecision(
        decision=decision(decision_id=f"dec_{number}", **changes), tenant="acme", event_json=json.dumps(EVENT),
        input_json=json.dumps(SAID), replayable=True, caller="token:support", writer="placet", sequence=number,
        record_hash="cd" * 32, idempotency_key=f"k{number}",
    )  # fmt: skip
    message.decision.decided_at.FromMicroseconds(START_US + number)
    return message


class Trail:
    """Answers queries as the server does: newest first, in pages, from a time on."""

    def __init__(self, *numbers: int) -> None:
        self.numbers = list(numbers)
        self.looks = 0

    def __call__(self, raw: bytes, context: grpc.ServicerContext) -> audit_pb2.QueryDecisionsResponse:
        del context
        request = audit_pb2.QueryDecisionsRequest.FromString(raw)
        size = request.page_size or 50
        begin = int(request.page_token or "0")
        begin_us = request.decided_from.ToMicroseconds() if request.HasField("decided_from") else 0
        matching = [number for number in reversed(self.numbers) if START_US + number >= begin_us]
        page = matching[begin : begin + size]
        self.looks += 1
        more = begin + size < len(matching)
        return audit_pb2.QueryDecisionsResponse(
            decisions=[recorded(each) for each in page], next_page_token=str(begin + size) if more else ""
        )


def ids(lines: Sequence[str]) -> list[str]:
    return [json.loads(line)["decision_id"] for line in lines]


def test_query_as_json_has_the_event(placet: Placet, server: ScriptedServer) -> None:
    server.script(QUERY_DECISIONS, Trail(1, 2))
    ran = placet("audit", "decisions", "--tenant", "acme", "--output", "json")
    assert (ran.code, ran.err) == (0, "")
    rows = ran.document["decisions"]
    assert [row["decision_id"] for row in rows] == ["dec_2", "dec_1"]
    assert rows[0]["event"] == EVENT
    assert set(rows[0]) == {
        "decision_id", "effect", "rule_id", "reason", "findings", "policy_revision", "approval", "obligations",
        "permit", "budgets", "autonomy", "shadow_effect", "action_digest", "decided_at", "idempotency_key", "tenant",
        "event", "replayable", "not_replayable_reason", "received_at", "caller", "writer", "sequence", "record_hash",
            "caller_method", "caller_issuer", "user_method", "user_issuer",
    }  # fmt: skip


def test_query_as_table(placet: Placet, server: ScriptedServer) -> None:
    server.script(QUERY_DECISIONS, Trail(1))
    head, row = placet("audit", "decisions", "--tenant", "acme").out.splitlines()
    assert head.split() == list(decisions.COLUMNS)
    assert row.split() == [
        "2026-04-24", "18:33:01Z", "allow", "allowlist.read_tool", "jira.search", "triage-agent", "token:support",
        "dec_1",
    ]  # fmt: skip


def test_tables_name_the_caller_and_fit_a_terminal_of_100_columns(
    placet: Placet, server: ScriptedServer, terminal: Callable[[int], None]
) -> None:
    message = recorded(1)
    message.decision.decision_id = decision_id = "dec_" + "0123456789abcdef" * 2
    server.script(QUERY_DECISIONS, audit_pb2.QueryDecisionsResponse(decisions=[message]))
    terminal(100)
    for command in ("decisions", "tail"):
        out = re.sub(r"\x1b\[[0-9;]*m", "", placet("audit", command, "--tenant", "acme").out)
        head, *rows = out.splitlines()
        assert head.split() == list(decisions.COLUMNS)
        assert (len(rows) <= 3, max(map(len, (head, *rows))) <= 100) == (True, True), out
        assert decision_id in rows[0]
        column = slice(head.index("caller"), head.index("decision_id"))
        assert "".join(row[column].strip() for row in rows) == "token:support"


def test_query_conditions(placet: Placet, server: ScriptedServer) -> None:
    server.script(QUERY_DECISIONS, audit_pb2.QueryDecisionsResponse())
    ran = placet(
        "audit", "decisions", "--tenant", "acme", "--effect", "require_approval", "--rule-id", "r", "--tool", "t",
        "--run-id", "run", "--user", "u", "--agent", "a", "--from", "2026-04-24T18:33:01Z",
        "--until", "2026-04-24T20:33:01", "--limit", "3",
    )  # fmt: skip
    assert ran.code == 0
    request = audit_pb2.QueryDecisionsRequest.FromString(server.requests(QUERY_DECISIONS)[0])
    assert request.decided_from.ToJsonString() == "2026-04-24T18:33:01Z"
    assert request.decided_until.ToJsonString() == "2026-04-24T20:33:01Z"
    request.ClearField("decided_from")
    request.ClearField("decided_until")
    assert request == audit_pb2.QueryDecisionsRequest(
        tenant="acme", effect=decision_pb2.EFFECT_REQUIRE_APPROVAL, rule_id="r", tool="t", run_id="run", user="u",
        agent="a", page_size=3,
    )  # fmt: skip


def test_query_reads_several_pages(placet: Placet, server: ScriptedServer) -> None:
    everything = Trail(*range(1_200))
    server.script(QUERY_DECISIONS, everything)
    ran = placet("audit", "decisions", "--tenant", "acme", "-n", "1100", "-o", "json")
    assert len(ran.document["decisions"]) == 1_100
    assert everything.looks == 3
    assert (
        len(placet("audit", "decisions", "--tenant", "acme", "-n", "9999", "-o", "json").document["decisions"]) == 1_200
    )


def test_an_invalid_time(placet: Placet, server: ScriptedServer) -> None:
    ran = placet("audit", "decisions", "--tenant", "acme", "--from", "yesterday")
    assert (ran.code, server.calls) == (exit_codes.USAGE, [])
    assert ran.complaint == "--from: 'yesterday' is not a time; write e.g. 2026-04-24T18:33:01Z"


@pytest.mark.parametrize(
    "arguments", [["decisions", "--tenant", "t"], ["tail", "--tenant", "t"], ["show", "dec_1", "--tenant", "t"]]
)
def test_no_server(placet: Placet, unused_address: str, arguments: list[str]) -> None:
    ran = placet("audit", *arguments, "--address", unused_address, "--timeout", "0.5")
    assert (ran.code, ran.out) == (exit_codes.NO_DECISION, "")
    assert "pdp.client_unavailable" in ran.complaint


def test_a_query_that_the_server_refuses(placet: Placet, server: ScriptedServer) -> None:
    server.script(QUERY_DECISIONS, plain_status(grpc.StatusCode.INVALID_ARGUMENT, "no such tenant"))
    ran = placet("audit", "decisions", "--tenant", "No Tenant")
    assert ran.code == exit_codes.USAGE
    assert "no such tenant" in ran.complaint


def test_an_event_that_is_not_json(placet: Placet, server: ScriptedServer) -> None:
    broken = recorded(1)
    broken.event_json = "{"
    server.script(QUERY_DECISIONS, audit_pb2.QueryDecisionsResponse(decisions=[broken]))
    ran = placet("audit", "decisions", "--tenant", "acme", "-o", "json")
    assert (ran.code, ran.out) == (exit_codes.NO_DECISION, "")
    assert "event_json" in ran.complaint


def test_tail_is_oldest_first(placet: Placet, server: ScriptedServer) -> None:
    server.script(QUERY_DECISIONS, Trail(*range(1, 60)))
    ran = placet("audit", "tail", "--tenant", "acme", "-n", "3", "-o", "json")
    assert ids(ran.out.splitlines()) == ["dec_57", "dec_58", "dec_59"]
    assert len(placet("audit", "tail", "--tenant", "acme").out.splitlines()) == 11


@pytest.mark.parametrize("before", [0, 3, 50, 200])
def test_tail_follows(placet: Placet, server: ScriptedServer, monkeypatch: pytest.MonkeyPatch, before: int) -> None:
    """Prints each new decision once and in order, also more than a page holds, and late ones."""
    trail = Trail(*range(1, before + 1))
    server.script(QUERY_DECISIONS, trail)
    steps: list[Callable[[], None]] = [
        lambda: trail.numbers.extend([1001, 1002]),
        lambda: None,
        lambda: trail.numbers.extend(range(1003, 1203)),
        lambda: trail.numbers.insert(-1, 1201_5),
    ]

    def step(seconds: float) -> None:
        assert seconds == 0.5
        if not steps:
            raise KeyboardInterrupt
        steps.pop(0)()

    monkeypatch.setattr("placet.cli.commands.audit.decisions.pause", step)
    ran = placet("audit", "tail", "--tenant", "acme", "--follow", "--interval", "0.5", "-n", "2", "-o", "json")
    assert ran.code == exit_codes.INTERRUPTED
    old = [f"dec_{n}" for n in range(1, before + 1)][-2:]
    assert ids(ran.out.splitlines()) == [*old, *(f"dec_{n}" for n in range(1001, 1203)), "dec_12015"]


def test_tail_forgets_old_ids(monkeypatch: pytest.MonkeyPatch, placet: Placet, server: ScriptedServer) -> None:
    monkeypatch.setattr(decision_pages, "SEEN_MAX", 150)
    trail = Trail(*range(100))
    server.script(QUERY_DECISIONS, trail)
    left = 20

    def step(_: float) -> None:
        nonlocal left
        left -= 1
        if not left:
            raise KeyboardInterrupt
        trail.numbers.extend(range(trail.numbers[-1] + 1, trail.numbers[-1] + 31))

    monkeypatch.setattr("placet.cli.commands.audit.decisions.pause", step)
    ran = placet("audit", "tail", "--tenant", "acme", "--follow", "-n", "1", "-o", "json")
    assert ids(ran.out.splitlines()) == [f"dec_{n}" for n in range(99, 100 + 19 * 30)]


def test_tail_as_table_has_one_head(placet: Placet, server: ScriptedServer, monkeypatch: pytest.MonkeyPatch) -> None:
    trail = Trail(1)
    server.script(QUERY_DECISIONS, trail)

    def step(_: float) -> None:
        if len(trail.numbers) > 2:
            raise KeyboardInterrupt
        trail.numbers.append(trail.numbers[-1] + 1)

    monkeypatch.setattr("placet.cli.commands.audit.decisions.pause", step)
    lines = placet("audit", "tail", "--tenant", "acme", "-f").out.splitlines()
    assert [line.split()[-1] for line in lines] == ["decision_id", "dec_1", "dec_2", "dec_3"]


def test_tail_ends_when_the_server_does(placet: Placet, server: ScriptedServer) -> None:
    answered = threading.Event()

    def answer(raw: bytes, context: grpc.ServicerContext) -> audit_pb2.QueryDecisionsResponse:
        if answered.is_set():
            context.abort(grpc.StatusCode.UNAVAILABLE, "going")
        answered.set()
        return Trail(1)(raw, context)

    server.script(QUERY_DECISIONS, answer)
    ran = placet("audit", "tail", "--tenant", "acme", "-f", "--interval", "0.05")
    assert ran.code == exit_codes.NO_DECISION
    assert "pdp.client_unavailable" in ran.complaint


def test_show(placet: Placet, server: ScriptedServer) -> None:
    server.script(GET_DECISION, audit_pb2.GetDecisionResponse(decision=recorded(1)))
    document = placet("audit", "show", "dec_1", "--tenant", "acme", "-o", "json").document
    assert (document["event"], document["input"]) == (EVENT, SAID)
    request = audit_pb2.GetDecisionRequest.FromString(server.requests(GET_DECISION)[0])
    assert (request.tenant, request.decision_id) == ("acme", "dec_1")
    shown = placet("audit", "show", "dec_1", "--tenant", "acme").out
    assert ["decision_id", "dec_1"] in [line.split() for line in shown.splitlines()]
    assert json.dumps(SAID, indent=2) in shown


def test_show_the_details_of_findings(placet: Placet, server: ScriptedServer) -> None:
    document = recorded(1)
    finding = document.decision.findings.add(effect="EFFECT_DENY", rule_id="refunds.over_limit", reason="Too much")
    finding.details.update({"limit": 500, "why": "é"})
    server.script(GET_DECISION, audit_pb2.GetDecisionResponse(decision=document))
    shown = placet("audit", "show", "dec_1", "--tenant", "acme").out
    [line] = [line for line in shown.splitlines() if "refunds.over_limit" in line]
    assert line.split()[:2] == ["deny", "refunds.over_limit"]
    assert json.loads(line[line.index("{") :]) == {"limit": 500, "why": "é"}


def test_show_obligations(placet: Placet, server: ScriptedServer) -> None:
    document = recorded(1)
    document.decision.obligations.add(id="redact_output").details.update({"fields": ["email"]})
    server.script(GET_DECISION, audit_pb2.GetDecisionResponse(decision=document))
    rows = [line.split() for line in placet("audit", "show", "dec_1", "--tenant", "acme").out.splitlines()]
    place = rows.index(["obligation", "parameters"])
    assert rows[place + 1] == ["redact_output", '{"fields":["email"]}']
    document = placet("audit", "show", "dec_1", "--tenant", "acme", "-o", "json").document
    assert document["obligations"] == [{"id": "redact_output", "details": {"fields": ["email"]}}]


def test_show_an_unknown_decision(placet: Placet, server: ScriptedServer) -> None:
    server.script(GET_DECISION, plain_status(grpc.StatusCode.NOT_FOUND))
    ran = placet("audit", "show", "dec_1", "--tenant", "acme")
    assert (ran.code, ran.out) == (exit_codes.CHECK_FAILED, "")
    assert ran.complaint == "dec_1: tenant acme does not have this decision; see `placet audit decisions`"
