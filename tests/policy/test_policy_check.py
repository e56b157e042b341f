from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from placet.kernel.errors import ConfigurationError
from placet.kernel.rule_ids import REASONS
from placet.policy.checks.catalogue import Entry, catalogue
from placet.policy.checks.check import STEPS, Step, check, run_policy_tests
from placet.policy.toolchain import policy_tests
from placet.policy.toolchain.policy_tests import Coverage
from placet.policy.toolchain.process import ProcessResult

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

REFUNDS_TEST = "policy/refunds/refunds_test.rego"


def steps_of(rego_dir: Path, opa: Path, regal: Path | None = None, **options: float) -> dict[str, Step]:
    coverage = options.get("coverage_percent_min", 100.0)
    found = check(rego_dir, opa, regal, skip_lint=regal is None, coverage_percent_min=coverage)
    assert tuple(step.name for step in found) == STEPS
    return {step.name: step for step in found}


def said(rego_dir: Path, step: Step) -> list[str]:
    return [str(problem).replace(f"{rego_dir}/", "") for problem in step.problems]


def append(path: Path, text: str) -> None:
    path.write_text(path.read_text() + text)


def test_a_good_tree_passes_every_step(rego_dir: Path, opa: Path) -> None:
    steps = steps_of(rego_dir, opa)
    assert [step for step in steps.values() if step.problems] == []
    assert steps["files"].detail == "3 modules, 2 test files, 1 tenants"
    assert steps["tests"].detail == "2 passed, 100.0 % of lines covered"
    assert steps["lint"].skipped == "--skip-lint"


def test_when_the_files_are_wrong_nothing_else_is_looked_at(rego_dir: Path, opa: Path) -> None:
    (rego_dir / "capabilities.json").unlink()
    steps = steps_of(rego_dir, opa)
    assert len(steps["files"].problems) == 1
    assert {step.skipped for name, step in steps.items() if name != "files"} == {"the files must be fixed first"}


def test_when_tenants_are_wrong_the_policy_is_still_checked(rego_dir: Path, opa: Path) -> None:
    (rego_dir / "config/acme.yaml").write_text("agent_policy: 1")
    steps = steps_of(rego_dir, opa)
    assert len(steps["tenants"].problems) == 1
    assert steps["values"].skipped == "tenants must pass first"
    assert steps["rules"] == Step("rules")


def test_when_it_does_not_compile_only_tenants_are_checked_further(rego_dir: Path, opa: Path) -> None:
    append(rego_dir / "policy/refunds/refunds.rego", "\nx := {\n")
    steps = steps_of(rego_dir, opa)
    assert said(rego_dir, steps["compile"]) == [
        "policy/refunds/refunds.rego:15: unexpected eof token",
        "policy/refunds/refunds.rego:15: unexpected eof token: expected rule value term (e.g., x := <VALUE> { ... })",
    ]
    assert [name for name, step in steps.items() if step.skipped == "compile must pass first"] == [
        "rules",
        "approvals",
        "tests",
        "format",
        "lint",
    ]


def test_values_that_only_opa_can_judge(rego_dir: Path, opa: Path) -> None:
    (rego_dir / "config/acme.yaml").write_text(
        "agent_policy:\n  write_tools: [a, b]\n  destinations: {a: ['[x', 'ok.*']}\n"
    )
    assert said(rego_dir, steps_of(rego_dir, opa)["values"]) == [
        (
            'config/acme.yaml:3: agent_policy.destinations.a: "[x" is not a glob pattern '
            "(known: * ** ? [a-z] {a,b}, and \\ before a character)"
        ),
    ]


def test_a_schema_that_cannot_be_compiled(rego_dir: Path, opa: Path) -> None:
    (rego_dir / "config/acme.yaml").write_text(
        "agent_policy:\n  write_tools: [b]\n  tools:\n    b:\n      params_schema:\n        properties:\n"
        "          c: {type: string}\n          d: {pattern: '(?=x)'}\n"
    )
    [problem] = said(rego_dir, steps_of(rego_dir, opa)["tenants"])
    place = "config/acme.yaml:8: agent_policy.tools.b.params_schema.properties.d.pattern"
    assert problem.startswith(f"{place}: is not a regular expression of ECMA-262 that runs in linear time")
    assert "(write it without look-around and back-references, with [Uu][Ss][Dd] for (?i)usd, " in problem


