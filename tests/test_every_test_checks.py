"""Every test asserts something: a test without an assertion passes even when the code is wrong."""

from __future__ import annotations

import ast
import re
from pathlib import Path
from typing import TYPE_CHECKING, Final

if TYPE_CHECKING:
    from collections.abc import Iterator

TESTS: Final = Path(__file__).parent
CHECKER: Final = re.compile(r"(assert|check|require)(_|$)")
"""Names of helpers that assert."""
PYTEST_CHECKERS: Final = {"raises", "warns", "fail"}
NO_RAISE: Final = "does_not_raise"
"""The end of the names of tests that check only that nothing is raised."""

TestFunction = ast.FunctionDef | ast.AsyncFunctionDef


def test_each_test_asserts_something() -> None:
    unchecked = [
        f"{path.relative_to(TESTS)}:{test.lineno} {test.name}"
        for path in sorted(TESTS.rglob("*.py"))
        for test in functions_in(path)
        if not test.name.endswith(NO_RAISE) and not any(is_check(node) for node in ast.walk(test))
    ]
    assert not unchecked, (
        "these tests assert nothing; assert a result, call a helper named check_*, assert_* or require_*, "
        f"or end the name with {NO_RAISE}"
    )


def functions_in(path: Path) -> Iterator[TestFunction]:
    for node in ast.walk(ast.parse(path.read_text())):
        if isinstance(node, TestFunction) and node.name.startswith("test_"):
            yield node


def is_check(node: ast.AST) -> bool:
    if isinstance(node, ast.Assert):
        return True
    if not isinstance(node, ast.Call):
        return False
    called = node.func.attr if isinstance(node.func, ast.Attribute) else getattr(node.func, "id", "")
    return called in PYTEST_CHECKERS or bool(CHECKER.match(called))


def test_a_helper_that_is_named_as_a_checker_asserts() -> None:
    """A test that calls a checker counts as checked, so the checker must assert or call another checker."""
    idle = [
        f"{path.relative_to(TESTS)}:{node.lineno} {node.name}"
        for path in sorted(TESTS.rglob("*.py"))
        for node in ast.walk(ast.parse(path.read_text()))
        if isinstance(node, TestFunction)
        if CHECKER.match(node.name) and not any(is_check(inner) for inner in ast.walk(node))
    ]
    assert not idle
