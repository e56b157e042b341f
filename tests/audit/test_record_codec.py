from __future__ import annotations

from typing import Any

import orjson
import pytest

from placet.audit.chain import Head, link
from placet.audit.decision_codec import (
    RecordDamagedError,
    decision_commitment,
    index_of,
    invalid_request_commitment,
    policy_activated_commitment,
    policy_refused_commitment,
    recorded_decision,
    server_started_commitment,
    server_stopped_commitment,
)
from placet.audit.records import Commitment, Index, RecordedDecision
from placet.audit.state_record import NO_STATE_CHANGES
from placet.kernel.errors import FieldViolation
from placet.kernel.model import Caller, Effect
from tests.storage.making import commitment, decision, proposal
from tests.support.replacing import replace


def read_back(made: Commitment, **changes: Any) -> RecordedDecision:
    (record,) = link(Head(), "w1", [made], [NO_STATE_CHANGES], bytes(16 * len(made.parts)))
    said = {"body": record.body, "parts": made.parts, "record_hash": record.hash} | changes
    return recorded_decision(**said)


@pytest.mark.parametrize("effect", list(Effect))
def test_a_decision_comes_back(effect: Effect) -> None:
    made = commitment(7, effect=effect)
    back = read_back(made)
    assert back.decision == made.decision
    assert back.input_json == made.parts["input"]
    assert (
        index_of(orjson.loads(link(Head(), "w1", [made], [NO_STATE_CHANGES], bytes(32))[0].body), made.parts)
        == made.index
    )
    assert made.index == Index(effect, f"baseline.{effect}", "jira.search", "run_1", "u_1", "support-agent")


def test_the_bytes_of_a_decision_without_obligations_never_change() -> None:
    made = commitment(7, effect=Effect.DENY)
    assert made.parts["decision"] == (
        b'{"reason":"Because the rule says so","findings":[{"effect":"deny","rule_id":"baseline.deny",'
        b'"reason":"Because the rule says so","details":{"limit":7}}],'
        b'"approval":null,"obligations":[],"budgets":[],"autonomy":"","shadow_effect":null}'
    )


def test_the_body_holds_nothing_personal() -> None:
    (record,) = link(Head(), "w1", [commitment(7)], [NO_STATE_CHANGES], bytes(32))
    assert b"u_1" not in record.body
    assert b"support-agent" not in record.body
    assert b"run_1" not in record.body


def test_what_is_found_by_never_says_more_than_what_is_stored() -> None:
    proposed = replace(proposal(1), run=replace(proposal(1).run, run_id="jane@example.org"))
    stored = orjson.dumps({"identity": {"user": "u_1", "agent": "a"}, "run": {"run_id": "[redacted:email]"}})
    made = decision_commitment(decision(1), proposed, Caller(), stored, False, "redacted")  # noqa: FBT003
    assert made.index.run_id == "[redacted:email]"
    assert read_back(made).replayable is False
    assert read_back(made).not_replayable_reason == "redacted"


def test_what_is_damaged_is_told() -> None:
    made = commitment(7)
    damages: tuple[dict[str, Any], ...] = (
        {"body": b""},
        {"body": b"[]"},
        {"body": b"{}"},
        {"body": b'{"kind":"server.started"}'},
        {"body": b'{"kind":"decision.made"}'},
        {"parts": {}},
        {"parts": {"input": made.parts["input"], "decision": b"{}"}},
        {"parts": {"input": made.parts["input"], "decision": b"["}},
        {"parts": {"input": made.parts["input"], "decision": b"[]"}},
    )
    for changes in damages:
        with pytest.raises(RecordDamagedError):
            read_back(made, **changes)
    for parts in ({}, {"input": b"{}"}, {"input": b"["}, {"input": b"[]"}):
        with pytest.raises(RecordDamagedError):
            index_of({"kind": "decision.made", "effect": "deny", "rule_id": "x", "tool": "y"}, parts)


def test_a_refused_request() -> None:
    violations = [FieldViolation(f"action.x{number}", "is jane@example.org") for number in range(200)]
    made = invalid_request_commitment("acme", Caller("c"), "Authorize", violations, 5)
    assert (made.kind, made.tenant, made.recorded_at_us) == ("request.refused", "acme", 5)
    assert made.fields == {"caller": "c", "method": "Authorize", "violations": 200}
    said = orjson.loads(made.parts["refusal"])["violations"]
    assert len(said) == 100
    assert said[0] == {"field": "action.x0", "description": "is [redacted:email]"}


def test_what_happens_to_the_server_and_its_policy() -> None:
    activated = policy_activated_commitment("rev", "1.2.3", 3, 5, "c0ffee")
    assert (activated.kind, activated.tenant) == ("policy.activated", "")
    assert activated.fields == {
        "policy_revision": "rev",
        "engine_version": "1.2.3",
        "tenants": 3,
        "git_commit": "c0ffee",
    }
    refused = policy_refused_commitment("rev", ["a.rego:1: wrong"], 5)
    assert (refused.kind, refused.fields) == ("policy.refused", {"policy_revision": "rev", "problems": 1})
    assert orjson.loads(refused.parts["problems"]) == {"problems": ["a.rego:1: wrong"]}
    started = server_started_commitment("0.1.0", "k", 5)
    assert (started.kind, started.fields) == ("server.started", {"version": "0.1.0", "audit_key_id": "k"})
    stopped = server_stopped_commitment("0.1.0", "SIGTERM", 5)
    assert (stopped.kind, stopped.fields) == ("server.stopped", {"version": "0.1.0", "reason": "SIGTERM"})
    assert index_of({"kind": "server.started"}, {}) == Index()
