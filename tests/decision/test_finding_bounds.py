"""Findings too large for a record are left out as whole members, and the record says which."""

from __future__ import annotations

import orjson
import pytest
from hypothesis import given
from hypothesis import strategies as st

from placet.decision.finding_bounds import TRUNCATED, bounded_details, bounded_findings
from placet.kernel.limits import FINDING_DETAILS_BYTES_MAX, FINDINGS_MAX
from placet.kernel.model import Effect, Finding

SIZES = st.dictionaries(st.text(min_size=1, max_size=400), st.integers(0, FINDING_DETAILS_BYTES_MAX), max_size=24)


@given(SIZES)
def test_bounded_details_never_exceed_the_limit_and_name_what_they_left_out(sizes: dict[str, int]) -> None:
    details = {name: "x" * size for name, size in sizes.items()}
    bounded = bounded_details(dict(details))
    assert len(orjson.dumps(bounded)) <= FINDING_DETAILS_BYTES_MAX
    kept = {name: value for name, value in bounded.items() if name != TRUNCATED or name in details}
    assert kept.items() <= details.items()
    assert (TRUNCATED in bounded) >= (kept != details)


def test_details_that_fit_exactly_stay_whole() -> None:
    overhead = len(orjson.dumps({"a": ""}))
    fits = {"a": "x" * (FINDING_DETAILS_BYTES_MAX - overhead)}
    assert bounded_details(dict(fits)) == fits
    assert bounded_details({"a": fits["a"] + "x"}) == {TRUNCATED: ["a"]}


def test_what_an_approval_needs_is_kept_before_smaller_members() -> None:
    roles = ["r" * 100] * (FINDING_DETAILS_BYTES_MAX // 103 - 20)
    bounded = bounded_details({"a": "x" * 3_000, "approver_roles": roles})
    assert bounded == {"approver_roles": roles, TRUNCATED: ["a"]}


@pytest.mark.parametrize("extra", [0, 1, 7])
def test_the_first_finding_says_how_many_are_left_out(extra: int) -> None:
    findings = tuple(Finding(Effect.ALLOW, f"a.{number:04}", "why", {}) for number in range(FINDINGS_MAX + extra))
    bounded = bounded_findings(findings)
    assert len(bounded) == FINDINGS_MAX
    assert bounded[0].details == ({"findings_left_out": extra} if extra else {})