def test_a_tree_without_values_does_not_ask(rego_dir: Path, opa: Path) -> None:
    (rego_dir / "config/acme.yaml").write_text("agent_policy: {}")
    assert steps_of(rego_dir, opa)["values"] == Step("values")


def test_what_is_not_formatted(rego_dir: Path, opa: Path) -> None:
    append(rego_dir / "policy/refunds/refunds.rego", "\n\n\nx   := 1\n")
    assert said(rego_dir, steps_of(rego_dir, opa)["format"]) == [
        "policy/refunds/refunds.rego: is not formatted (run `opa fmt --write policy/refunds/refunds.rego`)"
    ]


def test_failed_skipped_and_erring_tests(rego_dir: Path, opa: Path) -> None:
    append(rego_dir / REFUNDS_TEST, "\ntest_wrong if 1 == 2\n\ntodo_test_later if true\n")
    append(rego_dir / REFUNDS_TEST, "\ntest_conflict if f(1) == 1\n\nf(x) := x\n\nf(x) := x + 1\n")
    found = said(rego_dir, steps_of(rego_dir, opa)["tests"])
    assert f"{REFUNDS_TEST}:9: test_wrong failed" in found
    assert f"{REFUNDS_TEST}:11: todo_test_later is skipped (write the test, or remove it)" in found
    assert any(line.startswith(f"{REFUNDS_TEST}:13: test_conflict: ") and "conflict" in line for line in found)
    assert len([line for line in found if line.startswith(REFUNDS_TEST)]) == 3


def test_no_tests_at_all(rego_dir: Path, opa: Path) -> None:
    (rego_dir / REFUNDS_TEST).unlink()
    (rego_dir / "placet/main/main_test.rego").unlink()
    found = said(rego_dir, steps_of(rego_dir, opa)["tests"])
    assert found == [f"{rego_dir}: opa test failed: no tests were run (add <name>_test.rego files)"]


UNTESTED = "\nallowed(x) if x.big\n\nallowed(x) if x.small\n"


def test_lines_that_no_test_reaches(rego_dir: Path, opa: Path) -> None:
    append(rego_dir / "policy/refunds/refunds.rego", UNTESTED)
    step = steps_of(rego_dir, opa)["tests"]
    assert said(rego_dir, step) == [
        (
            "policy/refunds/refunds.rego:14: tests cover 60.0 % of its lines; not covered: 14, 16 "
            "(add a test in which the rule fires)"
        )
    ]
    assert step.detail.startswith("2 passed, ")
    assert not steps_of(rego_dir, opa, coverage_percent_min=60.0)["tests"].problems


def test_a_module_that_no_test_touches_is_not_reached(rego_dir: Path, opa: Path) -> None:
    (rego_dir / REFUNDS_TEST).write_text("package policy.refunds_test\n\ntest_nothing if true\n")
    (rego_dir / "placet/main/main_test.rego").unlink()
    found = said(rego_dir, steps_of(rego_dir, opa)["tests"])
    assert [line.partition(":")[0] for line in found] == [
        "placet/lib/lib.rego",
        "placet/main/main.rego",
        "policy/refunds/refunds.rego",
    ]


def test_a_module_without_lines_to_run_counts_as_reached() -> None:
    assert Coverage("x", 0, 0, ()).percent == 100.0


def played(*answers: ProcessResult) -> Callable[..., ProcessResult]:
    waiting = list(answers)
    return lambda *_, **__: waiting.pop(0)


@pytest.mark.parametrize(
    ("answers", "what"),
    [
        (
            [ProcessResult(2, '[{"name": "t", "location": {"file": "f", "row": 1}}]', "broken\n")],
            "opa test failed: broken",
        ),
        (
            [
                ProcessResult(0, '[{"name": "t", "location": {"file": "f", "row": 1}}]', ""),
                ProcessResult(1, "", "crashed\n"),
            ],
            "opa test --coverage failed: crashed",
        ),
    ],
)
def test_opa_that_fails_although_tests_pass(
    rego_dir: Path, opa: Path, monkeypatch: pytest.MonkeyPatch, answers: list[ProcessResult], what: str
) -> None:
    monkeypatch.setattr(policy_tests, "run", played(*answers))
    assert [problem.what for problem in run_policy_tests(rego_dir, opa).problems] == [what]


