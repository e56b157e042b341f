"""Find the sets of findings in the packs, and the tools that each of them is about, by reading the text of the modules.

A set is about certain tools when every rule that adds to it has a line such as ``input.action.tool == "stripe.refund"``
or ``input.action.tool in {"a", "b"}``. Then it is empty for any other tool, and OPA need not be asked for it. A rule
whose lines are written in another way counts as being about every tool.

`placet.policy.checks.collection_checks` verifies the result on OPA's own syntax tree.
"""

from __future__ import annotations

import re
from functools import lru_cache
from pathlib import PurePosixPath
from typing import TYPE_CHECKING, Final

from placet.kernel.model import Effect
from placet.policy.rego.tokens import SOURCES_KEPT, closing, nesting, tokens

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping, Sequence

    from placet.policy.rego.tokens import Token

FindingSet = tuple[tuple[str, ...], str]
"""A set of findings: the package of the pack, and the effect."""
Tools = frozenset[str] | None
"""The tools that a set is about; None for all."""
PACK_ROOTS: Final = (("placet", "baseline"), ("policy",))
"""Folders below which each folder is a pack, in the order in which their findings are collected."""
_EFFECTS: Final = frozenset(effect.value for effect in Effect)
_CONTINUING: Final = frozenset({*"=!<>+-*/%&|:.,", "with", "in", "and", "or", ":="})
"""Words and signs that cannot begin an expression: the one of the line before goes on."""
_CONTINUED: Final = frozenset({*"=!<>+-*/%&|:.,", "not", "in", "some", "every", "with", "as", "and", "or", ":="})
"""Words and signs that cannot end an expression."""
_PLAIN: Final = re.compile(r'"[^"\\]*"')
_TOOL: Final = ["input", ".", "action", ".", "tool"]


def finding_sets(modules: Mapping[str, bytes]) -> dict[FindingSet, Tools]:
    """Return the sets of all packs, in the order of collection, with their tools. `modules` are contents by path."""
    found: dict[FindingSet, Tools] = {}
    for package, module in pack_modules(modules):
        for effect, _, tools in _rules_once(module):
            before = found.get((package, effect), frozenset())
            found[package, effect] = None if tools is None or before is None else before | tools
    return found


def pack_modules(modules: Mapping[str, bytes]) -> Iterator[tuple[tuple[str, ...], bytes]]:
    """Yield the package and the content of each module of a pack, in the order of collection."""
    for name in sorted(modules, key=_order):
        package = PurePosixPath(name).parent.parts
        if any(package[: len(root)] == root and len(package) == len(root) + 1 for root in PACK_ROOTS):
            yield package, modules[name]


def rule_heads(module: bytes) -> list[tuple[int, str]]:
    """Return line and effect of each rule that adds to a set of findings, in the order of the text."""
    return [(line, effect) for effect, line, _ in _rules_once(module)]


def finding_rules(module: bytes) -> Iterator[tuple[int, str, Sequence[Token]]]:
    """Yield line, effect and body of each rule that adds to a set of findings, in the order of the text."""
    source = tokens(module.decode(errors="replace"))
    depth = 0
    for index, token in enumerate(source):
        follows = source[index + 1].text if index + 1 < len(source) else ""
        if depth == 0 and token.text in _EFFECTS and follows == "contains":
            yield token.line + 1, token.text, _body(source, index)
        depth += nesting(token)


def expressions(body: Sequence[Token]) -> Iterator[Sequence[Token]]:
    """Yield the tokens of each expression, which ends with a line of the text outside of all brackets."""
    begin = depth = 0
    for index, token in enumerate(body):
        depth += nesting(token)
        following = body[index + 1] if index + 1 < len(body) else None
        if depth == 0 and (following is None or _is_end(token, following)):
            yield body[begin : index + 1]
            begin = index + 1


def _order(name: str) -> tuple[bool, str]:
    return not name.startswith("/".join(PACK_ROOTS[0]) + "/"), name


@lru_cache(maxsize=SOURCES_KEPT)
def _rules_once(module: bytes) -> tuple[tuple[str, int, Tools], ...]:
    return tuple((effect, line, _tools(body)) for line, effect, body in finding_rules(module))


def _body(source: Sequence[Token], head: int) -> Sequence[Token]:
    """Return the tokens of the body of the rule whose head is at the index: those between the braces after ``if``.

    The body of a rule without braces is the rest of the line. A rule whose head is not followed by ``if`` has none.
    """
    depth = 0
    for index in range(head, len(source) - 1):
        depth += nesting(source[index])
        if depth == 0 and source[index].text == "if":
            rest = source[index + 1 :]
            return rest[1 : closing(rest, 0)] if rest[0].text == "{" else next(expressions(rest))
        if depth == 0 and source[index + 1].text != "if" and _is_end(source[index], source[index + 1]):
            return ()
    return ()


def _tools(body: Sequence[Token]) -> Tools:
    """Return the tools that the lines of a body name. Several lines must all hold, so their tools are intersected."""
    named: Tools = None
    for line in expressions(body):
        tools = _named(line)
        if tools is not None:
            named = tools if named is None else named & tools
    return named


def _is_end(token: Token, following: Token) -> bool:
    """Return whether an expression outside of all brackets ends with the token: the following one begins another."""
    return following.line > token.line and following.text not in _CONTINUING and token.text not in _CONTINUED


def _named(line: Sequence[Token]) -> Tools:
    """Return the tools of ``input.action.tool == "..."`` or ``input.action.tool in {...}``; None for another line."""
    texts = [token.text for token in line]
    if texts[: len(_TOOL)] != _TOOL:
        return None
    rest = line[len(_TOOL) :]
    if texts[len(_TOOL) : len(_TOOL) + 2] == ["=", "="]:
        items = rest[2:]
        is_list = len(items) == 1
    else:
        items = rest[2:-1:2]
        brackets = [token.text for token in (*rest[:2], *rest[-1:])] == ["in", "{", "}"]
        is_list = brackets and all(comma.text == "," for comma in rest[3:-1:2])
    if not items or not is_list or not all(item.kind == "string" and _PLAIN.fullmatch(item.text) for item in items):
        return None
    return frozenset(item.text[1:-1] for item in items)
