"""Patterns of tools: what they stand for, and that no text of a caller makes a match slow."""

from __future__ import annotations

import re
import time
from typing import Final

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from placet.kernel.limits import GLOB_STARS_MAX, TOOL_CHARS_MAX
from placet.matching.globs import _parts, glob_error, glob_matches, is_glob
from placet.tenants.policy import TenantPolicy

CPU_MS_MAX: Final = 5
"""For one match. A backtracking matcher takes 50 s for the shortest of HOSTILE, this one less than 0.1 ms."""
HOSTILE: Final = [
    ("*a" * 12 + "*b", "a" * 32),
    ("*a" * 12 + "*b", "a" * TOOL_CHARS_MAX),
    ("*" * 64 + "b", "a" * TOOL_CHARS_MAX),
    ("*a?" * 42 + "b", "a" * TOOL_CHARS_MAX),
    ("*?" * 63 + "b", "a" * TOOL_CHARS_MAX),
    ("*?" + "a" * 62 + "b*", "a" * TOOL_CHARS_MAX),
    ("*ab" * 40 + "*c", "ab" * 64),
    ("a*" * 63 + "b", "a" * TOOL_CHARS_MAX),
    ("*aaaaaaaab" * 8 + "*", "a" * 127 + "b"),
]


def reference(pattern: str, name: str) -> bool:
    """One row per character of the pattern: whether what was read of it stands for each beginning of the name."""
    row = [True] + [False] * len(name)
    for wanted in pattern:
        if wanted == "*":
            first = row.index(True) if True in row else len(row)
            row = [place >= first for place in range(len(row))]
        else:
            row = [False] + [was and wanted in {"?", char} for was, char in zip(row, name, strict=False)]
    return row[-1]


@pytest.mark.parametrize(
    ("pattern", "name", "stands"),
    [
        ("stripe.refund", "stripe.refund", True),
        ("stripe.refund", "stripe.refunds", False),
        ("stripe.*", "stripe.refund", True),
        ("stripe.*", "stripe.", True),
        ("stripe.*", "stripe", False),
        ("*", "", True),
        ("*.refund", "a.b.refund", True),
        ("a*a", "a", False),
        ("a*a", "aa", True),
        ("a*ab*b", "abab", False),
        ("a*ab*b", "aabb", True),
        ("a*bc*c", "abc", False),
        ("?.b", "a.b", True),
        ("?", "ab", False),
        ("a?c*", "abcd", True),
        ("A*", "ab", False),
        ("a.*", "ab", False),
        ("a*", "a\nb", True),
    ],
)
def test_what_a_pattern_stands_for(pattern: str, name: str, *, stands: bool) -> None:
    assert glob_matches(pattern, name) is stands is reference(pattern, name)


@settings(max_examples=500)
@given(st.text("ab.*?", max_size=14), st.text("ab.", max_size=14))
def test_it_agrees_with_the_reference(pattern: str, name: str) -> None:
    assert glob_matches(pattern, name) == reference(pattern, name)


@pytest.mark.parametrize(("pattern", "name"), HOSTILE)
def test_no_pattern_is_slow(pattern: str, name: str) -> None:
    started = time.thread_time()
    matched = glob_matches(pattern, name)
    assert (time.thread_time() - started) * 1_000 < CPU_MS_MAX
    assert matched == reference(pattern, name)


@settings(max_examples=200)
@given(
    st.lists(st.sampled_from(["*", "**", "a", "ab", "?", "b", "a?b", "."]), min_size=8, max_size=64),
    st.lists(st.sampled_from(["a", "b", "ab", "aab", "."]), min_size=40, max_size=80),
)
def test_no_long_pattern_is_slow(pattern: list[str], name: list[str]) -> None:
    glob, text = "".join(pattern)[:TOOL_CHARS_MAX], "".join(name)[:TOOL_CHARS_MAX]
    started = time.thread_time()
    matched = glob_matches(glob, text)
    assert (time.thread_time() - started) * 1_000 < CPU_MS_MAX
    assert matched == reference(glob, text)


@given(st.text("ab.*?+(|{[\\^$", max_size=30))
def test_its_expressions_cannot_backtrack(pattern: str) -> None:
    parts = _parts(pattern)
    assert len(parts.middle) <= pattern.count("*")
    for each in (parts.head, *parts.middle, *([parts.tail] if parts.tail else [])):
        unescaped = re.sub(r"\\.", "", each.pattern, flags=re.DOTALL)
        assert not set(unescaped) & set("*+?{|("), "a repetition or a choice is what an expression goes back to"


def test_a_glob_is_told_from_a_name() -> None:
    assert is_glob("a*")
    assert is_glob("a?")
    assert not is_glob("a.b")


def test_new_patterns_have_few_asterisks() -> None:
    assert not glob_error("*a" * GLOB_STARS_MAX)
    assert glob_error("*" * (GLOB_STARS_MAX + 1)) == "has 9 *; at most 8 are accepted"


@pytest.mark.parametrize(
    ("section", "what"),
    [
        ({"autonomy": {"rules": [{"tool": "*a" * 9, "level": "execute"}]}}, "has 9 *; at most 8 are accepted"),
        (
            {"budgets": [{"id": "b", "scope": "user", "measure": "calls", "limit": 1, "window": "day"}]},
            "has 9 *; at most 8 are accepted",
        ),
        ({"destinations": {"a": ["**a*b" * 5]}}, "has 10 * and **; at most 8 are accepted"),
    ],
)
def test_a_tenants_file_has_few_asterisks_in_a_pattern(section: dict[str, object], what: str) -> None:
    for budget in section.get("budgets", ()):  # type: ignore[attr-defined] # a list of mappings
        budget["match"] = {"tools": ["*a" * 9]}
    with pytest.raises(ValueError, match=re.escape(what)):
        TenantPolicy.model_validate({"allowed_tools": ["a"], **section})
