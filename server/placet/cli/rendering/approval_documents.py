"""Requests for approval as JSON documents and as tables."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Final

import typer

from placet.cli.rendering.amounts import counted, money
from placet.cli.rendering.documents import FINDING_COLUMNS, finding_rows, json_of, time_text
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
    """A request for approval with all its fields. `params` is null where they are not shown."""
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
        "findings": [
            {"effect": each.effect.value, "rule_id": each.rule_id, "reason": each.reason, "details": dict(each.details)}
            for each in approval.findings
        ],
        "policy_revision": approval.policy_revision,
        "action_digest": approval.action_digest,
        "quorum": approval.quorum,
        "approver_roles": list(approval.approver_roles),
        "distinct_roles": approval.distinct_roles,
        "votes": [
            {
                "person": each.person,
                "role": each.role,
                "approve": each.approve,
                "reason": each.reason,
                "at": time_text(each.at),
                "void_reason": each.void_reason,
            }
            for each in approval.votes
        ],
        "created_at": time_text(approval.created_at),
        "expires_at": time_text(approval.expires_at),
        "decided_at": time_text(approval.decided_at),
        "used_by_decision_id": approval.used_by_decision_id,
        "budgets": [
            {"id": each.id, "remaining": each.remaining, "resets_at": time_text(each.resets_at)}
            for each in approval.budgets
        ],
        "similar": approval.similar,
    }


def approval_row(approval: sdk.Approval) -> tuple[str, ...]:
    """A line of the list."""
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


def voided_document(done: sdk.VoidedVotes) -> dict[str, Any]:
    """What became of a person's votes."""
    return {
        "voided": [approval_document(each) for each in done.voided],
        "used": [approval_document(each) for each in done.used],
        "voided_count": done.voided_count,
        "used_count": done.used_count,
        "used_voided_count": done.used_voided_count,
        "revoked": list(done.revoked),
        "revoked_count": done.revoked_count,
        "tenants_without_groups": list(done.tenants_without_groups),
    }


def voided_rows(done: sdk.VoidedVotes) -> list[tuple[str, ...]]:
    """A line for each that lost a vote or was used already."""
    return [
        (
            each.state.value,
            each.tenant,
            each.id,
            each.tool,
            _amount(each),
            each.agent,
            each.user,
            _votes(each),
            each.used_by_decision_id,
            "revoked" if each.used_by_decision_id in done.revoked else "",
        )
        for each in (*done.voided, *done.used)
    ]


def voided_warnings(done: sdk.VoidedVotes, person: str) -> Iterator[str]:
    """What whoever voids a person's votes has to know."""
    if done.used_count:
        yield _used_text(done)
    if not done.voided_count and not done.used_count:
        check = "check the spelling: `placet approvals show` lists who voted, and whose vote is void already"
        yield f"no vote of {person!r} counts anywhere, so nothing was voided; {check}"
    elif not done.voided_count and not done.used_voided_count:
        yield f"nothing was left to void: the votes of {person!r} were voided before"
    if done.tenants_without_groups:
        where = ", ".join(done.tenants_without_groups)
        yield f"{person!r} may vote on what is asked next, by the role that is claimed: no approver_groups in {where}"


def _used_text(done: sdk.VoidedVotes) -> str:
    were, actions = ("was", "its action") if done.used_count == 1 else ("were", "their actions")
    text = f"{done.used_count} {were} used already, and allowed {actions}"
    if done.revoked_count:
        permits = "1 permit is" if done.revoked_count == 1 else f"{done.revoked_count} permits are"
        text += f"; {permits} revoked, and every repeat of the idempotency key is denied"
    if left := done.used_count - done.revoked_count:
        why = "enough votes are left, or the permit had run out"
        text += f"; {left} not revoked ({why}): a repeat of the key is judged by the votes that are left"
    return text


def print_approval(approval: sdk.Approval) -> None:
    """All of it on one screen."""
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
            ("budgets", ", ".join(_left(each) for each in approval.budgets)),
            ("similar", ", ".join(f"{effect} {count}" for effect, count in similar.items() if count)),
            ("created_at", time_text(approval.created_at)),
            ("expires_at", time_text(approval.expires_at)),
            ("decided_at", time_text(approval.decided_at)),
            ("used_by", approval.used_by_decision_id),
            ("decision_id", approval.decision_id),
            ("digest", approval.action_digest),
        ]
    )
    if len(approval.findings) > 1 or any(each.details for each in approval.findings):
        typer.echo()
        print_table(FINDING_COLUMNS, finding_rows(approval.findings))
    if approval.votes:
        typer.echo()
        rows = [
            ("yes" if each.approve else "no", each.person, each.role, time_text(each.at), each.reason, each.void_reason)
            for each in approval.votes
        ]
        print_table(_VOTE_COLUMNS, rows)


def _votes(approval: sdk.Approval) -> str:
    """Those for it that count, of how many it needs."""
    return f"{sum(vote.approve and not vote.void_reason for vote in approval.votes)}/{approval.quorum}"


def _approvers(approval: sdk.Approval) -> str:
    roles = ", ".join(approval.approver_roles) or "any"
    return f"{roles}, each another" if approval.distinct_roles else roles


def _left(budget: sdk.BudgetState) -> str:
    """Money has its currency behind it, everything else its unit."""
    unit = "" if budget.unit.startswith("amount:") else budget.unit
    return " ".join(filter(None, (f"{budget.id}:", counted(budget.remaining, budget.unit), unit, "left")))


def _amount(approval: sdk.Approval) -> str:
    """As people write it, e.g. ``45.00 USD``."""
    if approval.amount is None:
        return ""
    return money(*approval.amount)
