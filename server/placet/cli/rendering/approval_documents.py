"""Approvals as JSON documents and as tables."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Final

import typer

from placet.cli.rendering.amounts import format_count, format_money
from placet.cli.rendering.documents import FINDING_COLUMNS, finding_documents, finding_rows, json_of, time_text
from placet.cli.rendering.output import print_fields, print_table

if TYPE_CHECKING:
    from collections.abc import Iterator

    from placet import sdk

COLUMNS: Final = (
    "state",
    "approval_id",
    "tool",
    "amount",
    "agent",
    "user",
    "votes",
    "approvers",
    "expires_at",
    "rule_id",
)
VOIDED_COLUMNS: Final = (
    "state",
    "tenant",
    "approval_id",
    "tool",
    "amount",
    "agent",
    "user",
    "votes",
    "used_by",
    "permit",
)
_VOTE_COLUMNS: Final = ("vote", "person", "role", "at", "reason", "void")


def approval_document(approval: sdk.Approval) -> dict[str, Any]:
    """Return an approval with all its fields. `params` is None when the server does not show them."""
    amount = approval.amount
    return {
        "id": approval.id,
        "tenant": approval.tenant,
        "decision_id": approval.decision_id,
        "state": approval.state.value,
        "action": {
            "tool": approval.tool,
            "params": json_of("params_json", approval.params_json),
            "params_redacted": approval.params_redacted,
            "amount": {"minor_units": amount[0], "currency_code": amount[1]} if amount is not None else None,
            "scope": approval.scope,
            "environment": approval.environment,
            "destination": approval.destination,
            "dry_run": approval.dry_run,
        },
        "identity": {
            "agent": approval.agent,
            "user": approval.user,
            "roles": list(approval.roles),
            "delegation": list(approval.delegation),
        },
        "run_id": approval.run_id,
        "workflow": approval.workflow,
        "model": approval.model,
        "rule_id": approval.rule_id,
        "reason": approval.reason,
        "findings": finding_documents(approval.findings),
        "policy_revision": approval.policy_revision,
        "action_digest": approval.action_digest,
        "quorum": approval.quorum,
        "approver_roles": list(approval.approver_roles),
        "distinct_roles": approval.distinct_roles,
        "votes": [_vote_document(vote) for vote in approval.votes],
        "created_at": time_text(approval.created_at),
        "expires_at": time_text(approval.expires_at),
        "decided_at": time_text(approval.decided_at),
        "used_by_decision_id": approval.used_by_decision_id,
        "budgets": [
            {"id": budget.id, "remaining": budget.remaining, "resets_at": time_text(budget.resets_at)}
            for budget in approval.budgets
        ],
        "similar": approval.similar,
    }


def approval_row(approval: sdk.Approval) -> tuple[str, ...]:
    """Return the row of an approval in a list."""
    return (
        approval.state.value,
        approval.id,
        approval.tool,
        _amount(approval),
        approval.agent,
        approval.user,
        _votes(approval),
        _approvers(approval),
        time_text(approval.expires_at),
        approval.rule_id,
    )


def voided_document(result: sdk.VoidedVotes) -> dict[str, Any]:
    """Return the result of voiding a person's votes."""
    return {
        "voided": [approval_document(approval) for approval in result.voided],
        "used": [approval_document(approval) for approval in result.used],
        "voided_count": result.voided_count,
        "used_count": result.used_count,
        "used_voided_count": result.used_voided_count,
        "revoked": list(result.revoked),
        "revoked_count": result.revoked_count,
        "tenants_without_groups": list(result.tenants_without_groups),
    }


def voided_rows(result: sdk.VoidedVotes) -> list[tuple[str, ...]]:
    """Return a row for each approval that lost a vote or was already used."""
    return [
        (
            approval.state.value,
            approval.tenant,
            approval.id,
            approval.tool,
            _amount(approval),
            approval.agent,
            approval.user,
            _votes(approval),
            approval.used_by_decision_id,
            "revoked" if approval.used_by_decision_id in result.revoked else "",
        )
        for approval in (*result.voided, *result.used)
    ]


