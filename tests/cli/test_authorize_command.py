"""`placet authorize`: the request, the output and the exit code."""

from __future__ import annotations

import io
import os
from typing import TYPE_CHECKING

import grpc
import pytest

from placet.cli.rendering import exit_codes
from placet.cli.rendering.amounts import parse_amount
from placet.kernel.errors import ConfigurationError
from placet.sdk import Amount
from placet.v1 import authorization_pb2
from tests.sdk.scripted_server import (
    AUTHORIZE,
    ScriptedServer,
    allow,
    approval_needed,
    denial,
    late,
    plain_status,
    status,
)

if TYPE_CHECKING:
    from pathlib import Path

    from tests.cli.conftest import Placet

ASK = ("authorize", "--tenant", "acme", "--agent", "a", "--tool", "stripe.refund")


@pytest.mark.parametrize(
    ("answer", "code", "effect"),
    [(allow(), 0, "allow"), (denial(), 3, "deny"), (approval_needed(), 4, "require_approval")],
)
def test_exit_codes_and_json(
    placet: Placet, server: ScriptedServer, answer: authorization_pb2.AuthorizeResponse, code: int, effect: str
) -> None:
    server.script(AUTHORIZE, answer)
    ran = placet(*ASK, "--output", "json", "--idempotency-key", "k")
    assert (ran.code, ran.err) == (code, "")
    assert ran.document["effect"] == effect
    assert ran.document["failure"] is None
    assert set(ran.document) == {
        "decision_id", "effect", "rule_id", "reason", "findings", "policy_revision", "approval", "obligations",
        "permit", "budgets", "autonomy", "shadow_effect", "action_digest", "decided_at", "idempotency_key", "failure",
    }  # fmt: skip
    assert ran.document["decided_at"] == "2026-04-24T18:33:01.123456Z"
    assert ran.document["idempotency_key"] == "k"


def test_approval_as_json(placet: Placet, server: ScriptedServer) -> None:
    server.script(AUTHORIZE, approval_needed())
    document = placet(*ASK, "-o", "json").document
    assert document["approval"] == {
        "id": "", "quorum": 2, "approver_roles": ["support_lead"], "expires_at": "", "url": "",
    }  # fmt: skip
    assert document["findings"][0]["details"] == {"quorum": 2, "approver_roles": ["support_lead"], "ratio": 0.5}


def test_table(placet: Placet, server: ScriptedServer) -> None:
    answer = approval_needed()
    answer.decision.findings.add(effect="EFFECT_ALLOW", rule_id="allowlist.write_tool", reason="It may")
    answer.decision.reason = "Two \x1b[31m lines\nof text"
    server.script(AUTHORIZE, answer)
    ran = placet(*ASK)
    lines = [line.split() for line in ran.out.splitlines()]
    assert ["effect", "require_approval"] in lines
    assert ["rule_id", "refunds.over_limit"] in lines
    assert ["approvers", "2", "of", "support_lead"] in lines
    assert ["allow", "allowlist.write_tool", "It", "may"] in lines
    assert '{"approver_roles":["support_lead"],"quorum":2,"ratio":0.5}' in ran.out
    assert "\x1b" not in ran.out
    assert "approval_url" not in ran.out
    answer.decision.approval.url = "https://a.example/apr_1"
    assert ["approval_url", "https://a.example/apr_1"] in [line.split() for line in placet(*ASK).out.splitlines()]


def test_obligations(placet: Placet, server: ScriptedServer) -> None:
    answer = allow()
    answer.decision.obligations.add(id="log_read")
    answer.decision.obligations.add(id="redact_output").details.update({"fields": ["email"]})
    server.script(AUTHORIZE, answer)
    lines = placet(*ASK).out.splitlines()
    assert [line.split() for line in lines[-3:]] == [
        ["obligation", "parameters"],
        ["log_read"],
        ["redact_output", '{"fields":["email"]}'],
    ]
    assert placet(*ASK, "-o", "json").document["obligations"] == [
        {"id": "log_read", "details": {}},
        {"id": "redact_output", "details": {"fields": ["email"]}},
    ]


def test_a_permit_is_the_last_line_if_it_was_asked_for(placet: Placet, server: ScriptedServer) -> None:
    answer = allow()
    answer.decision.permit = "head.claims.signature" * 30
    server.script(AUTHORIZE, answer)
    assert answer.decision.permit not in placet(*ASK).out
    assert not server.authorized()[-1].include_permit
    assert placet(*ASK, "--permit").out.splitlines()[-2:] == ["", answer.decision.permit]
    assert server.authorized()[-1].include_permit
    server.script(AUTHORIZE, denial())
    assert placet(*ASK).out == placet(*ASK, "--permit").out, "a deny has none to show"


