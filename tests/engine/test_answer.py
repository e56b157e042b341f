"""Whatever OPA answers: it is believed exactly when it is a valid decision at the expected revision."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import orjson
import pytest
from hypothesis import given
from hypothesis import strategies as st

from placet.decision.combining import deny_overrides
from placet.engine.answer import AnswerError, read_answer
from placet.kernel.limits import FINDING_DETAILS_BYTES_MAX
from placet.kernel.model import Effect, Indeterminate, Obligation, Verdict
from placet.policy.rego.rule_locations import RuleLocations

if TYPE_CHECKING:
    from collections.abc import Mapping

REVISION = "r1"
FINDING: dict[str, Any] = {"effect": "allow", "rule_id": "a.b", "reason": "because", "details": {}}
ALLOW: dict[str, Any] = {"effect": "allow", "rule_id": "a.b", "findings": [FINDING]}
JSON = st.recursive(
    st.none() | st.booleans() | st.integers(-(2**53), 2**53) | st.sampled_from(["allow", "deny", "a.b", "0", REVISION]),
    lambda inner: (
        st.lists(inner, max_size=3)
        | st.dictionaries(
            st.sampled_from(
                [
                    "effect",
                    "rule_id",
                    "findings",
                    "reason",
                    "details",
                    "result",
                    "provenance",
                    "bundles",
                    "0",
                    "revision",
                ]
            ),
            inner,
            max_size=5,
        )
    ),
    max_leaves=25,
)


def body(decision: Any = ALLOW, **more: Any) -> bytes:
    answer = {"provenance": {"bundles": {"b": {"revision": REVISION}}}, "result": {"0": decision}, **more}
    return orjson.dumps({key: value for key, value in answer.items() if value is not ...})


def ask(raw: bytes, status: int = 200, asked: int = 1) -> list[Verdict | Indeterminate]:
    return read_answer(status, raw, asked, REVISION)


def test_a_valid_answer() -> None:
    [verdict] = ask(body())
    assert isinstance(verdict, Verdict)
    assert (verdict.effect, verdict.rule_id, verdict.policy_revision) == (Effect.ALLOW, "a.b", REVISION)


def test_a_missing_index_is_undefined_for_that_input_alone() -> None:
    first, second = read_answer(200, body(), 2, REVISION)
    assert isinstance(first, Verdict)
    assert isinstance(second, Indeterminate)
    assert second.rule_id == "pdp.undefined"


@pytest.mark.parametrize(
    ("raw", "status", "rule_id"),
    [
        (b"", 200, "pdp.answer_invalid"),
        (b"<html>", 200, "pdp.answer_invalid"),
        (b"<html>", 502, "pdp.engine_error"),
        (b'{"code":"internal_error"}', 500, "pdp.engine_error"),
        (body(), 500, "pdp.engine_error"),
        (b"[]", 200, "pdp.answer_invalid"),
        (body(result=...), 200, "pdp.undefined"),
        (body(result=[]), 200, "pdp.answer_invalid"),
        (body(result=True), 200, "pdp.answer_invalid"),
        (body(result={"1": ALLOW}), 200, "pdp.answer_invalid"),
        (body(provenance=...), 200, "pdp.answer_invalid"),
        (body(provenance={"bundles": {}}), 200, "pdp.answer_invalid"),
        (
            body(provenance={"bundles": {"a": {"revision": REVISION}, "b": {"revision": REVISION}}}),
            200,
            "pdp.answer_invalid",
        ),
        (body(provenance={"bundles": {"a": {"revision": ""}}}), 200, "pdp.answer_invalid"),
        (body(provenance={"bundles": {"a": {"revision": "r2"}}}), 200, "pdp.answer_invalid"),
    ],
)
def test_an_answer_that_cannot_be_believed(raw: bytes, status: int, rule_id: str) -> None:
    with pytest.raises(AnswerError) as refused:
        ask(raw, status)
    assert refused.value.rule_id == rule_id


@pytest.mark.parametrize(
    "decision",
    [
        None,
        True,
        "allow",
        {},
        {**ALLOW, "allow": True},
        {**ALLOW, "effect": "ALLOW"},
        {**ALLOW, "effect": "permit"},
        {**ALLOW, "effect": None},
        {**ALLOW, "effect": ["allow"]},
        {**ALLOW, "rule_id": ""},
        {**ALLOW, "rule_id": 7},
        {**ALLOW, "rule_id": "a" * 129},
        {**ALLOW, "rule_id": "a..b"},
        {**ALLOW, "rule_id": "a.b\n"},
        {**ALLOW, "findings": {}},
        {**ALLOW, "findings": ["allow"]},
        {**ALLOW, "findings": [{**FINDING, "extra": 1}]},
        {**ALLOW, "findings": [{**FINDING, "effect": "maybe"}]},
        {**ALLOW, "findings": [{**FINDING, "reason": None}]},
        {**ALLOW, "findings": [{**FINDING, "reason": "x" * 1025}]},
        {**ALLOW, "findings": [{**FINDING, "details": []}]},
        {**ALLOW, "findings": [{**FINDING, "rule_id": "pdp.no_rule_matched"}]},
    ],
)
def test_a_decision_of_the_wrong_shape_is_no_verdict(decision: Any) -> None:
    [verdict] = ask(body(decision))
    assert isinstance(verdict, Indeterminate)
    assert verdict.rule_id == "pdp.answer_invalid"


MODULES = {
    "policy/a/a.rego": b"""package policy.a

