"""Obligations that rules write out: whether a decision could deliver them.

Only terms that are written out are looked at. The rest depends on the request or on data: there a wrong shape makes the
verdict invalid, `pdp.answer_invalid`.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

from placet.decision.obligations import OBLIGATION_ID, OBLIGATIONS, distinct_obligations, parsed_obligations
from placet.kernel.diagnostics import closest
from placet.kernel.errors import Diagnostic
from placet.kernel.model import Effect
from placet.policy.checks.literal_details import written_details
from placet.policy.rego.syntax import constant_of

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence
    from typing import Any

    from placet.policy.files.tree import PolicyTree
    from placet.policy.rego.modules import Module
    from placet.policy.rego.syntax import Node

_EFFECTS: Final = frozenset(effect.value for effect in Effect)
_MISSPELT_MIN: Final = 0.8
"""Likeness above which another key of the details is taken for a misspelling."""
_UNKNOWN: Final = "unknown"
"""A valid id, used in place of one that is not written out."""
_LISTS: Final = frozenset({"array", "set"})
"""Terms that are a JSON list."""
_COMPUTED: Final = frozenset({"ref", "var", "call", "arraycomprehension", "setcomprehension"})
"""Terms that are not written out and may be a list."""
_COMPUTED_ITEMS: Final = frozenset({"ref", "var", "call", "objectcomprehension"})
"""Terms that are not written out and may be an object."""
_REMEDY: Final = 'write a list of objects such as {"id": "redact_output", "fields": ["email"]}'


def obligation_problems(tree: PolicyTree, modules: Sequence[Module]) -> Iterator[Diagnostic]:
    """Yield obligations that no decision could deliver, and keys of details that are probably misspelt."""
    for module, rule, details in written_details(modules, _EFFECTS):
        where = tree.where(module.file, rule.line)
        term = details.get(OBLIGATIONS)
        if term is None:
            for key in details:
                if closest(key, [OBLIGATIONS], _MISSPELT_MIN):
                    what = f"{rule.rule_id} says {key}, which nothing reads"
                    yield Diagnostic(where, what, f"did you mean {OBLIGATIONS}?")
        elif (fault := _fault(term)) is not None:
            yield Diagnostic(where, f"{rule.rule_id}: {fault}", _REMEDY)


def _fault(term: Node) -> str | None:
    """What is wrong with the term of `obligations`, as far as it is written out."""
    value = _outline(term)
    if value is None:
        return None
    try:
        distinct_obligations(parsed_obligations(value[0]))
    except ValueError as error:
        return str(error)
    return None


def _outline(term: Node) -> tuple[Any] | None:
    """The value of the term, with something valid for each part that is computed; None when all of it is."""
    if term["type"] in _COMPUTED:
        return None
    if term["type"] in _LISTS:
        return ([_outline_of_item(item) for item in term["value"]],)
    return constant_of(term) or (_UNKNOWN,)


def _outline_of_item(term: Node) -> Any:  # noqa: ANN401 - any JSON value
    """One obligation: its id, or a valid one where that is computed; any other value where the term is no object."""
    constant = constant_of(term)
    if constant is not None:
        return constant[0]
    if term["type"] in _COMPUTED_ITEMS:
        return {OBLIGATION_ID: _UNKNOWN}
    if term["type"] != "object":
        return _UNKNOWN
    members = {key["value"]: value for key, value in term["value"] if key["type"] == "string"}
    if OBLIGATION_ID not in members:
        return {} if len(members) == len(term["value"]) else {OBLIGATION_ID: _UNKNOWN}
    constant = constant_of(members[OBLIGATION_ID])
    return {OBLIGATION_ID: constant[0] if constant is not None else _UNKNOWN}
