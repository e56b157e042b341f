"""Deny wins; an allow needs an allow finding; the policy's own precedence must be the same."""

from __future__ import annotations

from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from placet.decision.combining import PRECEDENCE, NoApprovalError, approval_for, denied_by_pdp, deny_overrides
from placet.kernel import rule_ids
from placet.kernel.model import ApprovalRequirement, Effect, Finding, Indeterminate, Verdict
from tests.support.replacing import replace

FINDINGS = st.lists(
    st.builds(
        Finding,
        effect=st.sampled_from(Effect),
        rule_id=st.sampled_from(["a.one", "a.two", "B_THREE", "z.nine"]),
        reason=st.just("why"),
        details=st.fixed_dictionaries({"quorum": st.integers(1, 5), "approver_roles": st.just([])}),
    ),
    max_size=6,
)


def honest(findings: list[Finding]) -> Verdict:
    """A verdict as main.rego gives it."""
    for effect in PRECEDENCE:
        ids = [finding.rule_id for finding in findings if finding.effect is effect]
        if ids:
            return Verdict(effect, min(ids), tuple(findings), "rev")
    return Verdict(Effect.DENY, rule_ids.NO_RULE_MATCHED, (), "rev")


@given(FINDINGS)
def test_precedence(findings: list[Finding]) -> None:
    outcome = deny_overrides(honest(findings))
    effects = {finding.effect for finding in findings}
    if Effect.DENY in effects or not effects:
        assert outcome.effect is Effect.DENY
    elif Effect.REQUIRE_APPROVAL in effects:
        assert outcome.effect is Effect.REQUIRE_APPROVAL
        assert outcome.approval is not None
    else:
        assert outcome.effect is Effect.ALLOW
    assert len(outcome.findings) == len(findings)


@given(FINDINGS, st.sampled_from(Effect), st.text(max_size=10))
def test_an_allow_needs_an_allow_finding_whatever_the_policy_claims(
    findings: list[Finding], effect: Effect, rule_id: str
) -> None:
    outcome = deny_overrides(Verdict(effect, rule_id, tuple(findings), "rev"))
    if outcome.effect is Effect.ALLOW:
        assert {finding.effect for finding in findings} == {Effect.ALLOW}
    if (effect, rule_id) != (honest(findings).effect, honest(findings).rule_id):
        assert (outcome.effect, outcome.rule_id) == (Effect.DENY, rule_ids.ANSWER_INVALID)
        assert "its findings give" in outcome.invalid_verdict_detail


def test_no_finding_is_a_deny_of_its_own() -> None:
    outcome = deny_overrides(Verdict(Effect.DENY, rule_ids.NO_RULE_MATCHED, (), "rev"))
    assert (outcome.effect, outcome.rule_id) == (Effect.DENY, "pdp.no_rule_matched")


def test_an_allow_without_findings_is_not_believed() -> None:
    outcome = deny_overrides(Verdict(Effect.ALLOW, "a.one", (), "rev"))
    assert (outcome.effect, outcome.rule_id) == (Effect.DENY, "pdp.answer_invalid")


@pytest.mark.parametrize("rule_id", sorted(rule_ids.REASONS))
def test_each_way_of_not_deciding_is_a_deny_with_a_reason(rule_id: str) -> None:
    outcome = deny_overrides(Indeterminate(rule_id, "cause"))
    assert (outcome.effect, outcome.rule_id) == (Effect.DENY, rule_id)
    assert outcome.reason
    assert denied_by_pdp(rule_id) == outcome
    assert outcome.findings == ()


def test_what_is_known_of_why_is_a_finding_of_its_own() -> None:
    outcome = deny_overrides(Indeterminate(rule_ids.ENGINE_ERROR, "cause", {"line": 7}))
    reason = rule_ids.REASONS[rule_ids.ENGINE_ERROR]
    assert outcome.findings == (Finding(Effect.DENY, rule_ids.ENGINE_ERROR, reason, {"line": 7}),)


def approval_of(*details: dict[str, Any]) -> Any:
    findings = [Finding(Effect.REQUIRE_APPROVAL, f"r.n{index}", "why", each) for index, each in enumerate(details)]
    outcome = deny_overrides(honest(findings))
    return outcome.approval or outcome.rule_id


def test_an_approval_satisfies_every_finding() -> None:
    anybody: dict[str, Any] = {"quorum": 1, "approver_roles": []}
    assert (approval_of(anybody).quorum, approval_of(anybody).approver_roles) == (1, ())
    both = approval_of({"quorum": 2, "approver_roles": ["b", "a"]}, {"quorum": 1, "approver_roles": ["a", "b", "c"]})
    assert (both.quorum, both.approver_roles) == (2, ("a", "b"))
    assert approval_of(anybody, {"quorum": 1, "approver_roles": ["lead"]}).approver_roles == ("lead",)


@pytest.mark.parametrize(
    "wrong",
    [
        {"quorum": 0},
        {"quorum": 17},
        {"quorum": True},
        {"quorum": "2"},
        {"quorum": 1.5},
        {"quorum": None},
        {"quorum": ...},
        {"approver_roles": "lead"},
        {"approver_roles": [""]},
        {"approver_roles": [1]},
        {"approver_roles": None},
        {"approver_roles": ...},
    ],
)
def test_an_approval_that_cannot_be_read_is_a_deny_that_says_why(wrong: dict[str, Any]) -> None:
    details = {"quorum": 2, "quorm": 2, "approver_roles": [], **wrong}
    findings = [Finding(Effect.REQUIRE_APPROVAL, "r.n", "why", {k: v for k, v in details.items() if v is not ...})]
    outcome = deny_overrides(honest(findings))
    assert (outcome.effect, outcome.rule_id) == (Effect.DENY, "pdp.answer_invalid")
    assert f"r.n: details.{next(iter(wrong))} must be" in outcome.invalid_verdict_detail


def test_approvals_that_nobody_can_give_are_a_deny() -> None:
    one, other = ({"quorum": 1, "approver_roles": [role]} for role in ("a", "b"))
    assert approval_of(one, other) == "pdp.answer_invalid"


def test_distinct_roles_fewer_than_the_quorum_could_never_agree() -> None:
    details = {"quorum": 2, "approver_roles": ["maker"], "distinct_roles": True}
    finding = Finding(Effect.REQUIRE_APPROVAL, "pay.large", "It is much", details)
    with pytest.raises(NoApprovalError, match="the quorum needs 2 distinct roles, but only 1 may approve"):
        approval_for([finding])
    both = replace(finding, details={**details, "approver_roles": ["checker", "maker"]})
    assert approval_for([both]) == ApprovalRequirement(2, ("checker", "maker"), distinct_roles=True)