def voided_warnings(result: sdk.VoidedVotes, person: str) -> Iterator[str]:
    """Yield what the operator must know after voiding a person's votes."""
    if result.used_count:
        yield _used_text(result)
    if not result.voided_count and not result.used_count:
        remedy = "check the spelling: `placet approvals show` lists the votes of an approval"
        yield f"{person!r} has no valid vote, so nothing was voided; {remedy}"
    elif not result.voided_count and not result.used_voided_count:
        yield f"nothing to void: all votes of {person!r} were voided before"
    if result.tenants_without_groups:
        tenants = ", ".join(result.tenants_without_groups)
        yield f"{person!r} can vote on later requests with a claimed role: no approver_groups in {tenants}"


def _used_text(result: sdk.VoidedVotes) -> str:
    single = result.used_count == 1
    text = "1 approval was already used" if single else f"{result.used_count} approvals were already used"
    if result.revoked_count:
        permits = "1 permit is" if result.revoked_count == 1 else f"{result.revoked_count} permits are"
        text += f"; {permits} revoked, and a repeat of the idempotency key is denied"
    if left := result.used_count - result.revoked_count:
        permits = "1 permit is" if left == 1 else f"{left} permits are"
        reason = "enough votes remain, or the permit has expired"
        text += f"; {permits} not revoked ({reason}): the remaining votes decide a repeat of the idempotency key"
    return text


def print_approval(approval: sdk.Approval) -> None:
    """Print an approval, its findings and its votes."""
    similar = approval.similar or {}
    print_fields(
        [
            ("approval_id", approval.id),
            ("state", approval.state.value),
            ("tool", approval.tool),
            ("params", approval.params_json + (" (values hidden)" if approval.params_redacted else "")),
            ("amount", _amount(approval)),
            ("environment", approval.environment),
            ("destination", approval.destination),
            ("agent", approval.agent),
            ("user", approval.user),
            ("roles", ", ".join(approval.roles)),
            ("run_id", approval.run_id),
            ("why", f"{approval.reason} ({approval.rule_id})"),
            ("needs", f"{approval.quorum} of {_approvers(approval)}"),
            ("budgets", ", ".join(_remaining(budget) for budget in approval.budgets)),
            ("similar", ", ".join(f"{effect} {count}" for effect, count in similar.items() if count)),
            ("created_at", time_text(approval.created_at)),
            ("expires_at", time_text(approval.expires_at)),
            ("decided_at", time_text(approval.decided_at)),
            ("used_by", approval.used_by_decision_id),
            ("decision_id", approval.decision_id),
            ("digest", approval.action_digest),
        ]
    )
    if len(approval.findings) > 1 or any(finding.details for finding in approval.findings):
        typer.echo()
        print_table(FINDING_COLUMNS, finding_rows(approval.findings))
    if approval.votes:
        typer.echo()
        print_table(_VOTE_COLUMNS, [_vote_row(vote) for vote in approval.votes])


def _vote_document(vote: sdk.Vote) -> dict[str, Any]:
    return {
        "person": vote.person,
        "role": vote.role,
        "approve": vote.approve,
        "reason": vote.reason,
        "at": time_text(vote.at),
        "void_reason": vote.void_reason,
    }


def _vote_row(vote: sdk.Vote) -> tuple[str, ...]:
    return ("yes" if vote.approve else "no", vote.person, vote.role, time_text(vote.at), vote.reason, vote.void_reason)


def _votes(approval: sdk.Approval) -> str:
    """Write the valid approving votes and the quorum, e.g. ``1/2``."""
    return f"{sum(vote.approve and not vote.void_reason for vote in approval.votes)}/{approval.quorum}"


def _approvers(approval: sdk.Approval) -> str:
    roles = ", ".join(approval.approver_roles) or "any"
    return f"{roles}, in distinct roles" if approval.distinct_roles else roles


def _remaining(budget: sdk.BudgetState) -> str:
    """Write what is left of a budget. Money has its currency code, other values have their unit."""
    unit = "" if budget.unit.startswith("amount:") else budget.unit
    return " ".join(filter(None, (f"{budget.id}:", format_count(budget.remaining, budget.unit), unit, "left")))


def _amount(approval: sdk.Approval) -> str:
    return format_money(*approval.amount) if approval.amount is not None else ""
