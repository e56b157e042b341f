"""Findings that must stand: what about the details of a deny or require_approval could still undo it.

`placet.opa.hardening` guards the details that stand in a rule's head. What it cannot guard is refused here: findings
that are not made by the idiom, details that iterate, and details computed in the body by a line that may be undefined.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Final

from placet.core.errors import Problem
from placet.opa.hardening import HARDENED_SETS
from placet.opa.syntax import (
    bare,
    bound_by,
    call_of,
    guarded_by,
    is_declaration,
    is_total,
    path_of,
    variables,
    walk,
)

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping, Sequence

    from placet.opa.modules import Module, Rule
    from placet.opa.syntax import Node
    from placet.opa.tree import PolicyTree

FINDING: Final = ("data", "placet", "lib", "finding")
_METADATA_RULE: Final = ("rego", "metadata", "rule")
_BINDING: Final = {("assign",), ("eq",)}
_SILENT: Final = {("print",), ("trace",)}
_ITERATING: Final = {("walk",)}
_LITERALS: Final = frozenset({"array", "set", "object"})
_IDIOM: Final = "write {} contains finding(rego.metadata.rule(), {{...}}) if {{ ... }}"


def detail_problems(tree: PolicyTree, modules: Sequence[Module]) -> Iterator[Problem]:
    """Everything in the written modules that could take a deny or require_approval away with its details."""
    yield from _library_problems(tree, modules)
    for module, rule, names in _guarded_rules(modules):
        where = tree.where(module.file, rule.line)
        details = details_of(module, rule)
        if details is None:
            yield Problem(where, f"this {rule.name} is not found by the idiom", _IDIOM.format(rule.name))
            continue
        bound = bound_by(rule.syntax["body"], names)
        iterated = _iterated(details, bound, names)
        if iterated:
            what = f"the details of this {rule.name} iterate over {iterated}, so that it vanishes when there is none"
            yield Problem(where, what, "bind it in the body: some x in ..., and tell x")
        yield from _body_problems(tree, module, rule, details, bound)


def _library_problems(tree: PolicyTree, modules: Sequence[Module]) -> Iterator[Problem]:
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
            yield Problem(tree.where(module.file, rule.line), what, remedy)


def _always_finds(rule: Rule) -> bool:
    """Whether it is ``finding(rule, details) := {"rule_id": ..., "reason": rule.title, "details": details}``."""
    head, body = rule.syntax["head"], rule.syntax["body"]
    arguments = [path_of(each) for each in head.get("args") or ()]
    value = head.get("value") or {}
    unconditional = len(body) == 1 and bare(body[0]["terms"]) == {"type": "boolean", "value": True}
    if len(arguments) != 2 or not all(arguments) or not unconditional or value.get("type") != "object":  # noqa: PLR2004
        return False
    [metadata, details] = arguments
    said = {key["value"]: path_of(term) for key, term in value["value"]}
    return "else" not in rule.syntax and said == {
        "rule_id": (*metadata, "custom", "rule_id"),
        "reason": (*metadata, "title"),
        "details": details,
    }


def served_problems(tree: PolicyTree, written: Sequence[Module], served: Sequence[Module]) -> Iterator[Problem]:
    """Whether the modules as they are served are safe and say the same as those that were written.

    `served` are OPA's own parse of what `placet.opa.hardening` made of `written`.
    """
    for before, after in zip(written, served, strict=True):
        same = _unguarded(bare(before.syntax)) == _unguarded(bare(after.syntax))
        if before.file != after.file or not same:
            yield Problem(
                tree.where(before.file), "cannot be guarded without changing it", "write findings by the idiom"
            )
    for module, rule, names in _guarded_rules(served):
        details = details_of(module, rule)
        if details is None or not is_total(details, bound_by(rule.syntax["body"], names)):
            what = f"the details of this {rule.name} may be undefined, which would undo it"
            remedy = "write them as an object in the second argument of finding"
            yield Problem(tree.where(module.file, rule.line), what, remedy)


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
        if assigned and key.get("type") == "var" and bare(terms[1]) == bare(key):
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
    tree: PolicyTree, module: Module, rule: Rule, details: Node, bound: frozenset[str]
) -> Iterator[Problem]:
    """Lines of the body that only tell something and may be undefined."""
    body = [expression for expression in rule.syntax["body"] if expression is not _making(rule)]
    for expression in _telling(body, variables(details) & bound):
        value = _told_value(expression)
        if value is None or not (is_total(value, bound) or _iterates_alone(value, rule)):
            where = tree.where(module.file, expression["location"]["row"])
            what = f"is only told in the details of this {rule.name}, which vanishes when the line is undefined"
            remedy = "move it into the second argument of finding; a condition goes on a line that binds nothing"
            yield Problem(where, what, remedy)


def _telling(body: Sequence[Node], told: frozenset[str]) -> list[Node]:
    """Expressions that give variables a value which is told and used nowhere else, and what feeds those alone."""
    telling: list[Node] = []
    found = True
    while found:
        found = False
        for expression in body:
            if expression in telling or expression.get("negated") or _is_silent(expression):
                continue
            targets = _targets(expression)
            others = [each for each in body if each is not expression and each not in telling and not _is_silent(each)]
            elsewhere = frozenset[str]().union(*(variables(each["terms"]) for each in others))
            used = targets & told & elsewhere if _is_pattern(expression) else targets & elsewhere
            if targets & told and not used:
                telling.append(expression)
                told |= variables(expression["terms"])
                found = True
    return telling


def _is_silent(expression: Node) -> bool:
    """Whether it says nothing of the input: a declaration, a print, a comparison of a thing with itself."""
    terms = expression["terms"]
    if is_declaration(expression):
        return True
    if isinstance(terms, dict):
        return "domain" in terms and terms["domain"]["type"] in _LITERALS
    compares_itself = len(terms) == 3 and bare(terms[1]) == bare(terms[2])  # noqa: PLR2004 # operator, left, right
    return path_of(terms[0]) in _SILENT or compares_itself


def _is_pattern(expression: Node) -> bool:
    """Whether it takes a structure apart: ``[x] = ...``, ``{"a": x} = ...``. One missing part undoes all of it."""
    terms = expression["terms"]
    return isinstance(terms, list) and path_of(terms[0]) == ("eq",) and all(each["type"] != "var" for each in terms[1:])


def _targets(expression: Node) -> frozenset[str]:
    """What an expression gives a value.

    That is the left of ``:=``, a variable on one side of ``=`` or all of a pattern, a last argument, and the variables
    of ``some x in`` over what is written there; over what is read, ``some`` is a condition on there being one.
    """
    if isinstance(expression["terms"], dict):
        *members, collection = _members(expression) or [None]
        read = collection is None or collection["type"] in {"ref", "var"}
        return frozenset() if read else frozenset[str]().union(*map(variables, members))
    operator, *arguments = expression["terms"]
    if path_of(operator) == ("assign",):
        return variables(arguments[0])
    if _is_pattern(expression):
        return frozenset[str]().union(*(variables(each) for each in arguments if each["type"] in _LITERALS))
    candidates = arguments if path_of(operator) == ("eq",) else arguments[-1:]
    if path_of(operator) in _ITERATING:
        return variables(arguments[-1])
    return next((variables(each) for each in candidates if each["type"] == "var"), frozenset())


def _members(expression: Node) -> list[Node]:
    """Arguments of the membership in ``some x in xs`` or ``some k, v in xs``, the collection last."""
    symbols = expression["terms"].get("symbols") or [{}]
    return call_of(symbols[0])[1]


def _told_value(expression: Node) -> Node | None:
    """What is told: the other side. None for a pattern, or a call with its result as last argument."""
    if isinstance(expression["terms"], dict):
        collection = _members(expression)[-1]
        return collection if collection["type"] in _LITERALS and collection["value"] else None
    operator, *sides = expression["terms"]
    if path_of(operator) not in _BINDING or len(sides) != 2:  # noqa: PLR2004 # left and right
        return None
    left, right = sides
    if path_of(operator) == ("eq",) and left["type"] != "var":
        left, right = right, left
    return right if left["type"] == "var" else None


def _iterates_alone(value: Node, rule: Rule) -> bool:
    """Whether it takes each member of a collection, ``x := xs[_]``: a condition on there being one."""
    if value["type"] != "ref" or len(value["value"]) < 2:  # noqa: PLR2004 # a name and its last part
        return False
    first, last = value["value"][0], value["value"][-1]
    if first["type"] != "var" or last["type"] != "var":  # over what is written there it is no condition
        return False
    using = [
        each for each in rule.syntax["body"] if not is_declaration(each) and last["value"] in variables(each["terms"])
    ]
    return len(using) == 1


def _unguarded(node: Node) -> Node:
    """The tree as it was before `placet.opa.hardening` put its guards in."""
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
    comprehension = guarded_by(term, frozenset()) if term["type"] == "ref" else None
    if comprehension is None or not _is_own(comprehension["value"]["term"]):
        return None
    [expression] = comprehension["value"]["body"]
    return expression["terms"][2]


def _is_own(term: Node) -> bool:
    return term["type"] == "var" and str(term["value"]).startswith("_placet_detail")


def _some_in(body: Sequence[Node]) -> list[Node]:
    """Arguments of the membership in ``some k, v in xs``, when that is all there is."""
    return _members(body[0]) if len(body) == 1 and isinstance(body[0]["terms"], dict) else []
