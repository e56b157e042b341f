"""Patterns of destinations: one meaning in Python and Rego, and no text of a caller makes a match slow."""

from __future__ import annotations

import json
import subprocess
from typing import TYPE_CHECKING, Final

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from placet.matching.separated_globs import DESTINATION_SEPARATORS, separated_glob_regex

if TYPE_CHECKING:
    from pathlib import Path

_PART: Final = st.sampled_from(
    [
        "*",
        "**",
        "?",
        "a",
        "b",
        ".",
        "/",
        "[ab]",
        "[!a]",
        "[a-b]",
        "{a,b.}",
        "{a,{b,.}}",
        "\\*",
        "\\.",
        ",",
        "^",
        "(",
        "é",
    ]
)
_CASES: Final = st.lists(
    st.tuples(st.lists(_PART, max_size=6).map("".join), st.text("ab./*,^(é\n", max_size=6)), min_size=200, max_size=200
)


@settings(max_examples=5, deadline=None, suppress_health_check=[HealthCheck.large_base_example, HealthCheck.too_slow])
@given(_CASES)
def test_destinations_mean_in_python_what_they_mean_in_rego(
    opa: Path, rego: Path, cases: list[tuple[str, str]]
) -> None:
    """Both translations give one expression, and where `glob.match` is sound it agrees."""
    query = """[[data.placet.lib.glob_regex(each.glob, each.separators), regex.match(each.expression, each.text),
        glob.match(each.glob, each.separators, each.text)] | some each in input]"""
    asked = [
        {"glob": glob, "expression": separated_glob_regex(glob), "separators": DESTINATION_SEPARATORS, "text": text}
        for glob, text in cases
    ]
    command: list[str | Path] = [
        opa,
        "eval",
        "--format",
        "json",
        "--stdin-input",
        "--data",
        rego / "placet/lib/globs.rego",
        query,
    ]
    ended = subprocess.run(command, input=json.dumps(asked), text=True, capture_output=True, check=True)
    answers = json.loads(ended.stdout)["result"][0]["expressions"][0]["value"]
    assert len(answers) == len(asked)
    for each, (expression, matches, by_opa) in zip(asked, answers, strict=True):
        assert expression == each["expression"]
        if not _gobwas_errs(str(each["glob"])):
            assert matches == by_opa, each


def _gobwas_errs(pattern: str) -> bool:
    """OPA's library takes ``?``, ``[!a]`` for nothing at the end of a text, and tells three ``*`` from two."""
    return "?" in pattern or "[!" in pattern or "***" in pattern


@pytest.mark.parametrize("pattern", ["*a" * 8 + "*b*", "**a?" * 8 + "**bb*", "*ab" * 8 + "*c"])
def test_no_destination_is_slow(opa: Path, pattern: str) -> None:
    """OPA's own time; `glob.match` takes minutes for the second."""
    asked = {"expression": separated_glob_regex(pattern), "text": "a" * 1_024}
    command: list[str | Path] = [
        opa,
        "eval",
        "--format",
        "json",
        "--metrics",
        "--stdin-input",
        "regex.match(input.expression, input.text)",
    ]
    ended = subprocess.run(command, input=json.dumps(asked), text=True, capture_output=True, check=True, timeout=60)
    answer = json.loads(ended.stdout)
    assert answer["result"][0]["expressions"][0]["value"] is False
    assert answer["metrics"]["timer_rego_query_eval_ns"] < 100_000_000
