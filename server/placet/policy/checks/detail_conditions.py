"""Which variables of a rule's body are needed by a condition, so that the rule could not fire without them anyway.

A line such as ``to := input.action.params.to`` that only serves the details of a deny takes the deny away when `to` is
missing. Beside ``startswith(to, "x")`` it does no harm: that condition is undefined without it, too.

A condition is a line that gives nothing a value and needs all of its operands: a comparison, a membership, a test such
as `startswith`, a call of a predicate (a function whose every rule is ``f(x) if { ... }``), or a reference that stands
alone. What compares a variable with itself is none, nor is what stands under `not`, in `every`, in a comprehension, in
a literal (``count([to]) == 1``), or has a `with`.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

from placet.policy.rego.syntax import (
    bindings_of,
    bound_variables,
    call_of,
    is_always_defined,
    operation_of,
    path_of,
    walk,
    without_locations,
)

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping, Sequence

    from placet.policy.rego.modules import Module
    from placet.policy.rego.syntax import Node

_COMPARISONS: Final = frozenset({"equal", "neq", "lt", "lte", "gt", "gte"})
_TESTS: Final = frozenset(
    {
        "internal.member_2",
        "startswith",
        "endswith",
        "contains",
        "strings.any_prefix_match",
        "strings.any_suffix_match",
        "regex.is_valid",
        "regex.match",
        "net.cidr_contains",
        "net.cidr_intersects",
        "object.subset",
        "semver.is_valid",
        "is_array",
        "is_boolean",
        "is_null",
        "is_number",
        "is_object",
        "is_set",
        "is_string",
    }
)
"""Built-in functions that answer true or false and are undefined when an argument is."""
_UNARY: Final = ("is_", "regex.is_valid", "semver.is_valid")
"""What the names of tests of one argument begin with."""
_GET: Final = ("object", "get")
_SUBSTITUTIONS_MAX: Final = 32
"""Variables that stand for each other; more are a circle, which OPA refuses."""

Arities = dict[tuple[str, ...], int]


def predicates(modules: Sequence[Module]) -> Arities:
    """Paths of all functions that only say true, with their number of arguments; those that always do are left out."""
    found: dict[tuple[str, ...], int] = {}
    others: set[tuple[str, ...]] = set()
    for module in modules:
        for rule in module.rules:
            head, body = rule.syntax["head"], rule.syntax["body"]
            path = ("data", *module.package, rule.base)
            says_true = without_locations(head.get("value")) == {"type": "boolean", "value": True}
            always = len(body) == 1 and without_locations(body[0]["terms"]) == {"type": "boolean", "value": True}
            if not head.get("args") or not says_true or always or rule.is_default or "else" in rule.syntax:
                others.add(path)
            else:
                found[path] = len(head["args"])
    return {path: arity for path, arity in found.items() if path not in others}


def needed(module: Module, body: Sequence[Node], names: frozenset[str], functions: Arities) -> frozenset[str]:
    """Variables without which a condition of the body is undefined, and so the rule does not fire."""
    values = _assigned(body)
    found: set[str] = set()
    for operands in _conditions(module, body, functions):
        for index, operand in enumerate(operands):
            others = [_whole(each, values) for place, each in enumerate(operands) if place != index]
            for term in _strict(operand):
                reached = _reached(term, values, names)
                found |= {name for name in reached if not _mentions(others, name, values)}
    return frozenset(found)


def drops_members(comprehension: Node) -> bool:
    """Whether it leaves a member out when a part of that is undefined which no condition of its own asks for."""
    made, body = comprehension["value"], comprehension["value"]["body"]
    bound = bound_variables(body, frozenset())
    asked = [without_locations(term) for line in body for operand in _operands_of(line) for term in _strict(operand)]
    parts = [made["key"], made["value"]] if "key" in made else [made["term"]]
    return any(not _is_given(part, bound, asked) for part in parts)


def _is_given(term: Node, bound: frozenset[str], asked: Sequence[Node]) -> bool:
    """Whether the term is defined where the conditions hold; a variable from outside is another's question."""
    if term["type"] == "var" or without_locations(term) in asked or is_always_defined(term, bound):
        return True
    if term["type"] in {"array", "set"}:
        return all(_is_given(each, bound, asked) for each in term["value"])
    if term["type"] == "object":
        return all(_is_given(each, bound, asked) for pair in term["value"] for each in pair)
    called, arguments = call_of(term)
    defaulted = called == _GET and len(arguments) == 3  # noqa: PLR2004 # object, key, default
    return defaulted and all(_is_given(each, bound, asked) for each in arguments)