# METADATA
# title: Why
# custom:
#   rule_id: a.b
deny contains finding(rego.metadata.rule(), {}) if {
\t_now > 1
}

_now := time.parse_rfc3339_ns(input.now)
""",
}
PLACES = RuleLocations(MODULES)


def kept(details: str) -> Mapping[str, Any]:
    finding = orjson.dumps(FINDING).replace(b'"details":{}', b'"details":' + details.encode())
    [verdict] = ask(body().replace(orjson.dumps(FINDING), finding))
    assert isinstance(verdict, Verdict)
    assert (verdict.effect, verdict.rule_id) == (Effect.ALLOW, "a.b")
    [found] = verdict.findings
    assert len(orjson.dumps(found.details)) <= FINDING_DETAILS_BYTES_MAX
    return found.details


def test_details_that_are_too_large_are_left_out_and_marked_and_the_rest_stays() -> None:
    large = "y" * FINDING_DETAILS_BYTES_MAX
    assert kept(f'{{"x": "{large}", "n": 1}}') == {"n": 1, "truncated": ["x"]}
    assert kept(f'{{"x": "{large}"}}') == {"truncated": ["x"]}
    halves = kept(f'{{"a": "{large[:5000]}", "b": "{large[:5001]}", "approver_roles": ["lead"], "quorum": 2}}')
    assert halves == {"a": large[:5000], "approver_roles": ["lead"], "quorum": 2, "truncated": ["b"]}


def test_details_too_deep_to_be_recorded_are_left_out_and_marked() -> None:
    assert kept('{"deep": ' + '{"a":' * 300 + "1" + "}" * 301) == {"truncated": ["deep"]}


def test_many_members_with_long_names_stay_within_the_limit() -> None:
    names = {f"{'é' * 200}{number}": "x" * 50 for number in range(500)}
    details = kept(orjson.dumps(names).decode())
    assert 1 <= len(details["truncated"]) <= 16
    assert max(len(name) for name in details["truncated"]) == 64


def obliging(obligations: Any, **details: Any) -> list[Verdict | Indeterminate]:
    finding = {**FINDING, "details": {"obligations": obligations, **details}}
    return read_answer(200, body({**ALLOW, "findings": [finding]}), 1, REVISION, PLACES)


def test_obligations_are_read_from_the_details_and_stay_there() -> None:
    [verdict] = obliging([{"id": "redact_output", "fields": ["email"]}])
    assert isinstance(verdict, Verdict)
    assert verdict.obligations == {Effect.ALLOW: (Obligation("redact_output", {"fields": ["email"]}),)}
    assert verdict.findings[0].details == {"obligations": [{"id": "redact_output", "fields": ["email"]}]}


def test_obligations_outlive_details_that_are_too_large() -> None:
    large = {"id": "redact_output", "fields": ["x" * 5_000]}
    [verdict] = obliging([large], note="y" * 4_000)
    assert isinstance(verdict, Verdict)
    assert verdict.findings[0].details == {"note": "y" * 4_000, "truncated": ["obligations"]}
    assert verdict.obligations == {Effect.ALLOW: (Obligation("redact_output", {"fields": ["x" * 5_000]}),)}


@pytest.mark.parametrize(
    ("obligations", "why"),
    [
        (None, "details.obligations must be a list of objects with an id"),
        ([{"id": "Card 4111"}], "details.obligations.0.id must be a name"),
        ([{"id": f"o{number}"} for number in range(17)], "a decision can have 16 obligations"),
        ([{"id": "a", "x": "y" * 8_192}], "details.obligations can have 8192 bytes"),
    ],
)
def test_obligations_of_the_wrong_shape_make_the_verdict_invalid(obligations: Any, why: str) -> None:
    [verdict] = obliging(obligations)
    assert isinstance(verdict, Indeterminate)
    assert verdict.rule_id == "pdp.answer_invalid"
    assert why in verdict.cause
    assert verdict.details["why"].startswith(why)
    assert verdict.details["rules"] == ["a.b"]
    assert verdict.details["where"] == {"a.b": "policy/a/a.rego:6"}
    assert "4111" not in str(verdict)


DETAIL_KEYS = st.text(max_size=300).filter(lambda key: key != "obligations")
"""Any key but the one whose value must have a certain form."""


@given(st.dictionaries(DETAIL_KEYS, st.text(max_size=3_000) | st.integers(0, 9), max_size=30))
def test_whatever_the_details_are_they_can_be_kept(details: dict[str, Any]) -> None:
    found = dict(kept(orjson.dumps(details).decode()))
    if found != details:
        assert found.pop("truncated")
        assert found.items() <= details.items()


def failure(**error: Any) -> bytes:
    return orjson.dumps({"code": "internal_error", "message": "error(s) occurred", "errors": [error]})


PARSING = 'time.parse_rfc3339_ns: parsing time "4111 1111 1111 1111" as "2006-01-02T15:04:05Z07:00"'
AT = {"file": "/data/bundle.tar.gz/policy/a/a.rego", "row": 11, "col": 9}


@pytest.mark.parametrize(
    ("raw", "details"),
    [
        (
            failure(code="eval_builtin_error", message=PARSING, location=AT),
            {
                "code": "eval_builtin_error",
                "builtin": "time.parse_rfc3339_ns",
                "file": "policy/a/a.rego",
                "line": 11,
                "rule": "_now",
            },
        ),
        (
            failure(code="eval_conflict_error", message="complete rules must not: produce", location={**AT, "row": 8}),
            {"code": "eval_conflict_error", "file": "policy/a/a.rego", "line": 8, "rule": "deny", "rule_id": "a.b"},
        ),
        (
            failure(code="eval_builtin_error", message="x y: z", location={**AT, "file": "/b.tar.gz/q/q.rego"}),
            {"code": "eval_builtin_error", "file": "q/q.rego", "line": 11},
        ),
        (failure(code="Card 4111", message=7, location={"file": 1, "row": "2"}), {}),
        (orjson.dumps({"errors": [7]}), {}),
        (orjson.dumps([1]), {}),
    ],
)
def test_where_evaluation_failed_is_told_and_not_what_the_caller_sent(raw: bytes, details: dict[str, Any]) -> None:
    with pytest.raises(AnswerError) as refused:
        read_answer(500, raw, 1, REVISION, PLACES)
    verdict = refused.value.indeterminate()
    assert (verdict.rule_id, verdict.details) == ("pdp.engine_error", details)
    assert "4111" not in str(verdict.details)


def test_which_rule_gave_a_finding_of_the_wrong_shape_is_told() -> None:
    decision = {**ALLOW, "findings": [FINDING, {**FINDING, "details": ["x"]}]}
    [verdict] = read_answer(200, body(decision), 1, REVISION, PLACES)
    assert isinstance(verdict, Indeterminate)
    assert verdict.details == {
        "why": "details: not an object",
        "rules": ["a.b"],
        "where": {"a.b": "policy/a/a.rego:6"},
    }
    [verdict] = ask(body({**ALLOW, "findings": [{**FINDING, "rule_id": "pdp.undefined"}]}))
    assert isinstance(verdict, Indeterminate)
    assert verdict.details == {"why": "a rule uses an id that is reserved for Placet", "rules": ["pdp.undefined"]}


def is_allow_by_the_letter(decision: Any) -> bool:
    """The rule again, written from the documentation and not from the code."""
    return (
        isinstance(decision, dict)
        and decision.get("effect") == "allow"
        and isinstance(decision.get("findings"), list)
        and bool(decision["findings"])
        and all(isinstance(finding, dict) and finding.get("effect") == "allow" for finding in decision["findings"])
    )


@given(JSON)
def test_no_fuzzed_decision_becomes_an_allow_unless_it_is_one(decision: Any) -> None:
    [verdict] = ask(body(decision))
    if deny_overrides(verdict).effect is Effect.ALLOW:
        assert is_allow_by_the_letter(decision)


@given(JSON | st.binary(max_size=200), st.sampled_from([200, 204, 301, 400, 500]))
def test_no_fuzzed_answer_becomes_an_allow(answer: Any, status: int) -> None:
    raw = answer if isinstance(answer, bytes) else orjson.dumps(answer)
    try:
        verdicts = ask(raw, status)
    except AnswerError:
        return
    for verdict in verdicts:
        if deny_overrides(verdict).effect is Effect.ALLOW:
            assert status == 200
            assert is_allow_by_the_letter(answer["result"]["0"])


def test_any_named_revision_will_do_when_none_is_expected() -> None:
    [verdict] = read_answer(200, body(), 1, "")
    assert isinstance(verdict, Verdict)
