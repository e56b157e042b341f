"""Checks of a running server with the shipped policies, in any deployment: SMOKE lists them."""

from __future__ import annotations

import uuid
from typing import TYPE_CHECKING, Final

from placet.sdk import Action, Amount, AuditClient, Client, Decision, Evidence, Identity, Request

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

DEADLINE_SECONDS: Final = 20.0
AGENT: Final = Identity(agent="smoke-agent", tenant="acme", user="u_1", roles=["support_refunds"])


def refund(minor_units: int) -> Action:
    params = {"charge": "ch_1", "amount": f"{minor_units / 100:.2f}", "currency": "USD"}
    return Action("stripe.refund", params, amount=Amount("USD", minor_units))


def ask(address: str, action: Action, identity: Identity = AGENT, evidence: Sequence[Evidence] = ()) -> Decision:
    with Client(address, timeout=DEADLINE_SECONDS) as client:
        return client.authorize(action, identity, evidence=evidence)


def result(decision: Decision) -> tuple[str, str]:
    return decision.effect.value, decision.rule_id


def reads_are_allowed(address: str) -> None:
    assert result(ask(address, Action("jira.search", {"query": "open"}))) == ("allow", "tools.listed_read")


def small_refund_is_allowed(address: str) -> None:
    assert result(ask(address, refund(4500))) == ("allow", "refunds.within_limit")


def large_refund_needs_a_person(address: str) -> None:
    decision = ask(address, refund(90_000))
    assert result(decision) == ("require_approval", "refunds.over_limit")
    assert decision.approval is not None
    assert (decision.approval.quorum, decision.approval.approver_roles) == (1, ("support_lead",))


def deny_wins_over_approval(address: str) -> None:
    without_role = Identity(agent="smoke-agent", tenant="acme", user="u_2")
    decision = ask(address, refund(90_000), without_role)
    assert result(decision) == ("deny", "refunds.insufficient_privilege")
    assert {finding.rule_id for finding in decision.findings} > {"refunds.over_limit"}


def evidence_is_required(address: str) -> None:
    answer = Action("kb.answer", {"text": "yes"})
    assert result(ask(address, answer)) == ("deny", "evidence.too_few")
    assert ask(address, answer, evidence=[Evidence("https://kb.acme.example/1")]).allowed


def unknown_destination_is_denied(address: str) -> None:
    published = Action("queue.publish", {"message": "hello", "queue": "payments.out"}, destination="payments.out")
    assert result(ask(address, published)) == ("deny", "destinations.not_allowed")


def unknown_tools_and_tenants_are_denied(address: str) -> None:
    assert result(ask(address, Action("rm.rf"))) == ("deny", "pdp.unknown_tool")
    stranger = Identity(agent="smoke-agent", tenant="unknown")
    assert result(ask(address, Action("jira.search"), stranger)) == ("deny", "pdp.unknown_tenant")


def a_batch_is_answered_in_order(address: str) -> None:
    plan = [refund(4500), Action("rm.rf"), refund(90_000), Action("jira.search")]
    with Client(address, timeout=DEADLINE_SECONDS) as client:
        decisions = client.authorize_batch([Request(action, AGENT) for action in plan])
    assert [decision.effect.value for decision in decisions] == ["allow", "deny", "require_approval", "allow"]


def malformed_params_are_rejected(address: str) -> None:
    decision = ask(address, Action("jira.search", '{"query": NaN}'))
    assert not decision.allowed
    assert decision.failure is not None
    assert [violation.field for violation in decision.failure.violations] == ["action.params_json"]


def a_repeated_request_gets_the_same_decision(address: str) -> None:
    key = uuid.uuid4().hex
    with Client(address, timeout=DEADLINE_SECONDS) as client:
        first, second = (client.authorize(refund(4500), AGENT, idempotency_key=key) for _ in range(2))
    assert first.decision_id == second.decision_id != ""


def decisions_are_in_a_trail_that_verifies(address: str) -> None:
    decision = ask(address, refund(4500))
    with AuditClient(address) as audit:
        recorded = audit.get("acme", decision.decision_id)
        report = audit.verify()
    assert recorded is not None
    assert result(recorded.decision) == result(decision)
    assert recorded.decision.policy_revision == decision.policy_revision != ""
    assert recorded.replayable
    assert report.ok, report.problems


SMOKE: Final[tuple[Callable[[str], None], ...]] = (
    reads_are_allowed,
    small_refund_is_allowed,
    large_refund_needs_a_person,
    deny_wins_over_approval,
    evidence_is_required,
    unknown_destination_is_denied,
    unknown_tools_and_tenants_are_denied,
    a_batch_is_answered_in_order,
    malformed_params_are_rejected,
    a_repeated_request_gets_the_same_decision,
    decisions_are_in_a_trail_that_verifies,
)
