"""The answer for one input: three lists of packs' findings, of exactly these keys and types."""

from __future__ import annotations

import json
from typing import Any

import orjson
import pytest
from hypothesis import given
from hypothesis import strategies as st

from placet.decision.combining import deny_overrides
from placet.engine.answer import read_answer
from placet.engine.verdicts import NO_PLACES, read_verdict
from placet.kernel.limits import FINDING_DETAILS_BYTES_MAX
from placet.kernel.model import Effect, Finding, Indeterminate, Obligation, Verdict
from placet.policy.rego.rule_locations import RuleLocations

PLACES = RuleLocations(
    {"policy/a/a.rego": b"package policy.a\n\n# METADATA\n# custom:\n#   rule_id: a.b\ndeny contains 1\n"}
)
NOTHING: dict[str, Any] = {"deny": [], "require_approval": [], "allow": []}
FINDING: dict[str, Any] = {"rule_id": "a.b", "reason": "because", "details": {}}
ASK: dict[str, Any] = {"rule_id": "z.z", "reason": "", "details": {"quorum": 1, "approver_roles": []}}
ALLOW: dict[str, Any] = {**NOTHING, "allow": [[], [FINDING]]}


def read(answer: Any) -> Verdict | Indeterminate:
    raw = answer if isinstance(answer, bytes) else orjson.dumps(answer)
    return read_verdict(raw, "0", "r1", PLACES)


def test_an_answer_without_details_is_decoded_once_for_each_revision() -> None:
    raw = orjson.dumps(ALLOW)
    first, second, other = (read_verdict(raw, "0", revision, PLACES) for revision in ("r1", "r1", "r2"))
    assert first is second
    assert isinstance(other, Verdict)
    assert other.policy_revision == "r2"


def test_details_are_decoded_for_each_action() -> None:
    """They may quote a request, so they are not kept: neither as OPA writes them, nor with blanks or escapes."""
    raw = orjson.dumps({**ALLOW, "allow": [[{**FINDING, "details": {"a": 1}}]]})
    for spelled in (raw, raw.replace(b'"details":', b'"details" :'), raw.replace(b'"details"', b'"d\\u0065tails"')):
        first, second = (read_verdict(spelled, "0", "r1", PLACES) for _ in range(2))
        assert isinstance(first, Verdict)
        assert first == second
        assert first.findings[0].details is not second.findings[0].details


def test_the_findings_of_all_packs_are_read_by_effect() -> None:
    answer = {
        "deny": [[{**FINDING, "rule_id": "d.two"}], [{**FINDING, "rule_id": "d.one", "details": {"x": [1.5, None]}}]],
        "require_approval": [[{**FINDING, "rule_id": "r.one"}]],
        "allow": [[], [{**FINDING, "rule_id": "a.one"}]],
    }
    verdict = read(answer)
    assert isinstance(verdict, Verdict)
    assert (verdict.effect, verdict.rule_id, verdict.policy_revision) == (Effect.DENY, "d.one", "r1")
    assert verdict.findings == (
        Finding(Effect.DENY, "d.two", "because"),
        Finding(Effect.DENY, "d.one", "because", {"x": [1.5, None]}),
        Finding(Effect.REQUIRE_APPROVAL, "r.one", "because"),
        Finding(Effect.ALLOW, "a.one", "because"),
    )


@pytest.mark.parametrize(
    ("answer", "effect", "rule_id"),
    [
        (NOTHING, "deny", "pdp.no_rule_matched"),
        ({**NOTHING, "allow": [[], []]}, "deny", "pdp.no_rule_matched"),
        (ALLOW, "allow", "a.b"),
        ({**ALLOW, "require_approval": [[ASK]]}, "require_approval", "z.z"),
        ({**ALLOW, "deny": [[{**FINDING, "rule_id": "z.z"}]]}, "deny", "z.z"),
        ({**NOTHING, "allow": [[FINDING, {**FINDING, "rule_id": "Z_ONE"}]]}, "allow", "Z_ONE"),
    ],
)
def test_the_precedence_is_applied_to_the_three_lists(answer: Any, effect: str, rule_id: str) -> None:
    verdict = read(answer)
    assert isinstance(verdict, Verdict)
    assert (verdict.effect, verdict.rule_id) == (effect, rule_id)
    assert deny_overrides(verdict).rule_id == rule_id


