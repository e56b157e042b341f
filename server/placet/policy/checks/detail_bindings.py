"""Find lines of a rule's body that bind a variable of its details and may be undefined.

Three kinds of lines do no harm:

- a line that is always defined;
- a line that iterates over a value that is read, which is a condition that there is an element;
- a line whose variable a condition needs anyway, see `placet.policy.checks.detail_conditions`.

A condition on one part of a composed value does not need its other parts: ``d := {"n": <n>, "why": <why>}`` beside
``d.n > 3`` is undefined without `why`.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

from placet.policy.checks.detail_conditions import drops_members
from placet.policy.rego.syntax import (
    CLOSURES,
    ROOTS,
    bindings_of,
    bound_variables,
    is_always_defined,
    membership_of,
    operation_of,
    variables,
)

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

    from placet.policy.rego.syntax import Node

_PATTERNS: Final = frozenset({"var", "array", "set", "object"})
"""Types of terms in which `=`, `some` and the output of a function bind variables."""
_COMPOSED: Final = _PATTERNS - {"var"}


def risky_lines(
    body: Sequence[Node], details: Node, names: frozenset[str], conditioned: frozenset[str]
) -> Iterator[tuple[Node, str]]:
    """Yield each line that may be undefined and binds a variable of the details, with the variable.

    `names` are those in the module that are no variables, `conditioned` the variables that a condition needs.
    """
    bound = bound_variables(body, names)
    waiting = sorted(variables(details) & bound)
    visited: set[str] = set()
    while waiting:
        name = waiting.pop()
        if name in visited:
            continue
        visited.add(name)
        for line in _binding_lines(body, name):
            value = _assigned_value(line, name)
            if value is not None and is_always_defined(value, bound):
                waiting += sorted(variables(value) & bound)
                if name in conditioned and value["type"] in CLOSURES and drops_members(value):
                    yield line, name
            elif not _iterates(line, body, names) and not (name in conditioned and _binds_whole(line, name)):
                yield line, name


def _binding_lines(body: Sequence[Node], name: str) -> list[Node]:
    """Return the lines that bind the variable by ``:=`` or `some`; without any, all lines that could bind it."""
    candidates = [line for line in body if name in variables(_targets(line))]
    certain = [line for line in candidates if isinstance(line["terms"], dict) or operation_of(line)[0] == "assign"]
    return certain or candidates


def _targets(line: Node) -> list[Node]:
    """Return the terms in which the line may bind variables.

    These are the left side of ``:=``, both sides of ``=``, the members of `some`, and the last argument of a call.
    """
    if line.get("negated"):
        return []
    if isinstance(line["terms"], dict):
        return membership_of(line)[:-1]
    operator, arguments = operation_of(line)
    candidates = {"assign": arguments[:1], "eq": arguments}.get(operator, arguments[-1:])
    return [term for term in candidates if term["type"] in _PATTERNS]


def _binds_whole(line: Node, name: str) -> bool:
    """Return whether the line binds the variable to one value that is not composed, and not by a pattern.

    A pattern, and a composed value, need all of their parts.
    """
    value = _assigned_value(line, name)
    composed = value is not None and value["type"] in _COMPOSED
    return not composed and any(term["type"] == "var" and term["value"] == name for term in _targets(line))


def _assigned_value(line: Node, name: str) -> Node | None:
    """Return the value of ``<name> := <value>`` or ``<name> = <value>``; None for any other line."""
    return dict(bindings_of(line)).get(name)


def _iterates(line: Node, body: Sequence[Node], names: frozenset[str]) -> bool:
    """Return whether the line binds each element of a value that is read.

    Such lines are ``some x in xs``, ``x := xs[_]`` and ``walk(xs, [path, x])``. Each is a condition that there is an
    element. Not so a line over a literal collection or one that the body makes, with a key that has a value, or with a
    pattern for the elements.
    """
    others = [other for other in body if other is not line]
    if isinstance(line["terms"], dict):
        [*members, collection] = membership_of(line) or [None]
        return collection is not None and _are_variables(members) and _is_read(collection, others, names)
    operator, arguments = operation_of(line)
    if operator == "walk" and len(arguments) == 2 and arguments[1]["type"] == "array":  # noqa: PLR2004 # input, output
        return _are_variables(arguments[1]["value"]) and _is_read(arguments[0], others, names)
    value = arguments[1] if operator == "assign" and "with" not in line else None
    if value is None or arguments[0]["type"] != "var" or value["type"] != "ref":
        return False
    [*parts, key] = value["value"]
    has_value = key["type"] != "var" or key["value"] in names
    is_used = any(key["value"] in variables(other["terms"]) for other in others)
    return not has_value and not is_used and _is_read({"type": "ref", "value": parts}, others, names)


def _are_variables(terms: Sequence[Node]) -> bool:
    return all(term["type"] == "var" for term in terms)


def _is_read(collection: Node, body: Sequence[Node], names: frozenset[str]) -> bool:
    """Return whether the collection is a reference into input, data or a rule, also through variables of the body."""
    if collection["type"] not in {"ref", "var"}:
        return False
    first = collection if collection["type"] == "var" else collection["value"][0]
    if first["type"] != "var":
        return False
    if first["value"] in names | ROOTS:
        return True
    lines = _binding_lines(body, first["value"])
    return bool(lines) and all(_binds_read_value(line, first["value"], body, names) for line in lines)


def _binds_read_value(line: Node, name: str, body: Sequence[Node], names: frozenset[str]) -> bool:
    value = _assigned_value(line, name)
    others = [other for other in body if other is not line]
    return _iterates(line, body, names) or (value is not None and _is_read(value, others, names))
