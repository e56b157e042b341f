"""Whatever OPA answers: it is believed exactly when it is a valid decision at the expected revision."""

from __future__ import annotations

from typing import Any

import orjson
import pytest
from hypothesis import given
from hypothesis import strategies as st

from placet.core.combine import combine
from placet.core.model import Effect, NoVerdict, Verdict
from placet.opa.answer import AnswerError, read_answer

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


def ask(raw: bytes, status: int = 200, asked: int = 1) -> list[Verdict | NoVerdict]:
    return read_answer(status, raw, asked, REVISION)


def test_a_valid_answer() -> None:
    [verdict] = ask(body())
    assert isinstance(verdict, Verdict)
    assert (verdict.effect, verdict.rule_id, verdict.policy_revision) == (Effect.ALLOW, "a.b", REVISION)


def test_a_missing_index_is_undefined_for_that_input_alone() -> None:
    first, second = read_answer(200, body(), 2, REVISION)
    assert isinstance(first, Verdict)
    assert isinstance(second, NoVerdict)
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
        {**ALLOW, "findings": [FINDING] * 257},
        {**ALLOW, "findings": ["allow"]},
        {**ALLOW, "findings": [{**FINDING, "extra": 1}]},
        {**ALLOW, "findings": [{**FINDING, "effect": "maybe"}]},
        {**ALLOW, "findings": [{**FINDING, "reason": None}]},
        {**ALLOW, "findings": [{**FINDING, "reason": "x" * 1025}]},
        {**ALLOW, "findings": [{**FINDING, "details": []}]},
        {**ALLOW, "findings": [{**FINDING, "details": {"x": "y" * 9000}}]},
        {**ALLOW, "findings": [{**FINDING, "rule_id": "pdp.no_rule_matched"}]},
    ],
)
def test_a_decision_of_the_wrong_shape_is_no_verdict(decision: Any) -> None:
    [verdict] = ask(body(decision))
    assert isinstance(verdict, NoVerdict)
    assert verdict.rule_id == "pdp.answer_invalid"


def test_details_too_deep_to_be_recorded_are_no_verdict() -> None:
    finding = orjson.dumps(FINDING).replace(b'"details":{}', b'"details":' + b'{"a":' * 300 + b"1" + b"}" * 300)
    [verdict] = ask(body().replace(orjson.dumps(FINDING), finding))
    assert isinstance(verdict, NoVerdict)
    assert verdict.rule_id == "pdp.answer_invalid"


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
    if combine(verdict).effect is Effect.ALLOW:
        assert is_allow_by_the_letter(decision)


@given(JSON | st.binary(max_size=200), st.sampled_from([200, 204, 301, 400, 500]))
def test_no_fuzzed_answer_becomes_an_allow(answer: Any, status: int) -> None:
    raw = answer if isinstance(answer, bytes) else orjson.dumps(answer)
    try:
        verdicts = ask(raw, status)
    except AnswerError:
        return
    for verdict in verdicts:
        if combine(verdict).effect is Effect.ALLOW:
            assert status == 200
            assert is_allow_by_the_letter(answer["result"]["0"])


def test_any_named_revision_will_do_when_none_is_expected() -> None:
    [verdict] = read_answer(200, body(), 1, "")
    assert isinstance(verdict, Verdict)