@pytest.mark.parametrize(
    ("answer", "why"),
    [
        (b"", "truncated"),
        (None, "null"),
        (True, "bool"),
        ([], "array"),
        ({}, "deny"),
        ({"deny": [], "allow": []}, "require_approval"),
        ({**ALLOW, "effect": "allow"}, "effect"),
        ({**ALLOW, "deny": None}, "deny"),
        ({**ALLOW, "deny": {}}, "deny"),
        ({**ALLOW, "deny": [{}]}, "deny"),
        ({**ALLOW, "deny": [FINDING]}, "deny"),
        ({**ALLOW, "deny": [[["a.b"]]]}, "deny[0][0]"),
        ({**ALLOW, "deny": [[{"message": "no"}]]}, "deny[0][0]"),
        ({**ALLOW, "deny": [[{**FINDING, "effect": "allow"}]]}, "effect"),
        ({**ALLOW, "allow": [[{"rule_id": "a.b", "details": {}}]]}, "reason"),
        ({**ALLOW, "allow": [[{**FINDING, "reason": 7}]]}, "allow[0][0].reason"),
        ({**ALLOW, "allow": [[{**FINDING, "reason": "x" * 1025}]]}, "allow[0][0].reason"),
        ({**ALLOW, "allow": [[{**FINDING, "rule_id": ""}]]}, "allow[0][0].rule_id"),
        ({**ALLOW, "allow": [[{**FINDING, "rule_id": "a..b"}]]}, "allow[0][0].rule_id"),
        ({**ALLOW, "allow": [[{**FINDING, "rule_id": "a.b\n"}]]}, "allow[0][0].rule_id"),
        ({**ALLOW, "allow": [[{**FINDING, "rule_id": "a" * 129}]]}, "allow[0][0].rule_id"),
        ({**ALLOW, "allow": [[{**FINDING, "rule_id": "pdp.undefined"}]]}, "reserved"),
        ({**ALLOW, "allow": [[{**FINDING, "details": []}]]}, "details"),
        ({**ALLOW, "allow": [[{**FINDING, "details": None}]]}, "details"),
    ],
)
def test_an_answer_of_another_shape_is_no_verdict(answer: Any, why: str) -> None:
    verdict = read(answer)
    assert isinstance(verdict, Indeterminate)
    assert verdict.rule_id == "pdp.answer_invalid"
    assert why in verdict.details["why"]
    assert why in verdict.cause


def test_the_rule_of_a_wrong_finding_is_named_with_its_place() -> None:
    verdict = read({**ALLOW, "deny": [[{**FINDING, "rule_id": "b.c"}, {**FINDING, "reason": 7}]]})
    assert isinstance(verdict, Indeterminate)
    assert verdict.details == {
        "why": "deny[0][1].reason: Expected `str`, got `int`",
        "rules": ["a.b"],
        "where": {"a.b": "policy/a/a.rego:5"},
    }


@pytest.mark.parametrize("levels", [300, 2_000, 100_000])
def test_details_that_nest_deeply_are_marked_or_refused_and_spoil_no_other_answer(levels: int) -> None:
    deep = orjson.dumps(ALLOW).replace(b'"details":{}', b'"details":{"x":%b%b}' % (b"[" * levels, b"]" * levels))
    body = b'{"provenance":{"bundles":{"b":{"revision":"r1"}}},"result":{"0":%b,"1":%b}}' % (deep, orjson.dumps(ALLOW))
    try:
        first, second = read_answer(200, body, 2, "r1", NO_PLACES)
    except Exception as error:  # noqa: BLE001 - the test names the only one that may be raised
        assert levels > 300
        assert getattr(error, "rule_id", "") == "pdp.answer_invalid"  # noqa: PT017
        return
    assert isinstance(second, Verdict)
    if isinstance(first, Verdict):
        assert first.findings[0].details == {"truncated": ["x"]}
    else:
        assert first.rule_id == "pdp.answer_invalid"


def test_a_wrong_answer_spoils_no_other() -> None:
    body = orjson.dumps(
        {"provenance": {"bundles": {"b": {"revision": "r1"}}}, "result": {"0": {**ALLOW, "deny": 1}, "1": ALLOW}}
    )
    first, second = read_answer(200, body, 2, "r1")
    assert isinstance(first, Indeterminate)
    assert isinstance(second, Verdict)


def test_details_that_are_too_large_are_cut_and_their_obligations_stay() -> None:
    details = {"obligations": [{"id": "redact_output", "fields": ["x" * 5_000]}], "note": "y" * 4_000}
    verdict = read({**NOTHING, "allow": [[{**FINDING, "details": details}]]})
    assert isinstance(verdict, Verdict)
    assert verdict.findings[0].details == {"note": "y" * 4_000, "truncated": ["obligations"]}
    assert verdict.obligations == {Effect.ALLOW: (Obligation("redact_output", {"fields": ["x" * 5_000]}),)}
    long = read({**NOTHING, "allow": [[{**FINDING, "details": {"x": "y" * FINDING_DETAILS_BYTES_MAX}}]]})
    assert isinstance(long, Verdict)
    assert long.findings[0].details == {"truncated": ["x"]}


JSON = st.recursive(
    st.none() | st.booleans() | st.integers(-(2**70), 2**70) | st.sampled_from(["a.b", "because", "allow"]),
    lambda inner: (
        st.lists(inner, max_size=3)
        | st.dictionaries(
            st.sampled_from(
                ["deny", "require_approval", "allow", "rule_id", "reason", "details", "findings", "effect"]
            ),
            inner,
            max_size=5,
        )
    ),
    max_leaves=30,
)
PACKS = st.lists(
    st.lists(st.fixed_dictionaries({"rule_id": st.just("a.b"), "reason": st.just(""), "details": st.just({})}) | JSON)
)


@given(st.fixed_dictionaries({"deny": PACKS, "require_approval": PACKS, "allow": PACKS}) | JSON)
def test_no_fuzzed_answer_becomes_an_allow_unless_it_has_only_allows(answer: Any) -> None:
    verdict = read(answer if isinstance(answer, bytes) else json.dumps(answer).encode())
    if isinstance(verdict, Verdict) and verdict.effect is Effect.ALLOW and "findings" not in answer:
        assert any(answer["allow"])
        assert not any(answer["deny"])
        assert not any(answer["require_approval"])
