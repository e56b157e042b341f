"""Verify, on OPA's own syntax tree, what `placet.policy.rego.hardening` made of the modules."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from placet.kernel.errors import Diagnostic
from placet.policy.checks.detail_checks import guarded_rules
from placet.policy.checks.written_findings import served_details, written_out
from placet.policy.rego.syntax import (
    bound_variables,
    guarded_comprehension,
    is_always_defined,
    membership_of,
    without_locations,
)

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping, Sequence

    from placet.policy.files.tree import PolicyTree
    from placet.policy.rego.modules import Module
    from placet.policy.rego.syntax import Node


def hardening_problems(tree: PolicyTree, written: Sequence[Module], served: Sequence[Module]) -> Iterator[Diagnostic]:
    """Yield modules that hardening changed beyond its guards, and rules whose details may still be undefined.

    `served` are the modules that OPA parsed from the hardened text of `written`, in the same order.
    """
    for before, after in zip(written, served, strict=True):
        same = _unguarded(without_locations(written_out(before, after))) == _unguarded(without_locations(after.syntax))
        if before.file != after.file or not same:
            what = "its findings cannot be guarded without changing their meaning"
            remedy = "write each as `<effect> contains finding(rego.metadata.rule(), {...}) if { ... }`"
            yield Diagnostic(tree.where(before.file), what, remedy)
    for module, rule, names in guarded_rules(served):
        details = served_details(module, rule)
        if details is None or not is_always_defined(details, bound_variables(rule.syntax["body"], names)):
            what = f"the details of this {rule.name} may be undefined, which would remove it"
            remedy = "write them as an object in the second argument of finding"
            yield Diagnostic(tree.where(module.file, rule.line), what, remedy)


def _unguarded(node: Node) -> Node:
    """Return the tree without the guards of `placet.policy.rego.hardening`."""
    if isinstance(node, list):
        return [_unguarded(item) for item in node]
    if not isinstance(node, dict):
        return node
    inner = _guarded_value(node) if "type" in node else None
    return _unguarded(inner) if inner is not None else {key: _unguarded(value) for key, value in node.items()}


def _guarded_value(term: Mapping[str, Any]) -> Node | None:
    """Return the value in a guard of Placet; None for any other term."""
    if term["type"] == "objectcomprehension":
        [*_, source] = _only_membership(term["value"]["body"]) or [None]
        return _guarded_value(source) if source is not None and _is_guard_variable(term["value"]["key"]) else None
    comprehension = guarded_comprehension(term, frozenset()) if term["type"] == "ref" else None
    if comprehension is None or not _is_guard_variable(comprehension["value"]["term"]):
        return None
    [line] = comprehension["value"]["body"]
    return line["terms"][2]


def _is_guard_variable(term: Node) -> bool:
    return term["type"] == "var" and str(term["value"]).startswith("_placet_detail")


def _only_membership(body: Sequence[Node]) -> list[Node]:
    """Return the terms of a body that is only ``some k, v in xs``; empty for any other body."""
    return membership_of(body[0]) if len(body) == 1 and isinstance(body[0]["terms"], dict) else []
