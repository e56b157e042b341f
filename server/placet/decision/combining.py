"""The combining algorithm: deny-overrides over the findings of policy.

`deny_overrides` applies the precedence to the findings. A verdict that names another effect or rule_id than its
findings give cannot be trusted, and the effect is deny.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Final

from msgspec import Struct, field
from msgspec.structs import replace

from placet.kernel import rule_ids
from placet.kernel.limits import APPROVAL_TTL_SECONDS_MAX, QUORUM_MAX
from placet.kernel.model import ApprovalRequirement, Effect, Finding, Indeterminate, Verdict

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping, Sequence

    from placet.kernel.model import Obligation

PRECEDENCE: Final = (Effect.DENY, Effect.REQUIRE_APPROVAL, Effect.ALLOW)
_RANK: Final = {effect: rank for rank, effect in enumerate(PRECEDENCE)}


APPROVAL_DETAILS: Final = ("quorum", "approver_roles", "distinct_roles", "expires_after_seconds")
"""The keys that Placet reads from the details of a require_approval finding."""


class NoApprovalError(Exception):
    """The findings require an approval that people cannot give."""

    def __init__(self, rules: Sequence[str], why: str) -> None:
        """`rules` are the ids of the findings that require it."""
        self.rules = tuple(rules)
        super().__init__(f"{', '.join(rules)}: {why}")


class Resolution(Struct, frozen=True, gc=False):
    """The combined result of findings, before it becomes a decision."""

    effect: Effect
    rule_id: str
    """The rule that wins."""
    reason: str
    findings: tuple[Finding, ...] = ()
    """Sorted by precedence, then by rule_id."""
    approval: ApprovalRequirement | None = None
    """Set for a require_approval."""
    invalid_verdict_detail: str = ""
    """Why a verdict of policy failed validation, for the log; "" when it did not."""
    obligations: Mapping[Effect, tuple[Obligation, ...]] = field(default_factory=dict)
    """The obligations of the verdict by effect. A decision carries those of its effect."""


def denied_by_pdp(
    rule_id: str, findings: tuple[Finding, ...] = (), details: Mapping[str, Any] | None = None
) -> Resolution:
    """Return a deny by one of Placet's own `pdp.*` rules.

    With `details` the deny becomes a finding, so that the details are recorded.
    """
    reason = rule_ids.REASONS[rule_id]
    own = (Finding(Effect.DENY, rule_id, reason, details),) if details else ()
    return Resolution(Effect.DENY, rule_id, reason, (*own, *findings))


def invalid_verdict(findings: tuple[Finding, ...], why: str, rules: Sequence[str] = ()) -> Resolution:
    """Return a deny for a verdict that failed validation. The record holds `why`, and the `rules` at fault."""
    details = {"why": why, **({"rules": list(rules)} if rules else {})}
    return replace(denied_by_pdp(rule_ids.ANSWER_INVALID, findings, details), invalid_verdict_detail=why)


def unsatisfiable_approval(findings: tuple[Finding, ...], error: NoApprovalError) -> Resolution:
    """Return a deny for findings that require an approval which people cannot give."""
    return invalid_verdict(findings, str(error), error.rules)


def deny_overrides(verdict: Verdict | Indeterminate) -> Resolution:
    """Combine the findings of a verdict: deny wins over require_approval, which wins over allow.

    A verdict without findings is a deny. So is one whose effect or rule_id differs from those of its findings.
    """
    if isinstance(verdict, Indeterminate):
        return denied_by_pdp(verdict.rule_id, details=verdict.details)
    findings = verdict.findings if len(verdict.findings) == 1 else by_precedence(verdict.findings)
    stated = (verdict.effect, verdict.rule_id)
    derived = (findings[0].effect, findings[0].rule_id) if findings else (Effect.DENY, rule_ids.NO_RULE_MATCHED)
    if stated != derived:
        why = f"policy says {' '.join(stated)}, its findings give {' '.join(derived)}"
        return invalid_verdict(findings, why)
    if not findings:
        return denied_by_pdp(rule_ids.NO_RULE_MATCHED)
    winner = findings[0]
    if winner.effect is not Effect.REQUIRE_APPROVAL:
        return Resolution(winner.effect, winner.rule_id, winner.reason, findings, obligations=verdict.obligations)
    try:
        approval = approval_for([finding for finding in findings if finding.effect is Effect.REQUIRE_APPROVAL])
    except NoApprovalError as error:
        return unsatisfiable_approval(findings, error)
    return Resolution(winner.effect, winner.rule_id, winner.reason, findings, approval, obligations=verdict.obligations)


def denied_by(*findings: Finding) -> Resolution:
    """Return a deny by these findings, the first of which wins."""
    return Resolution(Effect.DENY, findings[0].rule_id, findings[0].reason, findings)


def merged(resolution: Resolution, *added: Finding) -> Resolution:
    """Return the resolution with more findings, after the precedence was applied to all of them."""
    if not added:
        return resolution
    findings = by_precedence((*resolution.findings, *added))
    winner = findings[0]
    return Resolution(winner.effect, winner.rule_id, winner.reason, findings, obligations=resolution.obligations)


def by_precedence(findings: Iterable[Finding]) -> tuple[Finding, ...]:
    """Return the findings sorted by effect, the winning one first, then by rule_id."""
    return tuple(sorted(findings, key=lambda finding: (_RANK[finding.effect], finding.rule_id)))


def approval_for(findings: Sequence[Finding]) -> ApprovalRequirement:
    """Return the approval that satisfies every finding: the largest quorum, from roles that all of them accept.

    The details of each finding must have `quorum` and `approver_roles`, so that a misspelt `quorum` does not become a
    quorum of one. They may have `distinct_roles` (each vote comes from another role) and `expires_after_seconds`; the
    strictest value wins.

    Raises NoApprovalError for a wrong value, and when too few roles may approve for all findings.
    """
    quorum = 1
    seconds = 0
    distinct = False
    roles: set[str] | None = None
    for finding in findings:
        finding_quorum, finding_roles = finding.details.get("quorum"), finding.details.get("approver_roles")
        if type(finding_quorum) is not int or not 1 <= finding_quorum <= QUORUM_MAX:
            raise NoApprovalError([finding.rule_id], f"details.quorum must be an integer of 1 to {QUORUM_MAX}")
        if not isinstance(finding_roles, list) or not all(isinstance(role, str) and role for role in finding_roles):
            raise NoApprovalError(
                [finding.rule_id], "details.approver_roles must be a list of non-empty strings; [] means any role"
            )
        quorum = max(quorum, finding_quorum)
        seconds = _shorter(seconds, finding)
        distinct = distinct or _distinct(finding)
        if finding_roles:
            roles = set(finding_roles) if roles is None else roles & set(finding_roles)
    if roles is not None and not roles:
        raise NoApprovalError(_rules(findings), "no role may approve for all of them")
    if distinct and roles is not None and len(roles) < quorum:
        why = f"the quorum needs {quorum} distinct roles, but only {len(roles)} may approve for all of them"
        raise NoApprovalError(_rules(findings), why)
    return ApprovalRequirement(
        quorum, tuple(sorted(roles or ())), distinct_roles=distinct, expires_after_seconds=seconds
    )


def _shorter(seconds: int, finding: Finding) -> int:
    """Return the smaller of `seconds` (0: not set) and the finding's `expires_after_seconds`."""
    value = finding.details.get("expires_after_seconds")
    if value is None:
        return seconds
    if type(value) is not int or not 1 <= value <= APPROVAL_TTL_SECONDS_MAX:
        why = f"details.expires_after_seconds must be an integer of 1 to {APPROVAL_TTL_SECONDS_MAX}"
        raise NoApprovalError([finding.rule_id], why)
    return min(seconds, value) if seconds else value


def _distinct(finding: Finding) -> bool:
    value = finding.details.get("distinct_roles", False)
    if type(value) is not bool:
        raise NoApprovalError([finding.rule_id], "details.distinct_roles must be true or false")
    return value


def _rules(findings: Sequence[Finding]) -> list[str]:
    return sorted({finding.rule_id for finding in findings})
