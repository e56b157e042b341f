"""`placet approvals` against a whole server."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Any

import pytest

from placet.cli.rendering.approval_documents import voided_warnings
from placet.sdk import VoidedVotes

if TYPE_CHECKING:
    from tests.cli.conftest import Placet, Ran
    from tests.serving import Server

LEAD = ("--as", "u_lead", "--role", "support_lead")
TENANT = ("--tenant", "acme")

REFUND = '{"charge":"ch_1","customer_id":"cus_1","amount":45,"currency":"USD"}'


@pytest.fixture(autouse=True)
def asking(placet_server: Server, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PLACET_ADDRESS", placet_server.address)


def authorize(placet: Placet, *more: str) -> Ran:
    return placet(
        "authorize", *TENANT, "--agent", "support-agent", "--user", "u_1", "--tool", "zendesk.reply",
        "--params", '{"body":"Dear Ann"}', "--amount", "45.00 USD", "--timeout", "30", *more, "-o", "json",
    )  # fmt: skip


def pending_approval(placet: Placet) -> str:
    """The id of a pending approval."""
    ran = authorize(placet)
    assert ran.code == 4
    approval_id: str = ran.document["approval"]["id"]
    return approval_id


def test_from_request_to_allow(placet: Placet) -> None:
    approval_id = pending_approval(placet)
    listed = placet("approvals", "list", *TENANT, "--state", "pending", "-n", "1")
    assert approval_id in listed.out
    assert "45.00 USD" in listed.out
    shown = placet("approvals", "show", approval_id, *TENANT, *LEAD)
    assert '{"body":"Dear Ann"}' in shown.out
    assert "1 of support_lead" in shown.out
    done = placet("approvals", "approve", approval_id, *TENANT, *LEAD, "--reason", "it is polite")
    assert done.code == 0
    assert "approved" in done.out
    assert "it is polite" in done.out
    assert authorize(placet, "--approval-id", approval_id).code == 0
    assert authorize(placet, "--approval-id", approval_id).code == 3


def test_as_json(placet: Placet) -> None:
    approval_id = pending_approval(placet)
    seen: dict[str, Any] = placet("approvals", "show", approval_id, *TENANT, "--as", "u_2", "-o", "json").document
    assert (seen["id"], seen["state"], seen["quorum"]) == (approval_id, "pending", 1)
    assert seen["action"]["params"] == {"body": "[redacted:sensitive]"}
    assert seen["action"]["params_redacted"]
    no = placet("approvals", "reject", approval_id, *TENANT, *LEAD, "--reason", "too friendly", "-o", "json").document
    assert (no["state"], no["votes"][0]["reason"]) == ("rejected", "too friendly")
    listed = placet("approvals", "list", *TENANT, "--state", "rejected", "-o", "json").document
    assert listed["approvals"][0]["id"] == approval_id
    assert listed["approvals"][0]["action"]["params"] is None


def test_the_requester_cancels(placet: Placet) -> None:
    approval_id = pending_approval(placet)
    assert placet("approvals", "cancel", approval_id, *TENANT, "--as", "u_1").code == 0
    late = placet("approvals", "approve", approval_id, *TENANT, *LEAD)
    assert late.code == 1
    assert "it is cancelled" in late.complaint


def test_a_refused_vote_says_why(placet: Placet) -> None:
    approval_id = pending_approval(placet)
    own = placet("approvals", "approve", approval_id, *TENANT, "--as", "u_1", "--role", "support_lead")
    assert own.code == 1
    sentence = "u_1 cannot vote on this request because it was made on u_1's behalf"
    assert own.complaint == f"{sentence}; cancel it with `placet approvals cancel` (REQUESTER_MAY_NOT_APPROVE)"
    assert placet("approvals", "reject", approval_id, *TENANT, *LEAD, "--reason", "").code == 2
    other = placet("approvals", "approve", approval_id, *TENANT, *LEAD, "--digest", "0" * 64)
    assert "read the approval again" in other.complaint
    assert placet("approvals", "show", "apr_none", *TENANT).code == 1
    assert placet("approvals", "list", *TENANT, "--state", "unknown").code == 2
    misspelt = placet("approvals", "list", *TENANT, "--state", "pendng").complaint
    assert misspelt.startswith("Invalid value for '--state': 'pendng' is not one of 'pending'")


def test_votes_of_a_stolen_account_are_voided(placet: Placet) -> None:
    approval_id = pending_approval(placet)
    assert placet("approvals", "approve", approval_id, *TENANT, *LEAD).code == 0
    done = placet("approvals", "void-votes", "--person", "u_lead", "--reason", "account stolen", "--as", "ada", *TENANT)
    assert (done.code, approval_id in done.out, "0/1" in done.out) == (0, True, True)
    assert "account stolen" in placet("approvals", "show", approval_id, *TENANT).out
    assert authorize(placet, "--approval-id", approval_id).code == 3
    other = ("--as", "u_9", "--role", "support_lead")
    assert placet("approvals", "approve", approval_id, *TENANT, *other).code == 0
    twice = placet("approvals", "approve", approval_id, *TENANT, *other)
    assert (twice.code, twice.complaint.endswith("To stop it, cancel the approval (APPROVAL_DECIDED)")) == (1, True)
    assert twice.complaint.startswith("you have voted, and it is already approved: the quorum is reached")
    third = placet("approvals", "approve", approval_id, *TENANT, "--as", "u_8", "--role", "support_lead")
    assert third.complaint.startswith("already approved: the quorum is reached")
    assert authorize(placet, "--approval-id", approval_id).code == 0
    void = ("approvals", "void-votes", "--person", "u_9", "--reason", "account stolen", "--as", "ada")
    result = placet(*void, "-o", "json")
    assert [each["id"] for each in result.document["used"]] == [approval_id]
    assert (
        "1 approval was already used; 1 permit is revoked, and a repeat of the idempotency key is denied" in result.err
    )
    assert "no approver_groups in acme" in result.err
    [used] = result.document["used"]
    assert (result.document["revoked"], result.document["used_voided_count"]) == ([used["used_by_decision_id"]], 1)
    again = placet(*void)
    assert (again.code, "revoked\n" in again.out) == (0, True)
    assert "nothing to void: all votes of 'u_9' were voided before" in again.err
    nothing = placet("approvals", "void-votes", "--person", "nobody", "--reason", "r", *TENANT)
    assert (nothing.code, nothing.out, "'nobody' has no valid vote" in nothing.err) == (0, "", True)
    assert "check the spelling" in nothing.err
    strict = placet("approvals", "void-votes", "--person", "nobody", "--reason", "r", *TENANT, "--strict")
    assert strict.code == 2
    misspelt = placet("approvals", "void-votes", "--person", "u_9", "--reason", "r", "--tenant", "acmee")
    assert misspelt.code == 1
    assert misspelt.complaint == "tenant 'acmee' has no agent_policy; the tenants are acme, globex, initech (NOT_FOUND)"


def test_a_vote_without_the_role_names_both(placet: Placet) -> None:
    approval_id = pending_approval(placet)
    refused = placet("approvals", "approve", approval_id, *TENANT, "--as", "u_2", "--role", "auditor")
    assert refused.code == 1
    assert "support_lead may; u_2 named auditor (ROLE_MAY_NOT_APPROVE)" in refused.complaint
    late = placet("approvals", "cancel", approval_id, *TENANT, "--as", "u_2")
    assert (late.code, "NOT_YOURS_TO_CANCEL" in late.complaint) == (1, True)


def test_budgets_of_an_approval_are_shown_with_their_unit(placet: Placet) -> None:
    ran = placet(
        "authorize", "--tenant", "initech", "--agent", "refund-agent", "--user", "u_1", "--role", "support_refunds",
        "--tool", "stripe.refund", "--params", REFUND, "--amount", "45.00 USD",
        "--run-id", "run_shown", "--timeout", "30", "-o", "json",
    )  # fmt: skip
    assert ran.code == 4, ran.out
    shown = placet("approvals", "show", ran.document["approval"]["id"], "--tenant", "initech").out
    assert "refunds.per_customer_per_day: 250.00 USD left" in shown


def test_watch_prints_changes(placet: Placet) -> None:
    approval_id = pending_approval(placet)
    ran = placet("approvals", "watch", *TENANT, "--seconds", "1", "-o", "json")
    lines = [json.loads(line) for line in ran.out.splitlines()]
    assert approval_id in {line["approval"]["id"] for line in lines}
    assert ran.code == 0
    assert approval_id in placet("approvals", "watch", *TENANT, "--seconds", "1").out


def test_permits_that_are_not_revoked_say_why() -> None:
    [text] = voided_warnings(VoidedVotes((), (), 0, 3, used_voided_count=3, revoked_count=2), "u_9")
    assert text.startswith(
        "3 approvals were already used; 2 permits are revoked, and a repeat of the idempotency key is denied"
    )
    assert "; 1 permit is not revoked (enough votes remain, or the permit has expired)" in text
