"""What `placet.policy.rego.finding_calls` should make of the findings in a module, on OPA's own syntax tree."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Final

from placet.policy.checks.detail_checks import details_of

if TYPE_CHECKING:
    from collections.abc import Mapping

    from placet.policy.rego.modules import Module, Rule
    from placet.policy.rego.syntax import Node

MEMBERS: Final = ("details", "reason", "rule_id")
"""The keys of a finding that is written out, in the order of OPA's syntax tree."""


def written_out(before: Module, after: Module) -> Node:
    """Return the syntax of the module `before`, with findings written out where the module `after` has them so.

    Only the documented call of ``data.placet.lib.finding`` is written out, with the id and title of its METADATA.
    """
    if len(before.rules) != len(after.rules):
        return before.syntax
    rules = [_rule(before, rule, served) for rule, served in zip(before.rules, after.rules, strict=True)]
    return {**before.syntax, "rules": rules} if rules else before.syntax


def served_details(module: Module, rule: Rule) -> Node | None:
    """Return the details of a finding, whether it is written out or a call; None in any other form."""
    written = _members(rule.syntax["head"].get("key") or {})
    return written["details"] if written is not None else details_of(module, rule)


def _rule(module: Module, rule: Rule, served: Rule) -> Mapping[str, Any]:
    head = rule.syntax["head"]
    details = details_of(module, rule) if (head.get("key") or {}).get("type") == "call" else None
    if details is None or _members(served.syntax["head"].get("key") or {}) is None:
        return rule.syntax
    values = (details, _string(rule.title), _string(rule.rule_id))
    pairs = [[_string(name), value] for name, value in zip(MEMBERS, values, strict=True)]
    return {**rule.syntax, "head": {**head, "key": {"type": "object", "value": pairs}}}


def _members(key: Node) -> dict[str, Node] | None:
    """Return the members of a finding that is written out; None for any other term."""
    if key.get("type") != "object":
        return None
    members = {name.get("value"): value for name, value in key["value"]}
    return members if tuple(members) == MEMBERS else None


def _string(value: object) -> Node:
    return {"type": "string", "value": value}
