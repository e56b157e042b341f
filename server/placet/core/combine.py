"""Combine what policy said into the one answer.

Policy applies the precedence in Rego; here it is applied again, from the findings alone. Where the two differ, nobody
knows what the policy means, and the answer is a deny.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Final

from placet.core import rule_ids
from placet.core.model import ApprovalRequirement, Effect, Finding, NoVerdict, Verdict

if TYPE_CHECKING:
    from collections.abc import Sequence

PRECEDENCE: Final = (Effect.DENY, Effect.REQUIRE_APPROVAL, Effect.ALLOW)
_RANK: Final = {effect: rank for rank, effect in enumerate(PRECEDENCE)}


@dataclass(frozen=True, slots=True)
class Outcome:
    """The answer before it gets an id and a time. Findings are sorted by precedence, then rule_id."""

    effect: Effect
    rule_id: str
    reason: str
    findings: tuple[Finding, ...] = ()
    approval: ApprovalRequirement | None = None


def denied_by_pdp(rule_id: str, findings: tuple[Finding, ...] = ()) -> Outcome:
    """Deny for a reason of Placet's own."""
    return Outcome(Effect.DENY, rule_id, rule_ids.REASONS[rule_id], findings)


def combine(verdict: Verdict | NoVerdict) -> Outcome:
    """Deny wins over require_approval, which wins over allow; an allow needs an allow finding."""
    if isinstance(verdict, NoVerdict):
        return denied_by_pdp(verdict.rule_id)
    findings = tuple(sorted(verdict.findings, key=lambda f: (_RANK[f.effect], f.rule_id)))
    if not findings:
        expected = (Effect.DENY, rule_ids.NO_RULE_MATCHED)
        agreed = (verdict.effect, verdict.rule_id) == expected
        return denied_by_pdp(rule_ids.NO_RULE_MATCHED if agreed else rule_ids.ANSWER_INVALID)
    winner = findings[0]
    if (verdict.effect, verdict.rule_id) != (winner.effect, winner.rule_id):
        return denied_by_pdp(rule_ids.ANSWER_INVALID, findings)
    if winner.effect is not Effect.REQUIRE_APPROVAL:
        return Outcome(winner.effect, winner.rule_id, winner.reason, findings)
    approval = approval_for([f for f in findings if f.effect is Effect.REQUIRE_APPROVAL])
    if approval is None:
        return denied_by_pdp(rule_ids.ANSWER_INVALID, findings)
    return Outcome(winner.effect, winner.rule_id, winner.reason, findings, approval)


def approval_for(findings: Sequence[Finding]) -> ApprovalRequirement | None:
    """The approval that satisfies every finding: the largest quorum, by people who may approve for each of them.

    None when details have the wrong type, or when no role may approve for all of them.
    """
    quorum = 1
    roles: set[str] | None = None
    for finding in findings:
        wanted = finding.details.get("quorum", 1)
        named = finding.details.get("approver_roles", [])
        if type(wanted) is not int or wanted < 1 or not isinstance(named, list):
            return None
        if not all(isinstance(role, str) and role for role in named):
            return None
        quorum = max(quorum, wanted)
        if named:
            roles = set(named) if roles is None else roles & set(named)
    if roles is not None and not roles:
        return None
    return ApprovalRequirement(quorum, tuple(sorted(roles or ())))
