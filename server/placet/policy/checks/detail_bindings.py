"""Lines of a rule's body that give the variables of its details their values, and may be undefined.

Three kinds of line do no harm: one that is always defined, one that iterates over what is read (a condition on there
being a member), and one whose variable a condition needs anyway (`detail_conditions`). A condition on a part of several
values does not need the others: without `why`, ``d := {"n": <n>, "why": <why>}`` beside ``d.n > 3`` is undefined.
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
"""Terms that `=`, `some` and a function's output may take apart into variables."""
_COMPOSED: Final = _PATTERNS - {"var"}


def risky_lines(
    body: Sequence[Node], details: Node, names: frozenset[str], conditioned: frozenset[str]
) -> Iterator[tuple[Node, str]]:
    """Each line that may be undefined and gives a variable of the details its value, with that variable."""
    bound = bound_variables(body, names)
    waiting = sorted(variables(details) & bound)
    seen: set[str] = set()
    while waiting:
        name = waiting.pop()
        if name in seen:
            continue
        seen.add(name)
        for line in _binding_lines(body, name):
            value = _assigned_value(line, name)
            if value is not None and is_always_defined(value, bound):
                waiting += sorted(variables(value) & bound)
                if name in conditioned and value["type"] in CLOSURES and drops_members(value):
                    yield line, name
            elif not _iterates(line, body, names) and not (name in conditioned and _gives_whole(line, name)):
                yield line, name


def _binding_lines(body: Sequence[Node], name: str) -> list[Node]:
    """Lines that may give the variable its value: where it is assigned or a member, else all that could."""
    able = [line for line in body if name in variables(_targets(line))]
    sure = [line for line in able if isinstance(line["terms"], dict) or operation_of(line)[0] == "assign"]
    return sure or able


def _targets(line: Node) -> list[Node]:
    """Terms that the line may give a value: left of ``:=``, on both sides of ``=``, members, last arguments."""
    if line.get("negated"):
        return []
    if isinstance(line["terms"], dict):
        return membership_of(line)[:-1]
    operator, arguments = operation_of(line)
    able = {"assign": arguments[:1], "eq": arguments}.get(operator, arguments[-1:])
    return [each for each in able if each["type"] in _PATTERNS]


def _gives_whole(line: Node, name: str) -> bool:
    """Whether the line gives the variable one value; a pattern, or a literal of several, needs all parts."""
    value = _assigned_value(line, name)
    composed = value is not None and value["type"] in _COMPOSED
    return not composed and any(each["type"] == "var" and each["value"] == name for each in _targets(line))


def _assigned_value(line: Node, name: str) -> Node | None:
    """The right of ``<name> := <value>``, or the other side of ``<name> = <value>``; None for every other line."""
    return dict(bindings_of(line)).get(name)


def _iterates(line: Node, body: Sequence[Node], names: frozenset[str]) -> bool:
    """Whether it takes each member of what is read: ``some x in xs``, ``x := xs[_]``, ``walk(xs, [path, x])``.

    That is a condition on there being one. It is none over a collection that is written there or made in the body, for
    a key that is given, or for members that are taken apart.
    """
    others = [each for each in body if each is not line]
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
    given = key["type"] != "var" or key["value"] in names
    used = any(key["value"] in variables(each["terms"]) for each in others)
    return not given and not used and _is_read({"type": "ref", "value": parts}, others, names)


def _are_variables(terms: Sequence[Node]) -> bool:
    return all(each["type"] == "var" for each in terms)


def _is_read(collection: Node, body: Sequence[Node], names: frozenset[str]) -> bool:
    """Whether it is a reference into input, data or a rule, or into what the body takes from there as it is."""
    if collection["type"] not in {"ref", "var"}:
        return False
    base = collection if collection["type"] == "var" else collection["value"][0]
    if base["type"] != "var":
        return False
    if base["value"] in names | ROOTS:
        return True
    lines = _binding_lines(body, base["value"])
    return bool(lines) and all(_is_taken(line, base["value"], body, names) for line in lines)


def _is_taken(line: Node, name: str, body: Sequence[Node], names: frozenset[str]) -> bool:
    value = _assigned_value(line, name)
    others = [each for each in body if each is not line]
    return _iterates(line, body, names) or (value is not None and _is_read(value, others, names))