def _operands_of(line: Node) -> list[Node]:
    """Operands of a comparison or test; none of any other line."""
    operator, arguments = operation_of(line)
    return arguments if "with" not in line and len(arguments) == _operands(operator) else []


def _assigned(body: Sequence[Node]) -> Mapping[str, Node]:
    """What each variable stands for that is bound by ``x := <term>``, or ``x = <term>`` where nothing else binds it."""
    values: dict[str, Node] = {}
    for line in body:
        for name, term in bindings_of(line)[:1]:  # of ``x = y`` one stands for the other, not both for each other
            values.setdefault(name, term)
    return values


def _whole(term: Node, values: Mapping[str, Node]) -> Node:
    """The term without places, each variable replaced by the variable or reference that it stands for."""
    return _expanded(without_locations(term), values, _SUBSTITUTIONS_MAX)


def _conditions(module: Module, body: Sequence[Node], functions: Arities) -> Iterator[list[Node]]:
    """The operands of each line that is a condition."""
    for expression in body:
        if expression.get("negated") or "with" in expression:
            continue
        terms = expression["terms"]
        if isinstance(terms, dict):
            if terms.get("type") in {"ref", "var"}:
                yield [terms]
        elif len(terms) - 1 == functions.get(_path(module, path_of(terms[0]))):
            yield terms[1:]
        elif operands := _operands_of(expression):
            yield operands


def _operands(operator: str) -> int | None:
    """How many operands a comparison or test takes; None for everything else. One more would be an output."""
    if operator not in _COMPARISONS | _TESTS:
        return None
    return 1 if operator.startswith(_UNARY) else 2


def _path(module: Module, called: tuple[str, ...]) -> tuple[str, ...]:
    """The whole path of a function as the module calls it."""
    if len(called) == 1 and called[0] not in module.imports:
        return ("data", *module.package, *called)
    return module.resolved(called)


def _strict(term: Node) -> Iterator[Node]:
    """Variables and references without which the term is undefined: itself, or the arguments of what it calls."""
    if term["type"] in {"var", "ref"}:
        yield term
    for argument in call_of(term)[1]:
        yield from _strict(argument)


def _reached(term: Node, values: Mapping[str, Node], names: frozenset[str]) -> frozenset[str]:
    """Variables that must have a value for the term to have one: on its way, and those that stand for a part of it."""
    found: set[str] = set()
    waiting = [term]
    while waiting:
        here = waiting.pop()
        base = here if here["type"] == "var" else here["value"][0]
        if base["type"] != "var" or base["value"] in names | found:
            continue
        found.add(base["value"])
        if base["value"] in values:
            waiting += _strict(values[base["value"]])
    whole = _whole(term, values)
    return frozenset(found | {name for name in values if _begins(whole, _whole(values[name], values))})


def _begins(whole: Node, begin: Node) -> bool:
    """Whether a reference is, or begins with, another: ``input.a.b`` begins with ``input.a``."""
    if whole["type"] != "ref" or begin["type"] != "ref":
        return False
    return bool(whole["value"][: len(begin["value"])] == begin["value"])


def _mentions(terms: Sequence[Node], name: str, values: Mapping[str, Node]) -> bool:
    """Whether the terms hold the variable, or what it stands for: then it is compared with itself."""
    same = _whole({"type": "var", "value": name}, values)
    return any(each == same or _begins(each, same) for term in terms for each in walk(term) if "type" in each)


def _expanded(node: Node, values: Mapping[str, Node], left: int) -> Node:
    if isinstance(node, list):
        return [_expanded(each, values, left) for each in node]
    if not isinstance(node, dict):
        return node
    if node.get("type") == "var":
        stands_for = values.get(node["value"])
        if left and stands_for is not None and stands_for["type"] in {"var", "ref"}:
            return _expanded(without_locations(stands_for), values, left - 1)
    if node.get("type") == "ref" and left:
        first, *rest = node["value"]
        base = _expanded(first, values, left)
        parts = base["value"] if base.get("type") == "ref" else [base]
        return {"type": "ref", "value": [*parts, *(_expanded(each, values, left) for each in rest)]}
    return {key: _expanded(value, values, left) for key, value in node.items()}
