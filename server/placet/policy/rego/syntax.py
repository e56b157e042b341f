"""Questions about OPA's syntax tree, the JSON of ``opa parse``: variables, bindings, and terms that are always defined.

A *line* is one expression of a rule's body. A *term* is an object with ``type`` and ``value``. A reference such as
``input.action.tool`` is a term of type ``ref``, whose value is the list of its parts.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from typing import Any, Final

Node = Any
"""A part of the tree: a term, an expression, a list of them, or a plain value."""

CLOSURES: Final = frozenset({"arraycomprehension", "setcomprehension", "objectcomprehension"})
"""Types of comprehensions. A comprehension is always defined, even when a part of it is undefined."""
LOCATION: Final = "location"
"""The key of an object's place in the source."""
_SCALARS: Final = frozenset({"string", "number", "boolean", "null"})
TRUE: Final = {"type": "boolean", "value": True}
"""The term ``true``, without its location."""
_CONCAT: Final = ("array", "concat")
ROOTS: Final = frozenset({"input", "data", "rego"})
"""First parts of references to documents. OPA parses them as variables, but they are none."""


def walk(node: Node, *, closures: bool = True) -> Iterator[Mapping[str, Any]]:
    """Yield every object of the tree except source locations, the outer before the inner.

    With `closures` false, skips comprehensions and `every`.
    """
    waiting = [node]
    while waiting:
        current = waiting.pop()
        if isinstance(current, list):
            waiting.extend(current)
        elif isinstance(current, dict):
            if not closures and (current.get("type") in CLOSURES or {"domain", "body"} <= current.keys()):
                continue
            yield current
            waiting.extend([value for key, value in current.items() if key != LOCATION])


def variables(node: Node, *, closures: bool = True) -> frozenset[str]:
    """Return the names that OPA parses as variables, which include those of rules, functions and imports."""
    return frozenset(term["value"] for term in walk(node, closures=closures) if term.get("type") == "var")


def path_of(term: Node) -> tuple[str, ...]:
    """Return the constant path of a reference, such as ``("array", "concat")``; empty for any other term."""
    if term.get("type") == "var":
        return (term["value"],)
    if term.get("type") != "ref" or not all(part["type"] == "string" for part in term["value"][1:]):
        return ()
    return tuple(part["value"] for part in term["value"])


def call_of(term: Node) -> tuple[tuple[str, ...], list[Node]]:
    """Return the path of the function that a term calls, and the arguments; both empty when it is no call."""
    if not isinstance(term, Mapping) or term.get("type") != "call":
        return (), []
    return path_of(term["value"][0]), term["value"][1:]


def operation_of(line: Node) -> tuple[str, list[Node]]:
    """Return the operator or function of a line, and its operands; "" and none for a negated line and one without."""
    terms = line["terms"]
    if line.get("negated") or not isinstance(terms, list):
        return "", []
    return ".".join(path_of(terms[0])), terms[1:]


def bindings_of(line: Node) -> list[tuple[str, Node]]:
    """Return variable and value of ``x := <value>`` or ``x = <value>``.

    For ``x = y`` returns both ways round. Returns none for any other line, and for one with ``with``.
    """
    operator, sides = operation_of(line)
    if operator not in {"assign", "eq"} or len(sides) != 2 or "with" in line:  # noqa: PLR2004 # left and right
        return []
    left, right = sides
    ways = [(left, right)] if operator == "assign" else [(left, right), (right, left)]
    return [(variable["value"], value) for variable, value in ways if variable["type"] == "var"]


def membership_of(line: Node) -> list[Node]:
    """Return the terms of ``some x in xs`` or ``some k, v in xs``, with the collection last; empty for another line."""
    symbols = line["terms"].get("symbols") or [{}]
    return call_of(symbols[0])[1]


def is_always_defined(term: Node, bound: frozenset[str]) -> bool:
    """Return whether the term is defined for any input, provided that the variables in `bound` have values."""
    kind, value = term["type"], term["value"]
    if kind in _SCALARS or kind in CLOSURES:
        return True
    if kind == "var":
        return value in bound
    if kind in {"array", "set"}:
        return all(is_always_defined(item, bound) for item in value)
    if kind == "object":
        return all(is_always_defined(part, bound) for pair in value for part in pair)
    return kind == "ref" and guarded_comprehension(term, bound) is not None


def guarded_comprehension(term: Node, bound: frozenset[str]) -> Node | None:
    """Return the comprehension of ``array.concat([v | ...], [<default>])[0]``; None for any other term.

    Such a term is always defined: it has the default when the comprehension is empty.
    """
    if term["type"] != "ref" or len(term["value"]) != 2 or term["value"][1].get("value") != 0:  # noqa: PLR2004
        return None
    function, arguments = call_of(term["value"][0])
    if function != _CONCAT or len(arguments) != 2:  # noqa: PLR2004 # comprehension and default
        return None
    first, second = arguments
    has_default = second["type"] == "array" and second["value"] and is_always_defined(second, bound)
    return first if has_default and first["type"] == "arraycomprehension" else None


def is_declaration(line: Node) -> bool:
    """Return whether the line only declares variables: ``some x``."""
    terms = line["terms"]
    return isinstance(terms, Mapping) and "symbols" in terms and all(term["type"] == "var" for term in terms["symbols"])


def bound_variables(body: Iterable[Node], names: frozenset[str]) -> frozenset[str]:
    """Return the variables that a rule's body binds. `names` are those of rules and imports, which are no variables."""
    bound: set[str] = set()
    for line in body:
        if not line.get("negated") and not is_declaration(line):
            bound |= variables(line["terms"], closures=False)
    return frozenset(bound - names - ROOTS)


def is_unconditional(body: Node) -> bool:
    """Return whether a rule's body is only ``true``, which OPA also writes for a rule without a body."""
    return len(body) == 1 and without_locations(body[0]["terms"]) == TRUE


def without_locations(node: Node) -> Node:
    """Return a copy of the tree without source locations, so that two trees can be compared."""
    if isinstance(node, dict):
        return {key: without_locations(value) for key, value in node.items() if key != LOCATION}
    return [without_locations(value) for value in node] if isinstance(node, list) else node


def constant_of(term: Node) -> tuple[Any] | None:
    """Return the JSON value of a constant term, in a tuple of one, as the value can be None.

    Returns None for any other term, also for a set and for an object whose keys are not strings.
    """
    kind, value = term["type"], term.get("value")
    if kind in _SCALARS:
        return (value,)
    if kind == "array":
        items = [constant_of(item) for item in value]
        return None if None in items else ([item[0] for item in items if item is not None],)
    if kind == "object":
        pairs = [(constant_of(key), constant_of(item)) for key, item in value]
        members = {key[0]: item[0] for key, item in pairs if key is not None and item is not None}
        is_constant = len(members) == len(pairs) and all(isinstance(key, str) for key in members)
        return (members,) if is_constant else None
    return None
