"""Rewrite the heads of deny and require_approval rules so that undefined details cannot undo the finding.

In Rego a rule whose head is undefined does not fire: with ``{"to": input.action.params.to}`` as details a deny vanishes
when `to` is missing. What is served is therefore not quite what is written. Each value of a finding's details is put
into a comprehension, which is always defined, and told as null when it gives nothing:

    {"to": input.action.params.to}
    {"to": array.concat([v | v := input.action.params.to], [null])[0]}

Rules of `allow` are left as they are: there, undefined details take an allow away, and giving it back would widen.

The text is rewritten in place, line by line, so that every line keeps its number. It works on tokens alone and needs no
OPA; its generation proves on OPA's own syntax tree that the rewritten text is safe and says the same otherwise.
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
"""The sets in which a finding must stand whatever its details are."""
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
    """One token of Rego. `kind` is string, template, number, word or sign; `start` and `end` are character offsets."""

    kind: str
    text: str
    start: int
    end: int


def hardened(tree: PolicyTree) -> PolicyTree:
    """Return the tree with its modules rewritten; what is no UTF-8 is left for OPA to refuse."""
    modules = {}
    for name, content in tree.modules.items():
        try:
            modules[name] = harden(content.decode()).encode()
        except UnicodeDecodeError:
            modules[name] = content
    return replace(tree, modules=modules)


def harden(source: str) -> str:
    """Rewrite the details of every deny and require_approval that a module's text finds by the documented idiom."""
    tokens = _tokens(source)
    variable = _free_name(source)
    edits: list[tuple[int, str]] = []
    for details in _details(tokens):
        edits += _edits(details, variable)
    for offset, inserted in sorted(edits, key=lambda edit: edit[0], reverse=True):
        source = source[:offset] + inserted + source[offset:]
    return source


def _free_name(source: str) -> str:
    """A variable that the module does not use."""
    number = 0
    while (name := f"_placet_detail{number or ''}") in source:
        number += 1
    return name


def _details(tokens: Sequence[_Token]) -> Iterator[Sequence[_Token]]:
    """The tokens of each ``<details>`` in ``finding(rego.metadata.rule(), <details>)``, in rules that must stand."""
    depth, current = 0, ""
    for index, token in enumerate(tokens):
        if depth == 0 and _text(tokens, index + 1) == "contains":
            current = token.text
        if token.text == "(" and current in HARDENED_SETS:
            first = index + 1 + len(_METADATA)
            if [each.text for each in tokens[index + 1 : first]] == _METADATA:
                yield tokens[first : _closing(tokens, index)]
        depth += _nesting(token)


def _edits(details: Sequence[_Token], variable: str) -> list[tuple[int, str]]:
    """What is to be inserted where, so that the details are an object whatever is undefined in them."""
    if not details:
        return []
    values = _values(details)
    if values is not None:
        return [edit for value in values for edit in _value_edits(value, variable)]
    key, value = f"{variable}_key", f"{variable}_value"
    before = f"{{{key}: {value} | some {key}, {value} in array.concat([{variable} | {variable} := "
    return _around(details, before, '], [{"details": null}])[0]}')


def _value_edits(value: Sequence[_Token], variable: str) -> list[tuple[int, str]]:
    """A constant stays as it is, an object is taken value by value, everything else is guarded as a whole."""
    if len(value) == 1 and (value[0].kind in {"string", "number"} or value[0].text in _SCALARS):
        return []
    inner = _values(value)
    if inner is not None:
        return [edit for each in inner for edit in _value_edits(each, variable)]
    return _around(value, f"array.concat([{variable} | {variable} := ", "], [null])[0]")


def _around(tokens: Sequence[_Token], before: str, after: str) -> list[tuple[int, str]]:
    return [(tokens[0].start, before), (tokens[-1].end, after)]


def _values(tokens: Sequence[_Token]) -> list[Sequence[_Token]] | None:
    """The values of an object that is written out with constant keys; None for anything else, a comprehension too."""
    if tokens[0].text != "{" or _closing(tokens, 0) != len(tokens) - 1:
        return None
    values: list[Sequence[_Token]] = []
    for pair in _split(tokens[1:-1]):
        if len(pair) < 3 or pair[0].kind != "string" or pair[1].text != ":":  # noqa: PLR2004 # key, colon, value
            return None
        values.append(pair[2:])
    return values


def _split(tokens: Sequence[_Token]) -> Iterator[Sequence[_Token]]:
    """The parts between commas on the outermost level. A bar there, as of a comprehension, is a part of its own."""
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
    """Where the bracket at `opening` is closed; the end when it is not."""
    depth = 0
    for index in range(opening, len(tokens)):
        depth += _nesting(tokens[index])
        if depth == 0:
            return index
    return len(tokens)


def _nesting(token: _Token) -> int:
    """1 for an opening bracket, -1 for a closing one."""
    return (token.text in _OPENING) - (token.text in _CLOSING)


def _text(tokens: Sequence[_Token], index: int) -> str:
    return tokens[index].text if index < len(tokens) else ""


def _tokens(source: str) -> list[_Token]:
    """Everything but space and comments."""
    found: list[_Token] = []
    place = 0
    while place < len(source):
        if source.startswith(('$"', "$`"), place):
            end = _template_end(source, place)
            found.append(_Token("template", source[place:end], place, end))
        else:
            match = _TOKEN.match(source, place)
            if match is None:
                raise AssertionError("every character is a token")
            end = match.end()
            if match.lastgroup not in {"space", "comment"}:
                found.append(_Token(str(match.lastgroup), match.group(), place, end))
        place = end
    return found


def _template_end(source: str, start: int) -> int:
    """Where a template string ends: ``$"a {input.b["c"]}"`` holds expressions, and those hold strings."""
    quote = source[start + 1]
    place = start + 2
    while place < len(source):
        char = source[place]
        if char == "\\" and quote == '"':
            place += 2
        elif char == quote:
            return place + 1
        elif char == "{":
            place = _expression_end(source, place)
        else:
            place += 1
    return len(source)


def _expression_end(source: str, start: int) -> int:
    depth = 0
    place = start
    while place < len(source):
        if source.startswith(('$"', "$`"), place):
            place = _template_end(source, place)
            continue
        match = _TOKEN.match(source, place)
        if match is None:
            raise AssertionError("every character is a token")
        place = match.end()
        if match.lastgroup == "sign":
            depth += (match.group() == "{") - (match.group() == "}")
            if depth == 0:
                return place
    return len(source)
