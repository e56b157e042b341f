"""Check the rules of a policy tree, as written and then as served. Nothing here depends on the tenants."""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import TYPE_CHECKING

from placet.kernel.errors import PolicyInvalidError
from placet.policy.checks.approval_checks import RequiredApproval, required_approvals, shape_problems
from placet.policy.checks.collection_checks import collection_problems
from placet.policy.checks.detail_checks import detail_problems
from placet.policy.checks.hardening_checks import hardening_problems
from placet.policy.checks.obligation_checks import obligation_problems
from placet.policy.checks.rule_checks import rule_problems
from placet.policy.checks.setting_checks import setting_problems
from placet.policy.files.staging import staged
from placet.policy.rego.hardening import hardened
from placet.policy.rego.modules import parse_modules

if TYPE_CHECKING:
    from collections.abc import Sequence
    from pathlib import Path

    from placet.kernel.errors import Diagnostic
    from placet.policy.files.tree import PolicyTree
    from placet.policy.rego.modules import Module


@dataclass(frozen=True, slots=True)
class RuleCheck:
    """The problems of the rules and, without any, the approvals that they require."""

    problems: tuple[Diagnostic, ...] = ()
    approvals: tuple[RequiredApproval, ...] = ()


def check_rules(tree: PolicyTree, opa: Path) -> RuleCheck:
    """Parse the modules and check their rules, as written and then as served.

    Raises ConfigurationError when OPA cannot be run.
    """
    try:
        with staged(tree, tests=False) as stage:
            modules = parse_modules(tree, stage, opa)
        problems = tuple(rule_problems(tree, modules)) or (
            *detail_problems(tree, modules),
            *shape_problems(tree, modules),
            *obligation_problems(tree, modules),
            *setting_problems(tree, modules),
        )
        problems = problems or tuple(collection_problems(tree, modules))
        problems = problems or tuple(hardening_problems(tree, modules, _served(tree, modules, opa)))
    except PolicyInvalidError as error:  # OPA cannot parse a module
        return RuleCheck(error.problems)
    return RuleCheck(problems) if problems else RuleCheck(approvals=required_approvals(modules))


def _served(tree: PolicyTree, written: Sequence[Module], opa: Path) -> Sequence[Module]:
    """Return the modules as they are served. Only those that hardening changed are parsed again.

    Raises PolicyInvalidError when OPA cannot parse one of them.
    """
    safe = hardened(tree)
    changed = {name: content for name, content in safe.modules.items() if content != tree.modules[name]}
    with staged(replace(safe, modules=changed), tests=False) as stage:
        parsed = {module.file: module for module in parse_modules(replace(safe, modules=changed), stage, opa)}
    return [parsed.get(module.file, module) for module in written]
