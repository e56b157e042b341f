"""Rewrite the heads of deny and require_approval rules so that undefined details cannot remove the finding.

In Rego, a rule whose head is undefined does not fire. With ``{"to": input.action.params.to}`` as details, a deny
vanishes when `to` is missing. Therefore the served text differs from the written one: each value of a finding's details
is put into a comprehension, which is always defined. The value becomes null when the comprehension is empty:

    {"to": input.action.params.to}
    {"to": array.concat([v | v := input.action.params.to], [null])[0]}

Rules of `allow` are not rewritten. There, undefined details remove an allow, which is safe; restoring it would not be.

The rewriting inserts text within lines, so every line keeps its number. It works on tokens and needs no OPA. Afterwards
`placet.policy.checks.detail_checks` verifies, on OPA's own syntax tree, that the rewritten rules are safe and that
nothing else changed.
"""

from __future__ import annotations

import re
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Final

from placet.kernel.model import Effect

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

    from placet.policy.files.tree import PolicyTree

HARDENED_SETS: Final = (Effect.DENY.value, Effect.REQUIRE_APPROVAL.value)
"""The sets in which a finding must never vanish because of its details."""
_TOKEN: Final = re.compile(
    r"""(?P<space>[ \t\r\n]+)|(?P<comment>\#[^\n]*)|(?P<string>"(?:[^"\\\n]|\\.)*"|`[^`]*`)"""
    r"""|(?P<number>-?[0-9]+(?:\.[0-9]+)?(?:[eE][+-]?[0-9]+)?)|(?P<word>[A-Za-z_][A-Za-z0-9_]*)|(?P<sign>:=|.)""",
    re.DOTALL,
)
_OPENING: Final = frozenset("([{")
_CLOSING: Final = frozenset(")]}")
_METADATA: Final = ["rego", ".", "metadata", ".", "rule", "(", ")", ","]
_SCALARS: Final = frozenset({"true", "false", "null"})


@dataclass(frozen=True, slots=True)
class _Token:
    """One token of Rego."""

    kind: str  # string, template, number, word or sign
    text: str
    start: int  # offset in characters
    end: int  # offset in characters, exclusive


def hardened(tree: PolicyTree) -> PolicyTree:
    """Return the tree with its modules rewritten. A module that is not UTF-8 is unchanged: OPA refuses it."""
    modules = {}
    for name, content in tree.modules.items():
        try:
            modules[name] = harden(content.decode()).encode()
        except UnicodeDecodeError:
            modules[name] = content
    return replace(tree, modules=modules)


def harden(source: str) -> str:
    """Return a module's text with guarded details in every deny and require_approval of the documented form.

    The form is ``deny contains finding(rego.metadata.rule(), <details>) if { ... }``.
    """
    tokens = _tokens(source)
    variable = _free_name(source)
    edits: list[tuple[int, str]] = []
    for details in _details(tokens):
        edits += _edits(details, variable)
    for offset, inserted in sorted(edits, key=lambda edit: edit[0], reverse=True):
        source = source[:offset] + inserted + source[offset:]
    return source


def _free_name(source: str) -> str:
    """Return a variable name that the module does not use."""
    number = 0
    while (name := f"_placet_detail{number or ''}") in source:
        number += 1
    return name


def _details(tokens: Sequence[_Token]) -> Iterator[Sequence[_Token]]:
    """Yield the tokens of ``<details>`` in each ``finding(rego.metadata.rule(), <details>)`` of HARDENED_SETS."""
    depth, current = 0, ""
    for index, token in enumerate(tokens):
        if depth == 0 and _text(tokens, index + 1) == "contains":
            current = token.text
        if token.text == "(" and current in HARDENED_SETS:
            first = index + 1 + len(_METADATA)
            if [argument.text for argument in tokens[index + 1 : first]] == _METADATA:
                yield tokens[first : _closing(tokens, index)]
        depth += _nesting(token)


def _edits(details: Sequence[_Token], variable: str) -> list[tuple[int, str]]:
    """Return the insertions, as (offset, text), that make the details an object even when a part is undefined."""
    if not details:
        return []
    values = _values(details)
    if values is not None:
        return [edit for value in values for edit in _value_edits(value, variable)]
    key, value = f"{variable}_key", f"{variable}_value"
    before = f"{{{key}: {value} | some {key}, {value} in array.concat([{variable} | {variable} := "
    return _around(details, before, '], [{"details": null}])[0]}')