def test_every_option_is_sent(placet: Placet, server: ScriptedServer) -> None:
    server.script(AUTHORIZE, allow())
    ran = placet(
        *ASK, "--params", '{"charge": "ch_1"}', "--amount", "45.00 USD", "--user", "u_1", "--role", "x", "--role", "y",
        "--delegation", "d", "--scope", "s", "--environment", "production", "--destination", "api", "--dry-run",
        "--run-id", "r", "--trace-id", "t", "--workflow", "w", "--model", "m", "--prompt-version", "v",
        "--evidence", "https://e", "--evidence", "https://f@sha256:" + "0" * 64, "--idempotency-key", "k", "--permit",
    )  # fmt: skip
    assert ran.code == 0
    assert server.authorized()[0] == authorization_pb2.AuthorizeRequest(
        idempotency_key="k",
        action={
            "tool": "stripe.refund", "params_json": '{"charge": "ch_1"}',
            "amount": {"currency_code": "USD", "minor_units": 4500, "exponent": 2},
            "scope": "s", "environment": "production", "destination": "api", "dry_run": True,
        },
        identity={"agent": "a", "tenant": "acme", "user": "u_1", "roles": ["x", "y"], "delegation": ["d"]},
        run={"run_id": "r", "trace_id": "t", "workflow": "w"},
        model={"name": "m", "prompt_version": "v"},
        evidence=[{"uri": "https://e"}, {"uri": "https://f", "sha256": "0" * 64}],
        include_permit=True,
    )  # fmt: skip


