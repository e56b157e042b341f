"""Find the rules of packs whose finding has literal details: an object with constant keys."""

from __future__ import annotations

from typing import TYPE_CHECKING

from placet.kernel.errors import Diagnostic
from placet.policy.checks.detail_checks import details_of
from placet.policy.rego.rule_scope import RuleScope

if TYPE_CHECKING:
    from collections.abc import Container, Iterator, Mapping, Sequence

    from placet.policy.rego.modules import Module, Rule
    from placet.policy.rego.syntax import Node


def rules_with_literal_details(
    modules: Sequence[Module], effects: Container[str]
) -> Iterator[tuple[Module, Rule, Mapping[str, Node]]]:
    """Yield each rule of a pack that adds a finding of one of the effects with literal details, and their terms by key.

    The object may be in the call of `finding`, or assigned in the body to a variable that is in the call.
    """
    for module in modules:
        for rule in module.rules:
            if not module.pack or rule.name not in effects or not rule.is_partial_set:
                continue
            details = details_of(module, rule)
            if details is not None and details["type"] == "var":
                details = RuleScope(module, modules).assigned(rule, details["value"])
            if details is not None and details["type"] == "object":
                pairs = details["value"]
                if all(key["type"] == "string" for key, _ in pairs):
                    yield module, rule, {key["value"]: term for key, term in pairs}


def unread_key(where: str, rule: Rule, key: str, similar: str) -> Diagnostic:
    """Return the problem of a key of a rule's details that is probably a misspelling of `similar`."""
    what = f"the details of {rule.rule_id} have the key {key}, which Placet does not read"
    return Diagnostic(where, what, f"did you mean {similar}?")
