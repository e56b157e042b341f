"""Check the obligations of rules: whether a decision could deliver them.

Only literal terms are checked. The other terms depend on the request or on data; when their value has an invalid shape,
the decision is a deny by `pdp.answer_invalid`.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

from placet.decision.obligations import OBLIGATION_ID, OBLIGATIONS, distinct_obligations, parsed_obligations
from placet.kernel.diagnostics import closest
from placet.kernel.errors import Diagnostic
from placet.kernel.model import Effect
from placet.policy.checks.literal_details import rules_with_literal_details, unread_key
from placet.policy.rego.syntax import constant_of

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence
    from typing import Any

    from placet.policy.files.tree import PolicyTree
    from placet.policy.rego.modules import Module
    from placet.policy.rego.syntax import Node

_EFFECTS: Final = frozenset(effect.value for effect in Effect)
_MISSPELT_MIN: Final = 0.8
"""Similarity from which another key of the details counts as a misspelling."""
_VALID_ID: Final = "unknown"
"""A valid id, in place of one that is not literal."""
_LISTS: Final = frozenset({"array", "set"})
"""Types of terms that become a JSON list."""
_COMPUTED: Final = frozenset({"ref", "var", "call", "arraycomprehension", "setcomprehension"})
"""Types of terms that are not literal and may be a list."""
_COMPUTED_ITEMS: Final = frozenset({"ref", "var", "call", "objectcomprehension"})
"""Types of terms that are not literal and may be an object."""
_REMEDY: Final = 'write a list of objects such as {"id": "redact_output", "fields": ["email"]}'


def obligation_problems(tree: PolicyTree, modules: Sequence[Module]) -> Iterator[Diagnostic]:
    """Yield obligations that no decision could deliver, and keys of details that are probably misspelt."""
    for module, rule, details in rules_with_literal_details(modules, _EFFECTS):
        where = tree.where(module.file, rule.line)
        term = details.get(OBLIGATIONS)
        if term is None:
            for key in details:
                if closest(key, [OBLIGATIONS], _MISSPELT_MIN):
                    yield unread_key(where, rule, key, OBLIGATIONS)
        elif (error := _error(term)) is not None:
            yield Diagnostic(where, f"{rule.rule_id}: {error}", _REMEDY)


def _error(term: Node) -> str | None:
    """Return what is wrong with the literal parts of the term of `obligations`; None when nothing is."""
    value = _literal_value(term)
    if value is None:
        return None
    try:
        distinct_obligations(parsed_obligations(value[0]))
    except ValueError as error:
        return str(error)
    return None


def _literal_value(term: Node) -> tuple[Any] | None:
    """Return the value of the term in a tuple of one, with a valid value for each computed part.

    Returns None when the term as a whole is computed.
    """
    if term["type"] in _COMPUTED:
        return None
    if term["type"] in _LISTS:
        return ([_literal_item(item) for item in term["value"]],)
    return constant_of(term) or (_VALID_ID,)


def _literal_item(term: Node) -> Any:  # noqa: ANN401 - any JSON value
    """Return one obligation, reduced to its id, with a valid id when it is computed.

    Returns any other value for a literal term that is no object.
    """
    constant = constant_of(term)
    if constant is not None:
        return constant[0]
    if term["type"] in _COMPUTED_ITEMS:
        return {OBLIGATION_ID: _VALID_ID}
    if term["type"] != "object":
        return _VALID_ID
    members = {key["value"]: value for key, value in term["value"] if key["type"] == "string"}
    if OBLIGATION_ID not in members:  # a computed key could be the id
        return {} if len(members) == len(term["value"]) else {OBLIGATION_ID: _VALID_ID}
    constant = constant_of(members[OBLIGATION_ID])
    return {OBLIGATION_ID: constant[0] if constant is not None else _VALID_ID}
