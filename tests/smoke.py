"""What must hold of any running Placet with the shipped policies, however its OPA is run. A list of checks."""

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


def told(decision: Decision) -> tuple[str, str]:
    return decision.effect.value, decision.rule_id


def reading_is_allowed(address: str) -> None:
    assert told(ask(address, Action("jira.search", {"query": "open"}))) == ("allow", "tools.listed_read")


def small_refund_is_allowed(address: str) -> None:
    assert told(ask(address, refund(4500))) == ("allow", "refunds.within_limit")


def large_refund_needs_a_person(address: str) -> None:
    decision = ask(address, refund(90_000))
    assert told(decision) == ("require_approval", "refunds.over_limit")
    assert decision.approval is not None
    assert (decision.approval.quorum, decision.approval.approver_roles) == (1, ("support_lead",))


def deny_wins_over_approval(address: str) -> None:
    nobody = Identity(agent="smoke-agent", tenant="acme", user="u_2")
    decision = ask(address, refund(90_000), nobody)
    assert told(decision) == ("deny", "refunds.insufficient_privilege")
    assert {finding.rule_id for finding in decision.findings} > {"refunds.over_limit"}


def evidence_is_asked_for(address: str) -> None:
    answer = Action("kb.answer", {"text": "yes"})
    assert told(ask(address, answer)) == ("deny", "evidence.too_few")
    assert ask(address, answer, evidence=[Evidence("https://kb.acme.example/1")]).allowed


def unknown_destination_is_denied(address: str) -> None:
    published = Action("queue.publish", {"message": "hello", "queue": "payments.out"}, destination="payments.out")
    assert told(ask(address, published)) == ("deny", "destinations.not_allowed")


def the_unknown_is_denied(address: str) -> None:
    assert told(ask(address, Action("rm.rf"))) == ("deny", "pdp.unknown_tool")
    stranger = Identity(agent="smoke-agent", tenant="nobody")
    assert told(ask(address, Action("jira.search"), stranger)) == ("deny", "pdp.unknown_tenant")


def a_batch_is_answered_in_order(address: str) -> None:
    plan = [refund(4500), Action("rm.rf"), refund(90_000), Action("jira.search")]
    with Client(address, timeout=DEADLINE_SECONDS) as client:
        decisions = client.authorize_batch([Request(action, AGENT) for action in plan])
    assert [each.effect.value for each in decisions] == ["allow", "deny", "require_approval", "allow"]


def the_malformed_is_refused(address: str) -> None:
    decision = ask(address, Action("jira.search", '{"query": NaN}'))
    assert not decision.allowed
    assert decision.failure is not None
    assert [each.field for each in decision.failure.violations] == ["action.params_json"]


def a_repeated_request_is_answered_alike(address: str) -> None:
    key = uuid.uuid4().hex
    with Client(address, timeout=DEADLINE_SECONDS) as client:
        first, second = (client.authorize(refund(4500), AGENT, idempotency_key=key) for _ in range(2))
    assert first.decision_id == second.decision_id != ""


def what_was_answered_is_in_a_trail_that_verifies(address: str) -> None:
    decision = ask(address, refund(4500))
    with AuditClient(address) as audit:
        recorded = audit.get("acme", decision.decision_id)
        report = audit.verify()
    assert recorded is not None
    assert told(recorded.decision) == told(decision)
    assert recorded.decision.policy_revision == decision.policy_revision != ""
    assert recorded.replayable
    assert report.ok, report.problems


SMOKE: Final[tuple[Callable[[str], None], ...]] = (
    reading_is_allowed,
    small_refund_is_allowed,
    large_refund_needs_a_person,
    deny_wins_over_approval,
    evidence_is_asked_for,
    unknown_destination_is_denied,
    the_unknown_is_denied,
    a_batch_is_answered_in_order,
    the_malformed_is_refused,
    a_repeated_request_is_answered_alike,
    what_was_answered_is_in_a_trail_that_verifies,
)
