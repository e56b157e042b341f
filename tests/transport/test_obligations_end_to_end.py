"""Obligations from a rule to the caller and the trail: a whole server with the real OPA."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import pytest

from placet import sdk
from placet.cli.rendering.documents import decision_document
from tests.serving import serving, settings

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

PACK = """package policy.masking

import data.placet.lib.finding

# METADATA
# title: Found issues are masked
# custom:
#   rule_id: masking.issues
allow contains finding(rego.metadata.rule(), {"obligations": [_mask, {"id": "log_read"}]}) if {
	input.action.tool == "jira.search"
}

# METADATA
# title: This customer is blocked
# custom:
#   rule_id: masking.blocked
deny contains finding(rego.metadata.rule(), {"obligations": [{"id": "tell_owner", "customer": _customer}]}) if {
	input.action.tool == "jira.search"
	input.action.params.blocked
}

_mask := {"id": "redact_output", "fields": ["email", "iban"]}

_customer := input.action.params.customer
"""
OBLIGATIONS = (sdk.Obligation("log_read"), sdk.Obligation("redact_output", {"fields": ["email", "iban"]}))


@pytest.fixture(scope="module")
def address(tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    chosen = settings(tmp_path_factory.mktemp("obligations"))
    pack: Path = chosen.rego_dir / "policy" / "masking"
    pack.mkdir()
    (pack / "masking.rego").write_text(PACK)
    with serving(chosen) as server:
        yield server.address


def ask(address: str, params: dict[str, Any], key: str | None = None) -> sdk.Decision:
    with sdk.Client(address) as client:
        return client.authorize(sdk.Action("jira.search", params), sdk.Identity("a", "acme"), idempotency_key=key)


def test_the_caller_gets_the_obligations_of_an_allow_and_gets_them_again(address: str) -> None:
    first = ask(address, {"customer": "c1"}, "k1")
    assert (first.effect, first.obligations) == (sdk.Effect.ALLOW, OBLIGATIONS)
    assert ask(address, {"customer": "c1"}, "k1") == first
    assert decision_document(first)["obligations"] == [
        {"id": "log_read", "details": {}},
        {"id": "redact_output", "details": {"fields": ["email", "iban"]}},
    ]


def test_a_deny_has_its_own(address: str) -> None:
    denied = ask(address, {"customer": "c1", "blocked": True})
    assert (denied.rule_id, denied.obligations) == (
        "masking.blocked",
        (sdk.Obligation("tell_owner", {"customer": "c1"}),),
    )


def test_a_parameter_that_is_undefined_in_a_deny_makes_the_verdict_invalid(address: str) -> None:
    denied = ask(address, {"blocked": True})
    assert (denied.rule_id, denied.obligations) == ("pdp.answer_invalid", ())
    [finding] = denied.findings
    assert finding.details["rules"] == ["masking.blocked"]
    assert finding.details["where"]["masking.blocked"].startswith("policy/masking/masking.rego:")


def test_the_trail_holds_them(address: str) -> None:
    decision = ask(address, {"customer": "ada@example.com", "blocked": True})
    assert decision.obligations[0].details == {"customer": "ada@example.com"}
    with sdk.AuditClient(address) as audit:
        held = audit.get("acme", decision.decision_id)
        assert held is not None
        assert held.decision.obligations == (sdk.Obligation("tell_owner", {"customer": "[redacted:email]"}),)
        assert audit.verify().ok
