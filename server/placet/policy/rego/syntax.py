"""Questions about OPA's syntax tree (the JSON of ``opa parse``): which variables there are, what is always defined."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from typing import Any, Final

Node = Any
"""A part of the tree: an object of terms and expressions, a list of them, or a plain value."""

CLOSURES: Final = frozenset({"arraycomprehension", "setcomprehension", "objectcomprehension"})
"""Comprehensions: always defined, whatever is undefined within."""
_SCALARS: Final = frozenset({"string", "number", "boolean", "null"})
_PADDING: Final = ("array", "concat")
ROOTS: Final = frozenset({"input", "data", "rego"})
"""What a reference into a document begins with; no variables."""


def children(node: Node) -> Iterator[Node]:
    """The parts right below a node."""
    if isinstance(node, Mapping):
        yield from node.values()
    elif isinstance(node, list):
        yield from node


def walk(node: Node, *, closures: bool = True) -> Iterator[Mapping[str, Any]]:
    """Every object of the tree, from the outside in; without what stands in comprehensions and `every`, if asked."""
    waiting = [node]
    while waiting:
        here = waiting.pop()
        if isinstance(here, Mapping):
            if not closures and (here.get("type") in CLOSURES or {"domain", "body"} <= here.keys()):
                continue
            yield here
        waiting.extend(children(here))


def variables(node: Node, *, closures: bool = True) -> frozenset[str]:
    """Names of all variables of the tree; those of rules, functions and imports, too."""
    return frozenset(each["value"] for each in walk(node, closures=closures) if each.get("type") == "var")


def path_of(term: Node) -> tuple[str, ...]:
    """The constant path of a reference, such as ``("array", "concat")``; empty for anything else."""
    if term.get("type") == "var":
        return (term["value"],)
    if term.get("type") != "ref" or not all(part["type"] == "string" for part in term["value"][1:]):
        return ()
    return tuple(part["value"] for part in term["value"])


def call_of(term: Node) -> tuple[tuple[str, ...], list[Node]]:
    """What a term calls, and with which arguments; two empty ones when it is no call."""
    if not isinstance(term, Mapping) or term.get("type") != "call":
        return (), []
    return path_of(term["value"][0]), term["value"][1:]


def parts_of(line: Node) -> tuple[str, list[Node]]:
    """What a line calls and with which arguments, or "" and none when it calls nothing or stands under `not`."""
    terms = line["terms"]
    if line.get("negated") or not isinstance(terms, list):
        return "", []
    return ".".join(path_of(terms[0])), terms[1:]


def bindings_of(line: Node) -> list[tuple[str, Node]]:
    """Variable and value of ``x := <value>``, or of ``x = <value>``: both ways round where both sides are variables."""
    operator, sides = parts_of(line)
    if operator not in {"assign", "eq"} or len(sides) != 2 or "with" in line:  # noqa: PLR2004 # left and right
        return []
    left, right = sides
    ways = [(left, right)] if operator == "assign" else [(left, right), (right, left)]
    return [(to["value"], value) for to, value in ways if to["type"] == "var"]


def members_of(line: Node) -> list[Node]:
    """Arguments of the membership ``some x in xs`` or ``some k, v in xs``, the collection last."""
    symbols = line["terms"].get("symbols") or [{}]
    return call_of(symbols[0])[1]


def is_total(term: Node, bound: frozenset[str]) -> bool:
    """Whether the term is defined whatever the input is, where the variables of `bound` are."""
    kind, value = term["type"], term["value"]
    if kind in _SCALARS or kind in CLOSURES:
        return True
    if kind == "var":
        return value in bound
    if kind in {"array", "set"}:
        return all(is_total(each, bound) for each in value)
    if kind == "object":
        return all(is_total(each, bound) for pair in value for each in pair)
    return kind == "ref" and guarded_by(term, bound) is not None


def guarded_by(term: Node, bound: frozenset[str]) -> Node | None:
    """For ``array.concat([v | ...], [<default>])[0]``, which is always defined, the comprehension; None else."""
    if term["type"] != "ref" or len(term["value"]) != 2 or term["value"][1].get("value") != 0:  # noqa: PLR2004
        return None
    called, arguments = call_of(term["value"][0])
    if called != _PADDING or len(arguments) != 2:  # noqa: PLR2004 # the list, and what stands in for it
        return None
    first, second = arguments
    padded = second["type"] == "array" and second["value"] and is_total(second, bound)
    return first if padded and first["type"] == "arraycomprehension" else None


def is_declaration(expression: Node) -> bool:
    """Whether it only declares variables: ``some x``."""
    terms = expression["terms"]
    return isinstance(terms, Mapping) and "symbols" in terms and all(each["type"] == "var" for each in terms["symbols"])


def bound_by(body: Iterable[Node], names: frozenset[str]) -> frozenset[str]:
    """Variables that a rule's body gives a value; `names` are those of rules and imports, which are no variables."""
    found: set[str] = set()
    for expression in body:
        if not expression.get("negated") and not is_declaration(expression):
            found |= variables(expression["terms"], closures=False)
    return frozenset(found - names - ROOTS)


def bare(node: Node) -> Node:
    """The same tree without places."""
    if isinstance(node, Mapping):
        return {key: bare(value) for key, value in node.items() if key != "location"}
    return [bare(value) for value in node] if isinstance(node, list) else node


def constant_of(term: Node) -> tuple[Any] | None:
    """The value of a constant term without sets, in a tuple of one; None for any other term."""
    kind, value = term["type"], term.get("value")
    if kind in _SCALARS:
        return (value,)
    if kind == "array":
        items = [constant_of(item) for item in value]
        return None if None in items else ([item[0] for item in items if item is not None],)
    if kind == "object":
        pairs = [(constant_of(key), constant_of(item)) for key, item in value]
        found = {key[0]: item[0] for key, item in pairs if key is not None and item is not None}
        return (found,) if len(found) == len(pairs) and all(isinstance(key, str) for key in found) else None
    return None