def _value_edits(value: Sequence[_Token], variable: str) -> list[tuple[int, str]]:
    """Return the insertions for one value: none for a constant, those of its values for an object, else one guard."""
    if len(value) == 1 and (value[0].kind in {"string", "number"} or value[0].text in _SCALARS):
        return []
    inner = _values(value)
    if inner is not None:
        return [edit for item in inner for edit in _value_edits(item, variable)]
    return _around(value, f"array.concat([{variable} | {variable} := ", "], [null])[0]")


def _around(tokens: Sequence[_Token], before: str, after: str) -> list[tuple[int, str]]:
    return [(tokens[0].start, before), (tokens[-1].end, after)]


def _values(tokens: Sequence[_Token]) -> list[Sequence[_Token]] | None:
    """Return the values of a literal object with constant keys; None for anything else, such as a comprehension."""
    if tokens[0].text != "{" or _closing(tokens, 0) != len(tokens) - 1:
        return None
    values: list[Sequence[_Token]] = []
    for pair in _split(tokens[1:-1]):
        if len(pair) < 3 or pair[0].kind != "string" or pair[1].text != ":":  # noqa: PLR2004 # key, colon, value
            return None
        values.append(pair[2:])
    return values


def _split(tokens: Sequence[_Token]) -> Iterator[Sequence[_Token]]:
    """Yield the parts between commas of the outermost level. A ``|`` there, of a comprehension, is a separate part."""
    begin = depth = 0
    for index, token in enumerate(tokens):
        depth += _nesting(token)
        if depth == 0 and token.text in {",", "|"}:
            yield tokens[begin:index]
            begin = index + 1
            if token.text == "|":
                yield [token]
    if begin < len(tokens):
        yield tokens[begin:]


def _closing(tokens: Sequence[_Token], opening: int) -> int:
    """Return the index of the bracket that closes the one at `opening`; the number of tokens when none does."""
    depth = 0
    for index in range(opening, len(tokens)):
        depth += _nesting(tokens[index])
        if depth == 0:
            return index
    return len(tokens)


def _nesting(token: _Token) -> int:
    """Return 1 for an opening bracket, -1 for a closing one, 0 for any other token."""
    return (token.text in _OPENING) - (token.text in _CLOSING)


def _text(tokens: Sequence[_Token], index: int) -> str:
    return tokens[index].text if index < len(tokens) else ""


def _tokens(source: str) -> list[_Token]:
    """Return all tokens except space and comments."""
    tokens: list[_Token] = []
    position = 0
    while position < len(source):
        if source.startswith(('$"', "$`"), position):
            end = _template_end(source, position)
            tokens.append(_Token("template", source[position:end], position, end))
        else:
            match = _TOKEN.match(source, position)
            if match is None:
                raise AssertionError("every character is a token")
            end = match.end()
            if match.lastgroup not in {"space", "comment"}:
                tokens.append(_Token(str(match.lastgroup), match.group(), position, end))
        position = end
    return tokens


def _template_end(source: str, start: int) -> int:
    """Return the offset after a template string: ``$"a {input.b["c"]}"`` holds expressions, which hold strings."""
    quote = source[start + 1]
    position = start + 2
    while position < len(source):
        char = source[position]
        if char == "\\" and quote == '"':
            position += 2
        elif char == quote:
            return position + 1
        elif char == "{":
            position = _expression_end(source, position)
        else:
            position += 1
    return len(source)


def _expression_end(source: str, start: int) -> int:
    """Return the offset after the ``}`` that closes the expression at `start`; the end of the source without one."""
    depth = 0
    position = start
    while position < len(source):
        if source.startswith(('$"', "$`"), position):
            position = _template_end(source, position)
            continue
        match = _TOKEN.match(source, position)
        if match is None:
            raise AssertionError("every character is a token")
        position = match.end()
        if match.lastgroup == "sign":
            depth += (match.group() == "{") - (match.group() == "}")
            if depth == 0:
                return position
    return len(source)
