"""The command against a whole server: real OPA, real SQLite."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING

import pytest

if TYPE_CHECKING:
    from tests.cli.conftest import Placet
    from tests.serving import Server


@pytest.fixture
def asking(placet_server: Server, monkeypatch: pytest.MonkeyPatch) -> Server:
    monkeypatch.setenv("PLACET_ADDRESS", placet_server.address)
    return placet_server


@pytest.mark.parametrize(
    ("amount", "role", "code", "rule_id"),
    [
        ("100.00 USD", "support_refunds", 0, "refunds.within_limit"),
        ("100.01 USD", "support_refunds", 4, "refunds.over_limit"),
        ("100.00 USD", "other", 3, "refunds.insufficient_privilege"),
    ],
)
def test_a_decision_and_its_record(
    placet: Placet, asking: Server, amount: str, role: str, code: int, rule_id: str
) -> None:
    params = json.dumps({"charge": "ch_1", "amount": amount.partition(" ")[0], "currency": "USD"})
    ran = placet(
        "authorize", "--tenant", "acme", "--agent", "refund-agent", "--user", "u_4812", "--role", role,
        "--tool", "stripe.refund", "--params", params, "--amount", amount, "--timeout", "30",
        "-o", "json",
    )  # fmt: skip
    decided = ran.document
    assert (ran.code, decided["rule_id"]) == (code, rule_id)
    listed = placet("audit", "decisions", "--tenant", "acme", "--rule-id", rule_id, "-o", "json").document["decisions"]
    assert decided["decision_id"] in [each["decision_id"] for each in listed]
    shown = placet("audit", "show", decided["decision_id"], "--tenant", "acme", "-o", "json").document
    assert shown["event"]["policy"] == {"decision": decided["effect"], "rule_id": rule_id}
    assert shown["event"]["user"] == {"id": "u_4812", "tenant": "acme"}
    assert shown["findings"] == decided["findings"]
    assert placet("audit", "verify", "--data-dir", asking.data_dir).code == 0
    assert placet("audit", "verify", "--server").code == 0


@pytest.mark.parametrize(
    ("arguments", "complaint"),
    [
        (["--tool", "jira.search", "--params", '{"a": 1, "a": 2}'], "--params: "),
        (["--tool", "jira.search", "--params", '{"a": NaN}'], "--params: "),
        (["--tool", "jira.search", "--params", "[]"], "--params: "),
        (["--tool", "jira search"], "action.tool: "),
        (["--tool", "jira.search", "--idempotency-key", ""], "idempotency_key: "),
    ],
)
@pytest.mark.usefixtures("asking")
def test_a_refused_request(placet: Placet, arguments: list[str], complaint: str) -> None:
    ran = placet("authorize", "--tenant", "acme", "--agent", "a", *arguments)
    assert (ran.code, ran.out) == (2, "")
    assert complaint in ran.complaint
