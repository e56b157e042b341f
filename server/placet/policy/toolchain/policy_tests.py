"""Run the tests of a policy tree with ``opa test``, and measure which lines they cover."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Final

import orjson

from placet.kernel.errors import Diagnostic
from placet.policy.files.tree import CAPABILITIES
from placet.policy.toolchain.process import first_line, run

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping
    from pathlib import Path

    from placet.policy.files.tree import PolicyTree

TESTS_TIMEOUT_SECONDS: Final = 540.0
"""Limit for all tests of a tree. Some thousands take seconds."""
COVERAGE_PERCENT: Final = 100.0
"""Share of the lines of each module that the tests must cover."""


@dataclass(frozen=True, slots=True)
class Coverage:
    """The coverage of one module, in lines."""

    file: str
    covered: int
    lines: int  # that can be covered
    missed: tuple[int, ...]  # line numbers

    @property
    def percent(self) -> float:
        """Covered share, 0 to 100; 100 for a module without a line that can be covered."""
        return 100.0 * self.covered / self.lines if self.lines else 100.0


@dataclass(frozen=True, slots=True)
class TestReport:
    """The result of the tests of a tree."""

    __test__ = False  # keeps pytest from collecting the class

    passed: int
    problems: tuple[Diagnostic, ...]
    coverage: tuple[Coverage, ...]  # empty unless all tests passed

    @property
    def percent(self) -> float:
        """Covered share of the lines of all modules, 0 to 100."""
        lines = sum(module.lines for module in self.coverage)
        return 100.0 * sum(module.covered for module in self.coverage) / lines if lines else 0.0

    @property
    def summary(self) -> str:
        """One line for people: passed tests and coverage."""
        covered = f", {self.percent:.1f} % of lines covered" if self.coverage else ""
        return f"{self.passed} passed{covered}"


def run_tests(tree: PolicyTree, stage: Path, opa: Path, coverage_percent_min: float = COVERAGE_PERCENT) -> TestReport:
    """Run all tests of the staged tree.

    A test that fails or is skipped is a problem, and so are a tree without tests and a module whose coverage is below
    `coverage_percent_min`. Raises ConfigurationError when OPA cannot be run.
    """
    arguments = ["test", "--bundle", "--format", "json", "--capabilities", CAPABILITIES]
    completed = run(opa, [*arguments, "--fail-on-empty", "."], cwd=stage, timeout_seconds=TESTS_TIMEOUT_SECONDS)
    results = _json(completed.stdout)
    if not isinstance(results, list) or not results:
        return _failed(tree, 0, f"opa test failed: {completed.message}", "add <name>_test.rego files")
    problems = tuple(_result_problems(tree, results))
    if problems:
        return TestReport(sum(map(_passed, results)), problems, ())
    if completed.exit_code != 0:
        return _failed(tree, len(results), f"opa test failed: {first_line(completed.stderr)}")
    return _with_coverage(tree, stage, opa, [*arguments, "--coverage", "."], len(results), coverage_percent_min)


def _with_coverage(
    tree: PolicyTree, stage: Path, opa: Path, arguments: list[str], passed: int, coverage_percent_min: float
) -> TestReport:
    """Run the tests again with --coverage, which replaces their results in OPA's output."""
    result = run(opa, arguments, cwd=stage, timeout_seconds=TESTS_TIMEOUT_SECONDS)
    report = _json(result.stdout)
    if not isinstance(report, dict):
        return _failed(tree, passed, f"opa test --coverage failed: {first_line(result.stderr)}")
    files = report["files"]
    coverage = tuple(_coverage(name, files.get(name, {})) for name in sorted(tree.modules))
    insufficient = [module for module in coverage if module.percent < coverage_percent_min]
    return TestReport(passed, tuple(_coverage_problem(tree, module) for module in insufficient), coverage)


def _failed(tree: PolicyTree, passed: int, what: str, remedy: str = "") -> TestReport:
    return TestReport(passed, (Diagnostic(str(tree.root), what, remedy),), ())


def _json(output: str) -> object:
    try:
        return orjson.loads(output)
    except orjson.JSONDecodeError:
        return None


def _passed(result: Mapping[str, Any]) -> bool:
    return not any(result.get(key) for key in ("fail", "error", "skip"))


def _result_problems(tree: PolicyTree, results: list[Mapping[str, Any]]) -> Iterator[Diagnostic]:
    for result in results:
        where = tree.where(result["location"]["file"], result["location"]["row"])
        if result.get("error"):
            yield Diagnostic(where, f"{result['name']}: {_message(result['error'])}")
        elif result.get("fail"):
            yield Diagnostic(where, f"{result['name']} failed")
        elif result.get("skip"):
            yield Diagnostic(where, f"{result['name']} is skipped", "write the test, or remove it")


def _message(error: object) -> str:
    return first_line(str(error["message"] if isinstance(error, dict) and "message" in error else error))


def _coverage(name: str, report: Mapping[str, Any]) -> Coverage:
    """Return the coverage of one module from its part of OPA's report, which is empty for one that no test loads."""
    covered = int(report.get("covered_lines", 0))
    missed = sorted({span["start"]["row"] for span in report.get("not_covered", ())})
    return Coverage(name, covered, covered + int(report.get("not_covered_lines", 0)), tuple(missed))


def _coverage_problem(tree: PolicyTree, module: Coverage) -> Diagnostic:
    lines = ", ".join(str(line) for line in module.missed)
    where = tree.where(module.file, module.missed[0] if module.missed else 0)
    what = f"tests cover {module.percent:.1f} % of its lines; not covered: {lines}"
    return Diagnostic(where, what, "add a test in which the rule fires")
