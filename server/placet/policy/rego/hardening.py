"""Rewrite the heads of deny and require_approval rules so that undefined details cannot remove the finding.

In Rego, a rule whose head is undefined does not fire. With ``{"to": input.action.params.to}`` as details, a deny
vanishes when `to` is missing. Therefore the served text differs from the written one: each value of a finding's details
is put into a comprehension, which is always defined. The value becomes null when the comprehension is empty:

    {"to": input.action.params.to}
    {"to": array.concat([v | v := input.action.params.to], [null])[0]}

The details of `allow` are not guarded. There, undefined details remove an allow, which is safe; restoring it would not
be.

The call of ``finding`` itself is replaced by the object that it returns, see `placet.policy.rego.finding_calls`.

The rewriting changes text within lines, so every line keeps its number. It works on tokens and needs no OPA. Afterwards
`placet.policy.checks.detail_checks` verifies, on OPA's own syntax tree, that the rewritten rules are safe and that
nothing else changed.
"""

from __future__ import annotations

from dataclasses import replace
from functools import lru_cache
from typing import TYPE_CHECKING, Final

from placet.kernel.model import Effect
from placet.policy.rego.finding_calls import METADATA_CALL, inlined_findings
from placet.policy.rego.tokens import SOURCES_KEPT, closing, nesting, tokens

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

    from placet.policy.files.tree import PolicyTree
    from placet.policy.rego.finding_calls import Edit
    from placet.policy.rego.tokens import Token

HARDENED_SETS: Final = (Effect.DENY.value, Effect.REQUIRE_APPROVAL.value)
"""The sets in which a finding must never vanish because of its details."""
_SCALARS: Final = frozenset({"true", "false", "null"})


def hardened(tree: PolicyTree, *, write_out: bool = True) -> PolicyTree:
    """Return the tree with modules rewritten by `harden`. A module that is not UTF-8 is unchanged: OPA refuses it."""
    modules = {}
    for name, content in tree.modules.items():
        try:
            modules[name] = harden(content.decode(), write_out=write_out).encode()
        except UnicodeDecodeError:
            modules[name] = content
    return replace(tree, modules=modules)


@lru_cache(maxsize=SOURCES_KEPT)
def harden(source: str, *, write_out: bool = True) -> str:
    """Return a module's text with guarded details in every deny and require_approval, and with findings written out.

    Without `write_out` the calls of ``finding`` stay, as in tests, which cover that function too.

    The form is ``deny contains finding(rego.metadata.rule(), <details>) if { ... }``.
    """
    source_tokens = tokens(source)
    variable = _free_name(source)
    edits = inlined_findings(source, source_tokens) if write_out else []
    for details in _details(source_tokens):
        edits += _edits(details, variable)
    for start, end, text in sorted(edits, reverse=True):
        source = source[:start] + text + source[end:]
    return source


def _free_name(source: str) -> str:
    """Return a variable name that the module does not use."""
    number = 0
    while (name := f"_placet_detail{number or ''}") in source:
        number += 1
    return name


def _details(source: Sequence[Token]) -> Iterator[Sequence[Token]]:
    """Yield the source of ``<details>`` in each ``finding(rego.metadata.rule(), <details>)`` of HARDENED_SETS."""
    depth, current = 0, ""
    for index, token in enumerate(source):
        if depth == 0 and _text(source, index + 1) == "contains":
            current = token.text
        if token.text == "(" and current in HARDENED_SETS:
            first = index + 1 + len(METADATA_CALL)
            if [argument.text for argument in source[index + 1 : first]] == METADATA_CALL:
                yield source[first : closing(source, index)]
        depth += nesting(token)


def _edits(details: Sequence[Token], variable: str) -> list[Edit]:
    """Return the insertions, as edits, that make the details an object even when a part is undefined."""
    if not details:
        return []
    values = _values(details)
    if values is not None:
        return [edit for value in values for edit in _value_edits(value, variable)]
    key, value = f"{variable}_key", f"{variable}_value"
    before = f"{{{key}: {value} | some {key}, {value} in array.concat([{variable} | {variable} := "
    return _around(details, before, '], [{"details": null}])[0]}')


def _value_edits(value: Sequence[Token], variable: str) -> list[Edit]:
    """Return the insertions for one value: none for a constant, those of its values for an object, else one guard."""
    if len(value) == 1 and (value[0].kind in {"string", "number"} or value[0].text in _SCALARS):
        return []
    inner = _values(value)
    if inner is not None:
        return [edit for item in inner for edit in _value_edits(item, variable)]
    return _around(value, f"array.concat([{variable} | {variable} := ", "], [null])[0]")


def _around(source: Sequence[Token], before: str, after: str) -> list[Edit]:
    return [(source[0].start, source[0].start, before), (source[-1].end, source[-1].end, after)]


def _values(source: Sequence[Token]) -> list[Sequence[Token]] | None:
    """Return the values of a literal object with constant keys; None for anything else, such as a comprehension."""
    if source[0].text != "{" or closing(source, 0) != len(source) - 1:
        return None
    values: list[Sequence[Token]] = []
    for pair in _split(source[1:-1]):
        if len(pair) < 3 or pair[0].kind != "string" or pair[1].text != ":":  # noqa: PLR2004 # key, colon, value
            return None
        values.append(pair[2:])
    return values


def _split(source: Sequence[Token]) -> Iterator[Sequence[Token]]:
    """Yield the parts between commas of the outermost level. A ``|`` there, of a comprehension, is a separate part."""
    begin = depth = 0
    for index, token in enumerate(source):
        depth += nesting(token)
        if depth == 0 and token.text in {",", "|"}:
            yield source[begin:index]
            begin = index + 1
            if token.text == "|":
                yield [token]
    if begin < len(source):
        yield source[begin:]


def _text(source: Sequence[Token], index: int) -> str:
    return source[index].text if index < len(source) else ""
