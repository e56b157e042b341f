"""Write out the findings in the heads of rules, so that OPA calls no function and looks up no METADATA for each.

    # METADATA
    # title: A refund must state an amount above zero
    # custom:
    #   rule_id: refunds.amount_missing
    deny contains finding(rego.metadata.rule(), {}) if { ... }
    deny contains {"rule_id": "refunds.amount_missing", "reason": "A refund must ...", "details": {}} if { ... }

A call stays as it is when its METADATA is not directly above or cannot be read, or when ``finding`` is not imported
from `data.placet.lib` by that name. Afterwards `placet.policy.checks.hardening_checks` compares the result with OPA's
own reading of the module.
"""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Final, TypeGuard

import yaml

from placet.kernel.model import Effect
from placet.policy.rego.tokens import closing, nesting

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

    from placet.policy.rego.tokens import Token

Edit = tuple[int, int, str]
"""Text in place of the characters from the first offset up to the second. Equal offsets insert."""
METADATA_CALL: Final = ["rego", ".", "metadata", ".", "rule", "(", ")", ","]
_EFFECTS: Final = frozenset(effect.value for effect in Effect)
_LIB: Final = ["import", "data", ".", "placet", ".", "lib"]
_FORMS: Final = (["finding", "("], ["lib", ".", "finding", "("])
"""How the function is called, and the import that each form needs."""


def inlined_findings(source: str, source_tokens: Sequence[Token]) -> list[Edit]:
    """Return the edits that replace each call of ``finding`` in a rule's head by the object that it returns."""
    lines = source.split("\n")
    forms = [form for form, imported in zip(_FORMS, _imported(source_tokens), strict=True) if imported]
    edits: list[Edit] = []
    for index in _heads(source_tokens):
        form = next((form for form in forms if _texts(source_tokens, index, len(form)) == form), None)
        names = _metadata_above(lines, source_tokens[index].line)
        if form is not None and names is not None:
            edits += _call_edits(source, source_tokens, index, index + len(form) - 1, *names)
    return edits


def _imported(source_tokens: Sequence[Token]) -> tuple[bool, bool]:
    """Return whether the module imports ``data.placet.lib.finding`` and ``data.placet.lib``, by these names."""
    function = library = False
    for index, token in enumerate(source_tokens):
        if token.text != "import" or _texts(source_tokens, index, len(_LIB)) != _LIB:
            continue
        after = _texts(source_tokens, index + len(_LIB), 3)
        function = function or (after[:2] == [".", "finding"] and after[2:] not in (["as"], ["."]))
        library = library or after[:1] not in (["as"], ["."])
    return function, library


def _heads(source_tokens: Sequence[Token]) -> Iterator[int]:
    """Yield the index of the first token after ``<effect> contains`` of each rule."""
    depth = 0
    for index, token in enumerate(source_tokens):
        if depth == 0 and token.text in _EFFECTS and _texts(source_tokens, index + 1, 1) == ["contains"]:
            yield index + 2
        depth += nesting(token)


def _call_edits(
    source: str, source_tokens: Sequence[Token], first: int, opening: int, rule_id: str, title: str
) -> list[Edit]:
    """Return the edits for the call that begins at `first`, with its bracket at `opening`; none for another form."""
    details, end = opening + 1 + len(METADATA_CALL), closing(source_tokens, opening)
    following = source_tokens[end + 1 : end + 2]
    is_whole = all(token.text == "if" or token.line > source_tokens[end].line for token in following)
    if _texts(source_tokens, opening + 1, len(METADATA_CALL)) != METADATA_CALL or details >= end or not is_whole:
        return []
    start, stop = source_tokens[first].start, source_tokens[details].start
    members = f'"rule_id": {_quoted(rule_id)}, "reason": {_quoted(title)}, "details": '
    head = "{" + members + "\n" * source.count("\n", start, stop)
    return [(start, stop, head), (source_tokens[end].start, source_tokens[end].end, "}")]


def _metadata_above(lines: Sequence[str], line: int) -> tuple[str, str] | None:
    """Return the rule_id and the title in the METADATA directly above a line; None when they cannot be read."""
    block: list[str] = []
    for text in reversed(lines[:line]):
        if not text.startswith("#"):
            return None
        if text.rstrip() == "# METADATA":
            break
        block.insert(0, text[1:])
    else:
        return None
    try:
        metadata = yaml.load("\n".join(block), Loader=yaml.CSafeLoader)
    except Exception:  # noqa: BLE001 - a date like 2024-02-30 is a ValueError, `!!int ""` an IndexError, and so on
        return None
    if not isinstance(metadata, dict):
        return None
    custom = metadata.get("custom")
    rule_id, title = custom.get("rule_id") if isinstance(custom, dict) else None, metadata.get("title")
    return (rule_id, title) if _is_text(rule_id) and _is_text(title) else None


def _is_text(value: object) -> TypeGuard[str]:
    """Return whether a value is text that a module can hold, so without lone surrogates."""
    return isinstance(value, str) and not any("\ud800" <= char <= "\udfff" for char in value)


def _texts(source_tokens: Sequence[Token], start: int, count: int) -> list[str]:
    return [token.text for token in source_tokens[start : start + count]]


def _quoted(text: str) -> str:
    return json.dumps(text, ensure_ascii=False)
