"""The combining algorithm: deny-overrides over the findings of policy.

Policy applies the precedence in Rego; `deny_overrides` applies it again, from the findings alone. If the two differ,
the verdict cannot be trusted and the effect is deny.
"""

from __future__ import annotations

from dataclasses import dataclass, field, replace
from typing import TYPE_CHECKING, Any, Final

from placet.kernel import rule_ids
from placet.kernel.limits import APPROVAL_TTL_SECONDS_MAX, QUORUM_MAX
from placet.kernel.model import ApprovalRequirement, Effect, Finding, Indeterminate, Verdict

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping, Sequence

    from placet.kernel.model import Obligation

PRECEDENCE: Final = (Effect.DENY, Effect.REQUIRE_APPROVAL, Effect.ALLOW)
_RANK: Final = {effect: rank for rank, effect in enumerate(PRECEDENCE)}


APPROVAL_DETAILS: Final = ("quorum", "approver_roles", "distinct_roles", "expires_after_seconds")
"""What Placet reads of the details of a require_approval."""


class NoApprovalError(Exception):
    """What the findings ask for is no approval that people could give. `rules` are those that ask for it."""

    def __init__(self, rules: Sequence[str], why: str) -> None:
        self.rules = tuple(rules)
        super().__init__(f"{', '.join(rules)}: {why}")


@dataclass(frozen=True, slots=True)
class Resolution:
    """What findings resolve to, before it becomes a decision. Findings are sorted by precedence, then rule_id.

    `invalid_verdict_detail` says, for the log, why a verdict of policy was not believed. `obligations` are those of the
    verdict by effect; the decision has those of its own effect.
    """

    effect: Effect
    rule_id: str
    reason: str
    findings: tuple[Finding, ...] = ()
    approval: ApprovalRequirement | None = None
    invalid_verdict_detail: str = ""
    obligations: Mapping[Effect, tuple[Obligation, ...]] = field(default_factory=dict)


def denied_by_pdp(
    rule_id: str, findings: tuple[Finding, ...] = (), details: Mapping[str, Any] | None = None
) -> Resolution:
    """Deny for a reason of Placet's own; `details` of why make it a finding of its own, so that they are recorded."""
    reason = rule_ids.REASONS[rule_id]
    own = (Finding(Effect.DENY, rule_id, reason, details),) if details else ()
    return Resolution(Effect.DENY, rule_id, reason, (*own, *findings))


def invalid_verdict(findings: tuple[Finding, ...], why: str, rules: Sequence[str] = ()) -> Resolution:
    """Deny what policy said because it cannot be believed; the record says why, and of which rules."""
    details = {"why": why, **({"rules": list(rules)} if rules else {})}
    return replace(denied_by_pdp(rule_ids.ANSWER_INVALID, findings, details), invalid_verdict_detail=why)


def unbelievable_approval(findings: tuple[Finding, ...], error: NoApprovalError) -> Resolution:
    """Deny what asks for an approval that nobody could give."""
    return invalid_verdict(findings, str(error), error.rules)


def deny_overrides(verdict: Verdict | Indeterminate) -> Resolution:
    """Deny wins over require_approval, which wins over allow; an allow needs an allow finding."""
    if isinstance(verdict, Indeterminate):
        return denied_by_pdp(verdict.rule_id, details=verdict.details)
    findings = by_precedence(verdict.findings)
    said = (verdict.effect, verdict.rule_id)
    found = (findings[0].effect, findings[0].rule_id) if findings else (Effect.DENY, rule_ids.NO_RULE_MATCHED)
    if said != found:
        why = f"policy says {' '.join(said)}, its findings give {' '.join(found)}"
        return invalid_verdict(findings, why)
    if not findings:
        return denied_by_pdp(rule_ids.NO_RULE_MATCHED)
    winner = findings[0]
    if winner.effect is not Effect.REQUIRE_APPROVAL:
        return Resolution(winner.effect, winner.rule_id, winner.reason, findings, obligations=verdict.obligations)
    try:
        approval = approval_for([f for f in findings if f.effect is Effect.REQUIRE_APPROVAL])
    except NoApprovalError as error:
        return unbelievable_approval(findings, error)
    return Resolution(winner.effect, winner.rule_id, winner.reason, findings, approval, obligations=verdict.obligations)


def denied_by(*findings: Finding) -> Resolution:
    """Deny by these findings, the first of which wins."""
    return Resolution(Effect.DENY, findings[0].rule_id, findings[0].reason, findings)


def merged(resolution: Resolution, *found: Finding) -> Resolution:
    """The resolution with more findings: the precedence applied again over all of them."""
    if not found:
        return resolution
    findings = by_precedence((*resolution.findings, *found))
    winner = findings[0]
    return Resolution(winner.effect, winner.rule_id, winner.reason, findings, obligations=resolution.obligations)


def by_precedence(findings: Iterable[Finding]) -> tuple[Finding, ...]:
    """Sorted by effect, the one that wins first, then by rule_id."""
    return tuple(sorted(findings, key=lambda finding: (_RANK[finding.effect], finding.rule_id)))


def approval_for(findings: Sequence[Finding]) -> ApprovalRequirement:
    """The approval that satisfies every finding: the largest quorum, by people who may approve for each of them.

    Each finding's details must say both, so that a misspelt `quorum` does not become a quorum of one. They may say
    `distinct_roles` (each vote by another role) and `expires_after_seconds`; the strictest of them holds.
    """
    quorum = 1
    seconds = 0
    distinct = False
    roles: set[str] | None = None
    for finding in findings:
        wanted, named = finding.details.get("quorum"), finding.details.get("approver_roles")
        if type(wanted) is not int or not 1 <= wanted <= QUORUM_MAX:
            raise NoApprovalError([finding.rule_id], f"details.quorum must be an integer of 1 to {QUORUM_MAX}")
        if not isinstance(named, list) or not all(isinstance(role, str) and role for role in named):
            raise NoApprovalError([finding.rule_id], "details.approver_roles must be a list of texts, [] for anybody")
        quorum = max(quorum, wanted)
        seconds = _shorter(seconds, finding)
        distinct = distinct or _distinct(finding)
        if named:
            roles = set(named) if roles is None else roles & set(named)
    if roles is not None and not roles:
        raise NoApprovalError(_rules(findings), "no role may approve for all of them")
    if distinct and roles is not None and len(roles) < quorum:
        what = f"{quorum} distinct roles are wanted, {len(roles)} may approve for all of them"
        raise NoApprovalError(_rules(findings), what)
    return ApprovalRequirement(
        quorum, tuple(sorted(roles or ())), distinct_roles=distinct, expires_after_seconds=seconds
    )


def _shorter(seconds: int, finding: Finding) -> int:
    said = finding.details.get("expires_after_seconds")
    if said is None:
        return seconds
    if type(said) is not int or not 1 <= said <= APPROVAL_TTL_SECONDS_MAX:
        what = f"details.expires_after_seconds must be an integer of 1 to {APPROVAL_TTL_SECONDS_MAX}"
        raise NoApprovalError([finding.rule_id], what)
    return min(seconds, said) if seconds else said


def _distinct(finding: Finding) -> bool:
    said = finding.details.get("distinct_roles", False)
    if type(said) is not bool:
        raise NoApprovalError([finding.rule_id], "details.distinct_roles must be true or false")
    return said


def _rules(findings: Sequence[Finding]) -> list[str]:
    return sorted({finding.rule_id for finding in findings})