def test_tests_alone(rego_dir: Path, opa: Path) -> None:
    report = run_policy_tests(rego_dir, opa)
    assert (report.passed, report.problems, report.percent) == (2, (), 100.0)
    assert [module.file for module in report.coverage] == [
        "placet/lib/lib.rego",
        "placet/main/main.rego",
        "policy/refunds/refunds.rego",
    ]
    append(rego_dir / "policy/refunds/refunds.rego", "\nx := {\n")
    assert next(problem.what for problem in run_policy_tests(rego_dir, opa).problems) == "unexpected eof token"
    (rego_dir / "capabilities.json").unlink()
    assert "is missing" in run_policy_tests(rego_dir, opa).problems[0].what


def test_regal_absent_is_a_problem_with_a_remedy(rego_dir: Path, opa: Path) -> None:
    lint = check(rego_dir, opa, None)[-1]
    assert [str(problem) for problem in lint.problems] == [
        "regal: is not installed (run `placet tools install regal`, or pass --skip-lint)"
    ]


def test_what_regal_finds(rego_dir: Path, opa: Path, regal: Path) -> None:
    append(rego_dir / "policy/refunds/refunds.rego", "\n\nx := 1 == 1\n")
    found = said(rego_dir, steps_of(rego_dir, opa, regal)["lint"])
    assert any(line.startswith("policy/refunds/refunds.rego:15: boolean-assignment: ") for line in found)
    assert all("https://" in line for line in found)


def program(path: Path, script: str) -> Path:
    path.write_text(f"#!/bin/sh\n{script}\n")
    path.chmod(0o755)
    return path


def test_a_regal_that_breaks(rego_dir: Path, opa: Path, tmp_path: Path) -> None:
    regal = program(tmp_path / "regal", "echo no config >&2; exit 1")
    assert said(rego_dir, steps_of(rego_dir, opa, regal)["lint"]) == [
        f"{rego_dir}: regal lint failed: no config (check .regal/config.yaml)"
    ]


def opa_that_fails_at(path: Path, opa: Path, command: str, answer: str) -> Path:
    return program(path, f'if [ "$1" = {command} ]; then {answer}; else exec {opa} "$@"; fi')


def test_an_opa_that_breaks_at_each_command(rego_dir: Path, opa: Path, tmp_path: Path) -> None:
    broken = opa_that_fails_at(tmp_path / "opa", opa, "check", "echo; echo no room >&2; exit 2")
    assert said(rego_dir, steps_of(rego_dir, broken)["compile"]) == [f"{rego_dir}: opa check failed: no room"]
    broken = opa_that_fails_at(tmp_path / "opa", opa, "parse", "exit 2")
    assert len(steps_of(rego_dir, broken)["rules"].problems) == 3
    assert said(rego_dir, steps_of(rego_dir, broken)["rules"])[0] == "placet/lib/lib.rego: does not parse: no message"
    broken = opa_that_fails_at(tmp_path / "opa", opa, "fmt", "echo no room >&2; exit 2")
    assert said(rego_dir, steps_of(rego_dir, broken)["format"]) == [f"{rego_dir}: opa fmt failed: no room"]
    broken = opa_that_fails_at(tmp_path / "opa", opa, "eval", "exit 2")
    with pytest.raises(ConfigurationError, match="cannot check the tenants' destinations: no message"):
        check(rego_dir, broken, None)
    broken = opa_that_fails_at(tmp_path / "opa", opa, "check", 'echo \'{"errors": [{"message": "odd"}]}\' >&2; exit 2')
    assert said(rego_dir, steps_of(rego_dir, broken)["compile"]) == [f"{rego_dir}: odd"]


def test_the_catalogue_lists_packs_and_placets_own(rego_dir: Path, opa: Path) -> None:
    entries = catalogue(rego_dir, opa)
    assert [entry.rule_id for entry in entries] == sorted([*REASONS, "refunds.over_limit"])
    assert entries[-1] == Entry(
        rule_id="refunds.over_limit",
        title="A refund above the limit needs a person",
        effect="deny",
        pack="refunds",
        where=f"{rego_dir}/policy/refunds/refunds.rego:9",
    )
    assert entries[0] == Entry("pdp.answer_invalid", REASONS["pdp.answer_invalid"], "deny", "pdp", "")
