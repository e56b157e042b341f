"""Find the variables that the conditions of a rule's body need, so that the rule cannot fire without them anyway.

A line such as ``to := input.action.params.to`` that only the details of a deny use removes the deny when `to` is
missing. Beside ``startswith(to, "x")`` it does no harm, because that condition is undefined without `to` too.

A condition is a line that binds no variable and needs all of its operands:

- a comparison or a membership;
- a test such as `startswith`;
- a call of a predicate: a function whose every rule has the form ``f(x) if { ... }``;
- a single reference.

These are no conditions: a comparison of a variable with itself, anything under `not`, in `every`, in a comprehension or
in a literal (``count([to]) == 1``), and a line with `with`.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

from placet.policy.rego.syntax import (
    TRUE,
    bindings_of,
    bound_variables,
    call_of,
    is_always_defined,
    is_unconditional,
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
"""Builtins that return a boolean and are undefined when an argument is."""
_UNARY_PREFIXES: Final = ("is_", "regex.is_valid", "semver.is_valid")
"""Prefixes of the names of tests with one argument."""
_GET: Final = ("object", "get")
_SUBSTITUTIONS_MAX: Final = 32
"""Longest chain of variables that are bound to each other. A longer one is a cycle, which OPA refuses."""

Arities = dict[tuple[str, ...], int]
"""Path of a function -> its number of arguments."""


def predicates(modules: Sequence[Module]) -> Arities:
    """Return the functions of the modules that are true or undefined, without those that are always true."""
    arities: Arities = {}
    others: set[tuple[str, ...]] = set()
    for module in modules:
        for rule in module.rules:
            head, body = rule.syntax["head"], rule.syntax["body"]
            path = ("data", *module.package, rule.base)
            is_true = without_locations(head.get("value")) == TRUE
            has_condition = not is_unconditional(body) and not rule.is_default and "else" not in rule.syntax
            if not head.get("args") or not is_true or not has_condition:
                others.add(path)
            else:
                arities[path] = len(head["args"])
    return {path: arity for path, arity in arities.items() if path not in others}


def needed_variables(module: Module, body: Sequence[Node], names: frozenset[str], functions: Arities) -> frozenset[str]:
    """Return the variables without which a condition of the body is undefined, so that the rule does not fire.

    `names` are those in the module that are no variables, `functions` its predicates.
    """
    values = _bound_terms(body)
    needed: set[str] = set()
    for operands in _conditions(module, body, functions):
        for index, operand in enumerate(operands):
            others = [_resolved(other, values) for position, other in enumerate(operands) if position != index]
            for term in _required_terms(operand):
                reached = _variables_on_path(term, values, names)
                needed |= {name for name in reached if not _mention(others, name, values)}
    return frozenset(needed)


def drops_members(comprehension: Node) -> bool:
    """Return whether an undefined part of a member would silently remove it from the comprehension.

    That is so unless a condition in the comprehension needs that part too.
    """
    value, body = comprehension["value"], comprehension["value"]["body"]
    bound = bound_variables(body, frozenset())
    required = [
        without_locations(term) for line in body for operand in _operands_of(line) for term in _required_terms(operand)
    ]
    parts = [value["key"], value["value"]] if "key" in value else [value["term"]]
    return any(not _is_defined(part, bound, required) for part in parts)


def _is_defined(term: Node, bound: frozenset[str], required: Sequence[Node]) -> bool:
    """Return whether the term is defined when the `required` terms are.

    Variables always count as defined: those from outside the comprehension are checked where they are bound.
    """
    if term["type"] == "var" or without_locations(term) in required or is_always_defined(term, bound):
        return True
    if term["type"] in {"array", "set"}:
        return all(_is_defined(item, bound, required) for item in term["value"])
    if term["type"] == "object":
        return all(_is_defined(part, bound, required) for pair in term["value"] for part in pair)
    function, arguments = call_of(term)
    has_default = function == _GET and len(arguments) == 3  # noqa: PLR2004 # object, key, default
    return has_default and all(_is_defined(argument, bound, required) for argument in arguments)


def _operands_of(line: Node) -> list[Node]:
    """Return the operands of a comparison or test; none for any other line."""
    operator, arguments = operation_of(line)
    return arguments if "with" not in line and len(arguments) == _operand_count(operator) else []


def _bound_terms(body: Sequence[Node]) -> Mapping[str, Node]:
    """Return the first term that each variable is bound to by ``x := <term>`` or ``x = <term>``."""
    terms: dict[str, Node] = {}
    for line in body:
        for name, term in bindings_of(line)[:1]:  # ``x = y`` binds x to y, but not also y to x
            terms.setdefault(name, term)
    return terms


def _resolved(term: Node, values: Mapping[str, Node]) -> Node:
    """Return the term without locations, each variable replaced by the variable or reference that it is bound to."""
    return _substituted(without_locations(term), values, _SUBSTITUTIONS_MAX)


def _conditions(module: Module, body: Sequence[Node], functions: Arities) -> Iterator[list[Node]]:
    """Yield the operands of each line that is a condition."""
    for line in body:
        if line.get("negated") or "with" in line:
            continue
        terms = line["terms"]
        if isinstance(terms, dict):
            if terms.get("type") in {"ref", "var"}:
                yield [terms]
        elif len(terms) - 1 == functions.get(_function_path(module, path_of(terms[0]))):
            yield terms[1:]
        elif operands := _operands_of(line):
            yield operands


def _operand_count(operator: str) -> int | None:
    """Return the number of operands of a comparison or test; None for any other. One more would be an output."""
    if operator not in _COMPARISONS | _TESTS:
        return None
    return 1 if operator.startswith(_UNARY_PREFIXES) else 2


def _function_path(module: Module, name: tuple[str, ...]) -> tuple[str, ...]:
    """Return the whole path of a function that the module calls by `name`."""
    if len(name) == 1 and name[0] not in module.imports:
        return ("data", *module.package, *name)
    return module.resolved(name)


def _required_terms(term: Node) -> Iterator[Node]:
    """Yield the variables and references without which the term is undefined: itself, or the arguments of its call."""
    if term["type"] in {"var", "ref"}:
        yield term
    for argument in call_of(term)[1]:
        yield from _required_terms(argument)


def _variables_on_path(term: Node, values: Mapping[str, Node], names: frozenset[str]) -> frozenset[str]:
    """Return the variables that must have a value for the term to have one.

    These are the first part of the term, the variables in the terms that it is bound to, and variables that are bound
    to a beginning of its reference.
    """
    variables: set[str] = set()
    waiting = [term]
    while waiting:
        current = waiting.pop()
        first = current if current["type"] == "var" else current["value"][0]
        if first["type"] != "var" or first["value"] in names | variables:
            continue
        variables.add(first["value"])
        if first["value"] in values:
            waiting += _required_terms(values[first["value"]])
    whole = _resolved(term, values)
    return frozenset(variables | {name for name in values if _begins_with(whole, _resolved(values[name], values))})


def _begins_with(reference: Node, beginning: Node) -> bool:
    """Return whether a reference begins with another, or equals it: ``input.a.b`` begins with ``input.a``."""
    if reference["type"] != "ref" or beginning["type"] != "ref":
        return False
    return bool(reference["value"][: len(beginning["value"])] == beginning["value"])


def _mention(terms: Sequence[Node], name: str, values: Mapping[str, Node]) -> bool:
    """Return whether the terms contain the variable or its value: then it is compared with itself."""
    value = _resolved({"type": "var", "value": name}, values)
    return any(node == value or _begins_with(node, value) for term in terms for node in walk(term) if "type" in node)


def _substituted(node: Node, values: Mapping[str, Node], depth: int) -> Node:
    if isinstance(node, list):
        return [_substituted(item, values, depth) for item in node]
    if not isinstance(node, dict):
        return node
    if node.get("type") == "var":
        value = values.get(node["value"])
        if depth and value is not None and value["type"] in {"var", "ref"}:
            return _substituted(without_locations(value), values, depth - 1)
    if node.get("type") == "ref" and depth:
        first, *rest = node["value"]
        base = _substituted(first, values, depth)
        parts = base["value"] if base.get("type") == "ref" else [base]
        return {"type": "ref", "value": [*parts, *(_substituted(part, values, depth) for part in rest)]}
    return {key: _substituted(value, values, depth) for key, value in node.items()}
