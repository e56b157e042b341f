"""Run the policy's own tests (``opa test``) and see which lines they reach."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Final

import orjson

from placet.kernel.errors import Diagnostic
from placet.policy.files.tree import CAPABILITIES
from placet.policy.toolchain.compile import first_line
from placet.policy.toolchain.process import run

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping
    from pathlib import Path

    from placet.policy.files.tree import PolicyTree

TESTS_TIMEOUT_SECONDS: Final = 540.0
"""All tests of a tree; some thousands take seconds."""
COVERAGE_PERCENT: Final = 100.0
"""Share of the lines of every module that the tests must reach."""


@dataclass(frozen=True, slots=True)
class Coverage:
    """Lines of one module that tests reach, of those that could be. `missed` are line numbers."""

    file: str
    covered: int
    lines: int
    missed: tuple[int, ...]

    @property
    def percent(self) -> float:
        """0 to 100; a module without a line to run counts as reached."""
        return 100.0 * self.covered / self.lines if self.lines else 100.0


@dataclass(frozen=True, slots=True)
class TestReport:
    """What the tests showed. `coverage` is empty unless all passed."""

    __test__ = False

    passed: int
    problems: tuple[Diagnostic, ...]
    coverage: tuple[Coverage, ...]

    @property
    def percent(self) -> float:
        """Share of all modules' lines that the tests reach, 0 to 100."""
        lines = sum(module.lines for module in self.coverage)
        return 100.0 * sum(module.covered for module in self.coverage) / lines if lines else 0.0

    @property
    def summary(self) -> str:
        """One line for people."""
        reached = f", {self.percent:.1f} % of lines reached" if self.coverage else ""
        return f"{self.passed} passed{reached}"


def run_tests(tree: PolicyTree, stage: Path, opa: Path, coverage_percent_min: float = COVERAGE_PERCENT) -> TestReport:
    """Run all tests of the staged tree.

    Problems are tests that failed, were skipped or are not there, and modules that are reached too little.
    """
    arguments = ["test", "--bundle", "--format", "json", "--capabilities", CAPABILITIES]
    ended = run(opa, [*arguments, "--fail-on-empty", "."], cwd=stage, timeout_seconds=TESTS_TIMEOUT_SECONDS)
    results = _json(ended.stdout)
    if not isinstance(results, list) or not results:
        reason = first_line(ended.stderr or ended.stdout)
        return TestReport(0, (Diagnostic(str(tree.root), f"opa test: {reason}", "add <name>_test.rego files"),), ())
    problems = tuple(_result_problems(tree, results))
    if problems or ended.code != 0:
        problems = problems or (Diagnostic(str(tree.root), f"opa test: {first_line(ended.stderr)}"),)
        return TestReport(sum(map(_passed, results)), problems, ())
    ended = run(opa, [*arguments, "--coverage", "."], cwd=stage, timeout_seconds=TESTS_TIMEOUT_SECONDS)
    report = _json(ended.stdout)
    if not isinstance(report, dict):
        return TestReport(
            len(results), (Diagnostic(str(tree.root), f"opa test --coverage: {first_line(ended.stderr)}"),), ()
        )
    files = report["files"]
    coverage = tuple(_coverage(name, files.get(name, {})) for name in sorted(tree.modules))
    below = [module for module in coverage if module.percent < coverage_percent_min]
    return TestReport(len(results), tuple(_coverage_problem(tree, module) for module in below), coverage)


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
            yield Diagnostic(where, f"{result['name']} is skipped, so it shows nothing", "write it, or remove it")


def _message(error: object) -> str:
    return first_line(str(error["message"] if isinstance(error, dict) and "message" in error else error))


def _coverage(name: str, found: Mapping[str, Any]) -> Coverage:
    covered = int(found.get("covered_lines", 0))
    missed = sorted({span["start"]["row"] for span in found.get("not_covered", ())})
    return Coverage(name, covered, covered + int(found.get("not_covered_lines", 0)), tuple(missed))


def _coverage_problem(tree: PolicyTree, module: Coverage) -> Diagnostic:
    lines = ", ".join(str(line) for line in module.missed)
    where = tree.where(module.file, module.missed[0] if module.missed else 0)
    return Diagnostic(
        where, f"tests reach {module.percent:.1f} % of its lines, not {lines}", "add a test in which the rule fires"
    )
