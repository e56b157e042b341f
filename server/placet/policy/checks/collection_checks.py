"""Verify, on OPA's own syntax tree, which sets of findings Placet found in the text, and when it need not ask for them.

A set that is left out would lose its denies. So would one that is about more tools than its text seems to say (see
`placet.policy.rego.collection`), and one that needs fewer settings of a tool (`placet.policy.rego.tool_conditions`). A
module in which OPA finds other rules than the text seems to have is refused too.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

from placet.kernel.errors import Diagnostic
from placet.policy.checks.rule_checks import EFFECT_SETS
from placet.policy.rego.collection import finding_sets, rule_heads
from placet.policy.rego.rule_scope import RuleScope
from placet.policy.rego.tool_conditions import LIB, TOOL, conditions_of, reads_compiled_tools, rule_conditions

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping, Sequence

    from placet.policy.files.tree import PolicyTree
    from placet.policy.rego.collection import FindingSet, Tools
    from placet.policy.rego.modules import Module, Rule
    from placet.policy.rego.tool_conditions import Conditions

_MISREAD: Final = "the text of this module seems to have other findings than those that OPA reads"
_DEFINED_TWICE: Final = f"defines {'.'.join(LIB)}.{TOOL} again"
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
    yield from _condition_problems(tree, modules)


def _condition_problems(tree: PolicyTree, modules: Sequence[Module]) -> Iterator[Diagnostic]:
    """Yield the rules that may fire for a tool whose settings seem to rule that out."""
    if not reads_compiled_tools(tree.modules):
        return
    for where in _definitions(tree, modules)[1:]:
        yield Diagnostic(where, _DEFINED_TWICE, "define it once, as in the policy that Placet ships")
    defined: dict[tuple[str, ...], frozenset[str]] = {}
    for module in modules:
        names = frozenset(rule.base for rule in module.rules)
        defined[module.package] = defined.get(module.package, frozenset()) | names
    for module in modules:
        written: dict[tuple[int, str], Conditions] = {}
        for line, effect, conditions in rule_conditions(tree.modules[module.file]):
            written[line, effect] = written.get((line, effect), frozenset()) | conditions
        for rule in module.rules if module.pack else ():
            conditions = written.get((rule.line, rule.name), frozenset())
            if conditions and not conditions <= conditions_of(module, rule, defined[module.package]):
                what = f"the findings of this {rule.name} would not be collected for every tool"
                yield Diagnostic(tree.where(module.file, rule.line), what, _REMEDY.format(rule.name))


def _definitions(tree: PolicyTree, modules: Sequence[Module]) -> list[str]:
    """Return where `tool` of `placet.lib` is defined."""
    library = [(module, rule) for module in modules if module.package == LIB for rule in module.rules]
    return [tree.where(module.file, rule.line) for module, rule in library if rule.base == TOOL]


def _is_collected(module: Module, rule: Rule, scope: RuleScope, sets: Mapping[FindingSet, Tools]) -> bool:
    if (module.package, rule.name) not in sets:
        return False
    named = sets[module.package, rule.name]
    if named is None:
        return True
    tools = scope.named_tools(rule)
    return tools is not None and tools <= named
