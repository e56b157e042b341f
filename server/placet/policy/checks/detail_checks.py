"""Findings that must stand: what about the details of a deny or require_approval could still undo it.

`hardening` guards the details that stand in a rule's head. What it cannot guard is refused here: findings that are not
made by the idiom, details that iterate, and details computed in the body by a line that may be undefined.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Final

from placet.kernel.errors import Diagnostic
from placet.policy.checks.detail_bindings import risky_lines
from placet.policy.checks.detail_conditions import needed, predicates
from placet.policy.rego.hardening import HARDENED_SETS
from placet.policy.rego.syntax import (
    bound_variables,
    call_of,
    guarded_comprehension,
    is_always_defined,
    is_declaration,
    membership_of,
    path_of,
    walk,
    without_locations,
)

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping, Sequence

    from placet.policy.checks.detail_conditions import Arities
    from placet.policy.files.tree import PolicyTree
    from placet.policy.rego.modules import Module, Rule
    from placet.policy.rego.syntax import Node

FINDING: Final = ("data", "placet", "lib", "finding")
_METADATA_RULE: Final = ("rego", "metadata", "rule")
_ITERATING: Final = {("walk",)}
_INSTEAD: Final = "write its value in the second argument of finding; put a condition on a line that binds nothing"
_IDIOM: Final = "write {} contains finding(rego.metadata.rule(), {{...}}) if {{ ... }}"


def detail_problems(tree: PolicyTree, modules: Sequence[Module]) -> Iterator[Diagnostic]:
    """Everything in the written modules that could take a deny or require_approval away with its details."""
    yield from _library_problems(tree, modules)
    functions = predicates(modules)
    for module, rule, names in _guarded_rules(modules):
        where = tree.where(module.file, rule.line)
        details = details_of(module, rule)
        if details is None:
            yield Diagnostic(where, f"this {rule.name} is not found by the idiom", _IDIOM.format(rule.name))
            continue
        bound = bound_variables(rule.syntax["body"], names)
        iterated = _iterated(details, bound, names)
        if iterated:
            what = f"the details of this {rule.name} iterate over {iterated}, so that it vanishes when there is none"
            yield Diagnostic(where, what, "bind it in the body: some x in ..., and tell x")
        yield from _body_problems(tree, module, rule, details, names, functions)


def _library_problems(tree: PolicyTree, modules: Sequence[Module]) -> Iterator[Diagnostic]:
    """Whether `data.placet.lib.finding` is defined once, and for whatever details it is given."""
    defined = [
        (module, rule)
        for module in modules
        if ("data", *module.package) == FINDING[:-1]
        for rule in module.rules
        if rule.base == FINDING[-1]
    ]
    for number, (module, rule) in enumerate(defined):
        if number or not _always_finds(rule):
            what = "finding is not as it ships, so a finding could vanish or say something else"
            remedy = "copy placet/lib/lib.rego from the policy that ships with Placet"
            yield Diagnostic(tree.where(module.file, rule.line), what, remedy)


def _always_finds(rule: Rule) -> bool:
    """Whether it is ``finding(rule, details) := {"rule_id": ..., "reason": rule.title, "details": details}``."""
    head, body = rule.syntax["head"], rule.syntax["body"]
    arguments = [path_of(each) for each in head.get("args") or ()]
    value = head.get("value") or {}
    unconditional = len(body) == 1 and without_locations(body[0]["terms"]) == {"type": "boolean", "value": True}
    if len(arguments) != 2 or not all(arguments) or not unconditional or value.get("type") != "object":  # noqa: PLR2004
        return False
    [metadata, details] = arguments
    said = {key["value"]: path_of(term) for key, term in value["value"]}
    return "else" not in rule.syntax and said == {
        "rule_id": (*metadata, "custom", "rule_id"),
        "reason": (*metadata, "title"),
        "details": details,
    }


def served_problems(tree: PolicyTree, written: Sequence[Module], served: Sequence[Module]) -> Iterator[Diagnostic]:
    """Whether the modules as they are served are safe and say the same as those that were written.

    `served` are OPA's own parse of what `placet.policy.rego.hardening` made of `written`.
    """
    for before, after in zip(written, served, strict=True):
        same = _unguarded(without_locations(before.syntax)) == _unguarded(without_locations(after.syntax))
        if before.file != after.file or not same:
            yield Diagnostic(
                tree.where(before.file), "cannot be guarded without changing it", "write findings by the idiom"
            )
    for module, rule, names in _guarded_rules(served):
        details = details_of(module, rule)
        if details is None or not is_always_defined(details, bound_variables(rule.syntax["body"], names)):
            what = f"the details of this {rule.name} may be undefined, which would undo it"
            remedy = "write them as an object in the second argument of finding"
            yield Diagnostic(tree.where(module.file, rule.line), what, remedy)


def details_of(module: Module, rule: Rule) -> Node | None:
    """The second argument of the rule's ``finding(rego.metadata.rule(), ...)``; None when it is found otherwise.

    The call stands in the head, or in the body as ``found := finding(...)`` with `found` in the head.
    """
    key = rule.syntax["head"].get("key")
    made = _making(rule)
    called, arguments = call_of(key if made is None else made["terms"][2])
    if module.resolved(called) != FINDING or len(arguments) != 2:  # noqa: PLR2004 # rule and details
        return None
    return arguments[1] if call_of(arguments[0]) == (_METADATA_RULE, []) else None


def _making(rule: Rule) -> Node | None:
    """The line of the body that makes the finding; None when the head does."""
    key = rule.syntax["head"].get("key") or {}
    for expression in rule.syntax["body"]:
        terms = expression["terms"]
        assigned = isinstance(terms, list) and path_of(terms[0]) == ("assign",) and not expression.get("negated")
        if assigned and key.get("type") == "var" and without_locations(terms[1]) == without_locations(key):
            return expression
    return None


def _guarded_rules(modules: Sequence[Module]) -> Iterator[tuple[Module, Rule, frozenset[str]]]:
    """Each rule that must not vanish, with the names in its module that are no variables."""
    for module in modules:
        if not module.pack:
            continue
        names = frozenset(module.imports) | {
            rule.base for other in modules if other.package == module.package for rule in other.rules
        }
        for rule in module.rules:
            if rule.name in HARDENED_SETS and rule.is_partial_set:
                yield module, rule, names


def _iterated(details: Node, bound: frozenset[str], names: frozenset[str]) -> str:
    """Over what the details iterate, "" for nothing: a variable that nothing else gives a value."""
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
    """Lines of the body that serve the details and may be undefined, though nothing else of the rule needs them."""
    body = [line for line in rule.syntax["body"] if line is not _making(rule) and not is_declaration(line)]
    for line, name in risky_lines(body, details, names, needed(module, body, names, functions)):
        where = tree.where(module.file, line["location"]["row"])
        what = f"{name} serves only the details of this {rule.name}, which vanishes when the line is undefined"
        yield Diagnostic(where, what, _INSTEAD)


def _unguarded(node: Node) -> Node:
    """The tree as it was before `placet.policy.rego.hardening` put its guards in."""
    if isinstance(node, list):
        return [_unguarded(each) for each in node]
    if not isinstance(node, dict):
        return node
    inner = _guarded_value(node) if "type" in node else None
    return _unguarded(inner) if inner is not None else {key: _unguarded(value) for key, value in node.items()}


def _guarded_value(term: Mapping[str, Any]) -> Node | None:
    """What a guard of Placet's guards; None for any other term."""
    if term["type"] == "objectcomprehension":
        [*_, source] = _some_in(term["value"]["body"]) or [None]
        return _guarded_value(source) if source is not None and _is_own(term["value"]["key"]) else None
    comprehension = guarded_comprehension(term, frozenset()) if term["type"] == "ref" else None
    if comprehension is None or not _is_own(comprehension["value"]["term"]):
        return None
    [expression] = comprehension["value"]["body"]
    return expression["terms"][2]


def _is_own(term: Node) -> bool:
    return term["type"] == "var" and str(term["value"]).startswith("_placet_detail")


def _some_in(body: Sequence[Node]) -> list[Node]:
    """Arguments of the membership in ``some k, v in xs``, when that is all there is."""
    return membership_of(body[0]) if len(body) == 1 and isinstance(body[0]["terms"], dict) else []
