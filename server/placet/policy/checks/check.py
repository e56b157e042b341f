"""All that ``placet policy check`` looks at, step by step, and the part of it that must pass before policy is served.

| step      | what                                                                     | before serving |
|-----------|--------------------------------------------------------------------------|----------------|
| files     | the tree is complete and readable, data is exact, nothing lies unread     | yes            |
| tenants   | every agent_policy is valid and fits the packs that it configures         | yes            |
| compile   | capabilities forbid what they must; ``opa check --strict --schema``       | yes            |
| rules     | package = folder, METADATA, unique rule_id, no misspelt set, findings, obligations | yes     |
| values    | OPA can use every params_schema and destination pattern                   | yes            |
| approvals | people of each tenant can give the approvals that rules ask for           | yes            |
| tests     | ``opa test``: all pass, none skipped, every line of every module reached  | no             |
| format    | ``opa fmt``                                                               | no             |
| lint      | ``regal lint``                                                            | no             |

What only shows quality (the last three) is for CI: a server must be able to take an urgent policy whose tests lag.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Final

from placet.kernel.errors import Diagnostic, PolicyInvalidError
from placet.policy.checks.approval_checks import reach_problems, shape_problems
from placet.policy.checks.detail_checks import detail_problems, served_problems
from placet.policy.checks.obligation_checks import obligation_problems
from placet.policy.checks.rule_checks import rule_problems
from placet.policy.checks.tenant_value_checks import value_problems
from placet.policy.files.staging import staged
from placet.policy.files.tenant_files import parse_tenants
from placet.policy.files.tree import PolicyTree, read_tree
from placet.policy.rego.hardening import hardened
from placet.policy.rego.modules import parse_modules
from placet.policy.toolchain.compile import compile_problems
from placet.policy.toolchain.lint import format_problems, lint_problems
from placet.policy.toolchain.policy_tests import COVERAGE_PERCENT, TestReport, run_tests
from placet.tenants.consistency import open_amounts

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Mapping, Sequence
    from pathlib import Path

    from placet.policy.rego.modules import Module
    from placet.tenants.policy import TenantPolicy

_OPEN_AMOUNTS: Final = "warning: an amount is bound beside an open params_schema (set additionalProperties: false)"
"""The params may say a second amount, or another currency than a fixed code."""
STEPS: Final = ("files", "tenants", "compile", "rules", "values", "approvals", "tests", "format", "lint")


@dataclass(frozen=True, slots=True)
class Step:
    """One step: what it found, or why it could not be taken (`skipped`). `detail` says what was seen."""

    name: str
    problems: tuple[Diagnostic, ...] = ()
    skipped: str = ""
    detail: str = ""


def check(
    rego_dir: Path,
    opa: Path,
    regal: Path | None,
    *,
    skip_lint: bool = False,
    coverage_percent_min: float = COVERAGE_PERCENT,
) -> tuple[Step, ...]:
    """Take every step that can be taken; policy is good when no step has problems.

    Raises ConfigurationError when OPA or Regal cannot be run at all.
    """
    try:
        tree = read_tree(rego_dir)
    except PolicyInvalidError as error:
        rest = (Step(name, skipped="the files must be mended first") for name in STEPS[1:])
        return (Step("files", error.problems), *rest)
    files = f"{len(tree.modules)} modules, {len(tree.tests)} test files, {len(tree.tenants)} tenants"
    tenants, policies = _tenants(tree)
    with staged(tree, tests=True) as stage, staged(hardened(tree), tests=True) as served:
        compiled = _step("compile", compile_problems(tree, stage, opa))
        modules: list[Module] = []
        rules = _after(compiled, "rules", lambda: Step("rules", _rules(tree, stage, opa, modules)))
        first = next((step for step in (tenants, compiled, rules) if step.problems), rules)
        return (
            Step("files", detail=files),
            tenants,
            compiled,
            rules,
            _after(tenants, "values", lambda: _step("values", value_problems(tree, policies, opa))),
            _after(first, "approvals", lambda: _step("approvals", reach_problems(tree, policies, modules, opa))),
            _after(compiled, "tests", lambda: _tests(tree, served, opa, coverage_percent_min)),
            _after(compiled, "format", lambda: _step("format", format_problems(tree, stage, opa))),
            _after(compiled, "lint", lambda: _lint(tree, regal, skip_lint=skip_lint)),
        )


def run_policy_tests(rego_dir: Path, opa: Path, *, coverage_percent_min: float = COVERAGE_PERCENT) -> TestReport:
    """Run the tests alone. Policy that cannot be read or does not compile is reported as a problem of the tests."""
    try:
        tree = read_tree(rego_dir)
    except PolicyInvalidError as error:
        return TestReport(0, error.problems, ())
    with staged(tree, tests=True) as stage, staged(hardened(tree), tests=True) as served:
        problems = tuple(compile_problems(tree, stage, opa))
        return TestReport(0, problems, ()) if problems else run_tests(tree, served, opa, coverage_percent_min)


def serving_problems(
    tree: PolicyTree, policies: Mapping[str, TenantPolicy], stage: Path, opa: Path
) -> tuple[Diagnostic, ...]:
    """What forbids serving the staged tree, whose files and tenants are read already."""
    modules: list[Module] = []
    return (
        tuple(compile_problems(tree, stage, opa))
        or _rules(tree, stage, opa, modules)
        or (*value_problems(tree, policies, opa), *reach_problems(tree, policies, modules, opa))
    )


def _tenants(tree: PolicyTree) -> tuple[Step, Mapping[str, TenantPolicy]]:
    try:
        policies = parse_tenants(tree)
    except PolicyInvalidError as error:
        return Step("tenants", error.problems), {}
    warned = ", ".join(f"{tenant}: {tool}" for tenant, policy in policies.items() for tool in open_amounts(policy))
    return Step("tenants", detail=f"{_OPEN_AMOUNTS}: {warned}" if warned else ""), policies


def _rules(tree: PolicyTree, stage: Path, opa: Path, modules: list[Module]) -> tuple[Diagnostic, ...]:
    """What is wrong with the rules; their modules are put into `modules`."""
    try:
        modules += parse_modules(tree, stage, opa)
        problems = tuple(rule_problems(tree, modules))
        problems = problems or (
            *detail_problems(tree, modules),
            *shape_problems(tree, modules),
            *obligation_problems(tree, modules),
        )
        return problems or tuple(served_problems(tree, modules, _served(tree, modules, opa)))
    except PolicyInvalidError as error:
        return error.problems


def _served(tree: PolicyTree, written: Sequence[Module], opa: Path) -> Sequence[Module]:
    """The modules as they are served: those that hardening changed, parsed anew."""
    safe = hardened(tree)
    changed = {name: content for name, content in safe.modules.items() if content != tree.modules[name]}
    with staged(replace(safe, modules=changed), tests=False) as stage:
        parsed = {module.file: module for module in parse_modules(replace(safe, modules=changed), stage, opa)}
    return [parsed.get(module.file, module) for module in written]


def _tests(tree: PolicyTree, stage: Path, opa: Path, coverage_percent_min: float) -> Step:
    report = run_tests(tree, stage, opa, coverage_percent_min)
    return Step("tests", report.problems, detail=report.summary)


def _lint(tree: PolicyTree, regal: Path | None, *, skip_lint: bool) -> Step:
    if skip_lint:
        return Step("lint", skipped="--skip-lint")
    if regal is None:
        return Step(
            "lint", (Diagnostic("regal", "is not installed", "run `placet tools install regal`, or pass --skip-lint"),)
        )
    return _step("lint", lint_problems(tree, regal))


def _step(name: str, problems: Iterable[Diagnostic]) -> Step:
    return Step(name, tuple(problems))


def _after(earlier: Step, name: str, take: Callable[[], Step]) -> Step:
    return Step(name, skipped=f"{earlier.name} must pass first") if earlier.problems else take()
