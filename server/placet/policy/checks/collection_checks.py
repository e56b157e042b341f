"""Verify, on OPA's own syntax tree, which sets of findings `placet.policy.rego.collection` found, and their tools.

A set that is left out, or that is about more tools than its text seems to say, would lose its denies. A module in which
OPA finds other rules than the text seems to have is refused too.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

from placet.kernel.errors import Diagnostic
from placet.policy.checks.rule_checks import EFFECT_SETS
from placet.policy.rego.collection import finding_sets, rule_heads
from placet.policy.rego.rule_scope import RuleScope

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping, Sequence

    from placet.policy.files.tree import PolicyTree
    from placet.policy.rego.collection import FindingSet, Tools
    from placet.policy.rego.modules import Module, Rule

_MISREAD: Final = "the text of this module seems to have other findings than those that OPA reads"
_REMEDY: Final = "begin the rule with `{} contains`, and write each expression on one line"


def collection_problems(
    tree: PolicyTree, modules: Sequence[Module], sets: Mapping[FindingSet, Tools] | None = None
) -> Iterator[Diagnostic]:
    """Yield the rules whose findings would not be collected for every request that they concern.

    `sets` are those that the text of the modules has.
    """
    found = finding_sets(tree.modules) if sets is None else sets
    for module in modules:
        scope = RuleScope(module, modules)
        heads = [(rule.line, rule.name) for rule in module.rules if rule.name in EFFECT_SETS]
        if module.pack and sorted(heads) != sorted(rule_heads(tree.modules[module.file])):
            yield Diagnostic(tree.where(module.file), _MISREAD, _REMEDY.format("deny"))
        for rule in module.rules if module.pack else ():
            if rule.name in EFFECT_SETS and not _is_collected(module, rule, scope, found):
                what = f"the findings of this {rule.name} would not be collected for every tool"
                yield Diagnostic(tree.where(module.file, rule.line), what, _REMEDY.format(rule.name))


def _is_collected(module: Module, rule: Rule, scope: RuleScope, sets: Mapping[FindingSet, Tools]) -> bool:
    if (module.package, rule.name) not in sets:
        return False
    named = sets[module.package, rule.name]
    if named is None:
        return True
    tools = scope.named_tools(rule)
    return tools is not None and tools <= named
