"""The steps of ``placet policy check``, and those of them that must pass before a policy is served.

| step      | check                                                                    | before serving |
|-----------|--------------------------------------------------------------------------|----------------|
| files     | the tree is complete and readable, data is exact, every file is used      | yes            |
| tenants   | every agent_policy is valid and fits the packs that it configures         | yes            |
| compile   | capabilities exclude what they must; ``opa check --strict --schema``      | yes            |
| rules     | packages, METADATA, unique rule_ids, findings, obligations, pack settings | yes            |
| values    | the folder enforces every params_schema, globs are valid                  | yes            |
| approvals | the people of each tenant can give the approvals that rules require       | yes            |
| tests     | ``opa test``: all pass, none is skipped, every line is covered            | no             |
| format    | ``opa fmt``                                                               | no             |
| lint      | ``regal lint``                                                            | no             |

The last three are for CI: they show only quality, and a server must be able to take an urgent policy whose tests are
not ready.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Final

from placet.kernel.errors import Diagnostic, PolicyInvalidError
from placet.policy.checks.approval_checks import reach_problems
from placet.policy.checks.rule_check import RuleCheck, check_rules
from placet.policy.checks.tenant_value_checks import value_problems
from placet.policy.checks.unused_schemas import unused_schemas
from placet.policy.files.staging import staged
from placet.policy.files.tenant_files import parse_tenants
from placet.policy.files.tree import PolicyTree, read_tree
from placet.policy.rego.hardening import hardened
from placet.policy.toolchain.compile import compile_problems
from placet.policy.toolchain.lint import format_problems, lint_problems
from placet.policy.toolchain.policy_tests import COVERAGE_PERCENT, TestReport, run_tests
from placet.tenants.consistency import open_amounts

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Mapping
    from pathlib import Path

    from placet.tenants.policy import TenantPolicy

_OPEN_AMOUNTS: Final = "warning: an amount is bound beside an open params_schema (set additionalProperties: false)"
"""Shown because an open schema lets the params contain a second amount, or another currency than a fixed one."""
_UNUSED_SCHEMAS: Final = "warning: nothing reads a schema (write a tool's as params_schema in its tenant's file)"
"""Shown because a schema of params that lies there checks nothing."""
STEPS: Final = ("files", "tenants", "compile", "rules", "values", "approvals", "tests", "format", "lint")


@dataclass(frozen=True, slots=True)
class Step:
    """The result of one step."""

    name: str
    problems: tuple[Diagnostic, ...] = ()
    skipped: str = ""  # why the step was not run; "" when it was
    detail: str = ""  # for people, such as counts


def check(
    rego_dir: Path,
    opa: Path,
    regal: Path | None,
    *,
    skip_lint: bool = False,
    coverage_percent_min: float = COVERAGE_PERCENT,
) -> tuple[Step, ...]:
    """Run every step that can be run, and return all of STEPS. The policy is good when no step has problems.

    A step that needs another one is skipped when that one has problems. Raises ConfigurationError when OPA or Regal
    cannot be run.
    """
    try:
        tree = read_tree(rego_dir)
    except PolicyInvalidError as error:
        others = (Step(name, skipped="the files must be fixed first") for name in STEPS[1:])
        return (Step("files", error.problems), *others)
    unused = ", ".join(unused_schemas(tree))
    files = f"{len(tree.modules)} modules, {len(tree.tests)} test files, {len(tree.tenants)} tenants"
    files = f"{files}; {_UNUSED_SCHEMAS}: {unused}" if unused else files
    tenants, policies = _tenants(tree)
    with staged(tree, tests=True) as stage, staged(hardened(tree, write_out=False), tests=True) as served:
        compiled = _step("compile", compile_problems(tree, stage, opa))
        rule_check = RuleCheck() if compiled.problems else check_rules(tree, opa)
        rules = _after(compiled, "rules", lambda: Step("rules", rule_check.problems))
        first = next((step for step in (tenants, compiled, rules) if step.problems), rules)
        return (
            Step("files", detail=files),
            tenants,
            compiled,
            rules,
            _after(tenants, "values", lambda: _step("values", value_problems(tree, policies, opa))),
            _after(
                first,
                "approvals",
                lambda: _step("approvals", reach_problems(tree, policies, rule_check.approvals, opa)),
            ),
            _after(compiled, "tests", lambda: _tests(tree, served, opa, coverage_percent_min)),
            _after(compiled, "format", lambda: _step("format", format_problems(tree, stage, opa))),
            _after(compiled, "lint", lambda: _lint(tree, regal, skip_lint=skip_lint)),
        )


def run_policy_tests(rego_dir: Path, opa: Path, *, coverage_percent_min: float = COVERAGE_PERCENT) -> TestReport:
    """Run only the tests. When the policy is unreadable, invalid or does not compile, the report has its problems.

    Raises ConfigurationError when OPA cannot be run.
    """
    try:
        tree = read_tree(rego_dir)
    except PolicyInvalidError as error:
        return TestReport(0, error.problems, ())
    with staged(tree, tests=True) as stage, staged(hardened(tree, write_out=False), tests=True) as served:
        problems = tuple(compile_problems(tree, stage, opa))
        return TestReport(0, problems, ()) if problems else run_tests(tree, served, opa, coverage_percent_min)


def serving_problems(
    tree: PolicyTree,
    policies: Mapping[str, TenantPolicy],
    stage: Path,
    opa: Path,
    rules: Callable[[PolicyTree, Path], RuleCheck] = check_rules,
) -> tuple[Diagnostic, ...]:
    """Return why the staged tree must not be served, after its files and tenants were read; empty when it may be.

    `rules` runs `check_rules`; a server runs it in a process apart.

    Raises ConfigurationError when OPA cannot be run.
    """
    problems = tuple(compile_problems(tree, stage, opa))
    if problems:
        return problems
    rule_check = rules(tree, opa)
    return rule_check.problems or (
        *value_problems(tree, policies, opa),
        *reach_problems(tree, policies, rule_check.approvals, opa),
    )


def _tenants(tree: PolicyTree) -> tuple[Step, Mapping[str, TenantPolicy]]:
    try:
        policies = parse_tenants(tree)
    except PolicyInvalidError as error:
        return Step("tenants", error.problems), {}
    tools = ", ".join(f"{tenant}: {tool}" for tenant, policy in policies.items() for tool in open_amounts(policy))
    return Step("tenants", detail=f"{_OPEN_AMOUNTS}: {tools}" if tools else ""), policies


def _tests(tree: PolicyTree, stage: Path, opa: Path, coverage_percent_min: float) -> Step:
    report = run_tests(tree, stage, opa, coverage_percent_min)
    return Step("tests", report.problems, detail=report.summary)


def _lint(tree: PolicyTree, regal: Path | None, *, skip_lint: bool) -> Step:
    if skip_lint:
        return Step("lint", skipped="--skip-lint")
    if regal is None:
        problem = Diagnostic("regal", "is not installed", "run `placet tools install regal`, or pass --skip-lint")
        return Step("lint", (problem,))
    return _step("lint", lint_problems(tree, regal))


def _step(name: str, problems: Iterable[Diagnostic]) -> Step:
    return Step(name, tuple(problems))


def _after(earlier: Step, name: str, run_step: Callable[[], Step]) -> Step:
    """Run the step, or skip it when the earlier one has problems."""
    return Step(name, skipped=f"{earlier.name} must pass first") if earlier.problems else run_step()