def test_params_from_a_file_and_from_stdin(
    placet: Placet, server: ScriptedServer, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    server.script(AUTHORIZE, allow())
    path = tmp_path / "params.json"
    path.write_text('{"a": "é"}', encoding="utf-8")
    assert placet(*ASK, "--params", f"@{path}").code == 0
    monkeypatch.setattr("sys.stdin", io.StringIO('{"b": 1}'))
    assert placet(*ASK, "--params", "-").code == 0
    assert [each.action.params_json for each in server.authorized()] == ['{"a": "é"}', '{"b": 1}']


def test_params_from_a_stdin_that_cannot_be_read(placet: Placet, monkeypatch: pytest.MonkeyPatch) -> None:
    def complaint(stdin: io.TextIOBase | None) -> str:
        monkeypatch.setattr("sys.stdin", stdin)
        ran = placet(*ASK, "--params", "-")
        assert (ran.code, ran.out) == (exit_codes.USAGE, "")
        return ran.complaint

    assert complaint(None).startswith("--params: - reads stdin, which is closed; ")
    assert complaint(io.TextIOWrapper(io.BytesIO(b"\xff"), "utf-8")).startswith("--params: stdin is not UTF-8")
    reading, writing = os.pipe()
    os.close(reading)
    with open(writing, "w") as written:  # noqa: PTH123 - a descriptor, not a path
        assert complaint(written).startswith("--params: stdin cannot be read")


@pytest.mark.parametrize(("content", "complaint"), [(None, "No such file"), (b"\xff", "is not UTF-8")])
def test_params_from_a_file_that_cannot_be_read(
    placet: Placet, tmp_path: Path, content: bytes | None, complaint: str
) -> None:
    path = tmp_path / "params.json"
    if content is not None:
        path.write_bytes(content)
    ran = placet(*ASK, "--params", f"@{path}")
    assert (ran.code, ran.out) == (exit_codes.USAGE, "")
    assert ran.complaint.startswith(f"--params: {path}: {complaint}")


@pytest.mark.parametrize(
    ("params", "complaint"),
    [
        ("{bad", "is not JSON: "),
        ("[]", "must be a JSON object, not an array"),
        ('{"a": {"b": NaN}}', "at /a/b: NaN is not JSON"),
    ],
)
def test_wrong_params_are_refused_before_the_call(
    placet: Placet, unused_address: str, params: str, complaint: str
) -> None:
    ran = placet(*ASK, "--params", params, "--address", unused_address)
    assert (ran.code, ran.out) == (exit_codes.USAGE, "")
    assert ran.complaint.startswith(f"--params: {complaint}")
    assert ran.complaint.endswith("""; give a JSON object, such as '{"amount": "45.00"}'""")


def test_no_server(placet: Placet, unused_address: str) -> None:
    ran = placet(*ASK, "--address", unused_address, "--timeout", "0.5")
    assert (ran.code, ran.out) == (exit_codes.NO_DECISION, "")
    remedy = "start the server with `placet serve`, or name another one with --address"
    assert ran.complaint == f"the connection to {unused_address} was refused; {remedy} (pdp.client_unavailable)"


def test_the_generated_key_is_named_when_the_decision_may_be_recorded(placet: Placet, server: ScriptedServer) -> None:
    text = "it is not certain that the decision was recorded"
    server.script(AUTHORIZE, *[status(grpc.StatusCode.UNAVAILABLE, text, reason="LEDGER_UNAVAILABLE")] * 9)
    ran = placet(*ASK, "--timeout", "0.3")
    assert ran.code == exit_codes.NO_DECISION
    [*_, sent] = [authorization_pb2.AuthorizeRequest.FromString(raw) for raw in server.requests(AUTHORIZE)]
    assert ran.complaint.endswith(f"; retry with --idempotency-key {sent.idempotency_key}")


def test_no_server_as_json(placet: Placet, unused_address: str) -> None:
    ran = placet(*ASK, "--address", unused_address, "--timeout", "0.5", "-o", "json")
    assert ran.code == exit_codes.NO_DECISION
    assert (ran.document["effect"], ran.document["rule_id"]) == ("deny", "pdp.client_unavailable")
    assert ran.document["failure"]["rule_id"] == "pdp.client_unavailable"
    assert ran.complaint


def test_a_server_that_does_not_answer(placet: Placet, server: ScriptedServer) -> None:
    server.script(AUTHORIZE, late())
    ran = placet(*ASK, "--timeout", "0.3")
    assert ran.code == exit_codes.NO_DECISION
    assert "; retry with --idempotency-key " in ran.complaint
    assert "--timeout" in ran.complaint


@pytest.mark.parametrize(
    ("code", "ends_with"),
    [
        (grpc.StatusCode.INVALID_ARGUMENT, exit_codes.USAGE),
        (grpc.StatusCode.ALREADY_EXISTS, exit_codes.USAGE),
        (grpc.StatusCode.INTERNAL, exit_codes.NO_DECISION),
        (grpc.StatusCode.RESOURCE_EXHAUSTED, exit_codes.NO_DECISION),
        (grpc.StatusCode.PERMISSION_DENIED, exit_codes.NO_DECISION),
    ],
)
def test_statuses(placet: Placet, server: ScriptedServer, code: grpc.StatusCode, ends_with: int) -> None:
    server.script(AUTHORIZE, plain_status(code))
    ran = placet(*ASK)
    assert (ran.code, ran.out) == (ends_with, "")
    assert ran.complaint


def test_violations_name_the_field(placet: Placet, server: ScriptedServer) -> None:
    server.script(AUTHORIZE, status(grpc.StatusCode.INVALID_ARGUMENT, violations=[("action.params_json", "bad")]))
    ran = placet(*ASK, "-o", "json")
    assert ran.code == exit_codes.USAGE
    assert ran.document["failure"]["violations"] == [{"field": "action.params_json", "description": "bad"}]
    assert "action.params_json: bad" in ran.complaint


def test_an_invalid_answer(placet: Placet, server: ScriptedServer) -> None:
    server.script(AUTHORIZE, b"\xff")
    ran = placet(*ASK)
    assert (ran.code, ran.out) == (exit_codes.NO_DECISION, "")
    assert "pdp.client_answer_invalid" in ran.complaint


@pytest.mark.parametrize(
    ("written", "amount"),
    [
        ("45.00 USD", Amount("USD", 4500, 2)),
        ("45 USD", Amount("USD", 4500, 2)),
        ("45.5USD", Amount("USD", 4550, 2)),
        ("0.01 USD", Amount("USD", 1, 2)),
        ("4500 JPY", Amount("JPY", 4500, 0)),
        ("1.234 KWD", Amount("KWD", 1234, 3)),
        ("90071992547409.91 USD", Amount("USD", 9007199254740991, 2)),
    ],
)
def test_amounts_are_exact(written: str, amount: Amount) -> None:
    assert parse_amount(written) == amount


@pytest.mark.parametrize(
    ("written", "complaint"),
    [
        ("", "is not an amount"),
        ("45", "is not an amount"),
        ("USD 45", "is not an amount"),
        ("-1 USD", "is not an amount"),
        ("1e3 USD", "is not an amount"),
        ("1,000 USD", "is not an amount"),
        ("٤٥ USD", "is not an amount"),
        ("45. USD", "is not an amount"),
        ("45.001 USD", "has 3 decimal places; USD has 2"),
        ("45.0 JPY", "has 1 decimal places; JPY has 0"),
        ("45 usd", "is not an ISO 4217 code; write e.g. USD"),
        ("45 XYZ", "is not an ISO 4217 code"),
    ],
)
def test_invalid_amounts(placet: Placet, written: str, complaint: str) -> None:
    with pytest.raises(ConfigurationError, match="--amount: "):
        parse_amount(written)
    ran = placet(*ASK, "--amount", written)
    assert ran.code == exit_codes.USAGE
    assert complaint in ran.complaint


@pytest.mark.parametrize("seconds", ["inf", "-inf", "nan", "0", "-1", "301"])
def test_an_invalid_timeout_is_refused(placet: Placet, server: ScriptedServer, seconds: str) -> None:
    ran = placet(*ASK, "--timeout", seconds)
    assert (ran.code, ran.out, server.calls) == (exit_codes.USAGE, "", [])
    assert "--timeout" in ran.complaint


@pytest.mark.parametrize("address", ["", "localhost", "localhost:", ":7070", "host:0", "host:65536", "h:x", "::1:70"])
def test_an_invalid_address(placet: Placet, monkeypatch: pytest.MonkeyPatch, address: str) -> None:
    for command in (ASK, ("audit", "decisions", "--tenant", "t"), ("doctor",)):
        ran = placet(*command, "--address", address)
        assert (ran.code, ran.out) == (exit_codes.USAGE, "")
        assert "is not host:port with a port of 1 to 65535 or unix:/path; write e.g. 127.0.0.1:7070" in ran.complaint
    if address:
        monkeypatch.setenv("PLACET_ADDRESS", address)
        assert placet(*ASK).code == exit_codes.USAGE
