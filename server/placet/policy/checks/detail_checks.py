"""Check that the details of a deny or require_approval cannot remove the finding.

`placet.policy.rego.hardening` guards the details in a rule's head. This module refuses what it cannot guard: findings
of another form, details that iterate, and details from a line of the body that may be undefined.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

from placet.kernel.errors import Diagnostic
from placet.policy.checks.detail_bindings import risky_lines
from placet.policy.checks.detail_conditions import needed_variables, predicates
from placet.policy.rego.hardening import HARDENED_SETS
from placet.policy.rego.modules import METADATA_RULE, names_in
from placet.policy.rego.syntax import (
    bound_variables,
    call_of,
    is_declaration,
    is_unconditional,
    path_of,
    walk,
    without_locations,
)

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

    from placet.policy.checks.detail_conditions import Arities
    from placet.policy.files.tree import PolicyTree
    from placet.policy.rego.modules import Module, Rule
    from placet.policy.rego.syntax import Node

FINDING: Final = ("data", "placet", "lib", "finding")
_ITERATING: Final = frozenset({("walk",)})
"""Builtins that iterate."""
_REMEDY_FOR_LINE: Final = (
    "move the value into the second argument of finding; put a condition on a line that binds no variable"
)
_FORM: Final = "write {} contains finding(rego.metadata.rule(), {{...}}) if {{ ... }}"


def detail_problems(tree: PolicyTree, modules: Sequence[Module]) -> Iterator[Diagnostic]:
    """Yield everything in the modules that could remove a deny or require_approval together with its details."""
    yield from _library_problems(tree, modules)
    functions = predicates(modules)
    for module, rule, names in guarded_rules(modules):
        where = tree.where(module.file, rule.line)
        details = details_of(module, rule)
        if details is None:
            what = f"this {rule.name} is not made with finding(rego.metadata.rule(), ...)"
            yield Diagnostic(where, what, _FORM.format(rule.name))
            continue
        bound = bound_variables(rule.syntax["body"], names)
        iterator = _iterator(details, bound, names)
        if iterator:
            what = f"the details of this {rule.name} iterate over {iterator}, so it vanishes when there is no element"
            yield Diagnostic(where, what, "iterate in the body with `some x in ...`, and use x in the details")
        yield from _body_problems(tree, module, rule, details, names, functions)


def _library_problems(tree: PolicyTree, modules: Sequence[Module]) -> Iterator[Diagnostic]:
    """Yield definitions of `data.placet.lib.finding` after the first, and one that may be undefined."""
    definitions = [
        (module, rule)
        for module in modules
        if ("data", *module.package) == FINDING[:-1]
        for rule in module.rules
        if rule.base == FINDING[-1]
    ]
    for number, (module, rule) in enumerate(definitions):
        if number or not _is_shipped_finding(rule):
            what = "finding differs from the one that ships with Placet, so findings could vanish or change"
            remedy = "copy placet/lib/lib.rego from the policy that ships with Placet"
            yield Diagnostic(tree.where(module.file, rule.line), what, remedy)


def _is_shipped_finding(rule: Rule) -> bool:
    """Return whether the rule is ``finding(rule, details)`` with the shipped value, without a condition.

    The value is ``{"rule_id": rule.custom.rule_id, "reason": rule.title, "details": details}``.
    """
    head, body = rule.syntax["head"], rule.syntax["body"]
    arguments = [path_of(argument) for argument in head.get("args") or ()]
    value = head.get("value") or {}
    if len(arguments) != 2 or not all(arguments) or not is_unconditional(body) or value.get("type") != "object":  # noqa: PLR2004
        return False
    [metadata, details] = arguments
    members = {key["value"]: path_of(term) for key, term in value["value"]}
    return "else" not in rule.syntax and members == {
        "rule_id": (*metadata, "custom", "rule_id"),
        "reason": (*metadata, "title"),
        "details": details,
    }


def details_of(module: Module, rule: Rule) -> Node | None:
    """Return the second argument of the rule's ``finding(rego.metadata.rule(), ...)``; None in any other form.

    The call is in the head, or in the body as ``found := finding(...)`` with the variable `found` in the head.
    """
    key = rule.syntax["head"].get("key")
    line = _finding_line(rule)
    function, arguments = call_of(key if line is None else line["terms"][2])
    if module.resolved(function) != FINDING or len(arguments) != 2:  # noqa: PLR2004 # rule and details
        return None
    return arguments[1] if call_of(arguments[0]) == (METADATA_RULE, []) else None


def _finding_line(rule: Rule) -> Node | None:
    """Return the line of the body that assigns the variable in the head; None when the head has the finding."""
    key = rule.syntax["head"].get("key") or {}
    for line in rule.syntax["body"]:
        terms = line["terms"]
        assigns = isinstance(terms, list) and path_of(terms[0]) == ("assign",) and not line.get("negated")
        if assigns and key.get("type") == "var" and without_locations(terms[1]) == without_locations(key):
            return line
    return None


def guarded_rules(modules: Sequence[Module]) -> Iterator[tuple[Module, Rule, frozenset[str]]]:
    """Yield each rule of a pack that must not vanish, and the names in its module that are no variables."""
    for module in modules:
        if not module.pack:
            continue
        names = names_in(module, modules)
        for rule in module.rules:
            if rule.name in HARDENED_SETS and rule.is_partial_set:
                yield module, rule, names


def _iterator(details: Node, bound: frozenset[str], names: frozenset[str]) -> str:
    """Return what the details iterate with: `walk`, or a variable that nothing else binds; "" when they do not."""
    for node in walk(details, closures=False):
        if call_of(node)[0] in _ITERATING:
            return "walk"
        if node.get("type") == "ref":
            for part in node["value"][1:]:
                if part["type"] == "var" and part["value"] not in bound | names:
                    return "_" if part["value"].startswith("$") else str(part["value"])
    return ""


def _body_problems(
    tree: PolicyTree, module: Module, rule: Rule, details: Node, names: frozenset[str], functions: Arities
) -> Iterator[Diagnostic]:
    """Yield lines of the body that may be undefined and that only the details need."""
    body = [line for line in rule.syntax["body"] if line is not _finding_line(rule) and not is_declaration(line)]
    for line, name in risky_lines(body, details, names, needed_variables(module, body, names, functions)):
        where = tree.where(module.file, line["location"]["row"])
        what = f"only the details use {name}, and this {rule.name} vanishes when the line is undefined"
        yield Diagnostic(where, what, _REMEDY_FOR_LINE)
