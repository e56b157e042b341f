"""Checks between the keys of one tenant's file."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

from placet.actions.params_schema import schema_diagnostics
from placet.actions.params_validator import SchemaError, require_usable
from placet.budgets.model import Measure
from placet.kernel.diagnostics import DocumentDiagnostic, did_you_mean
from placet.kernel.exact_json import exact_json
from placet.matching.globs import glob_matches
from placet.tenants.agent_sections import agent_diagnostics
from placet.tenants.budget_sections import SPEND_CURRENCY
from placet.tenants.quorums import quorum_diagnostics

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator

    from placet.kernel.diagnostics import Place
    from placet.tenants.document import TenantDocument
    from placet.tenants.sections import ToolSpec


def consistency_diagnostics(policy: TenantDocument) -> Iterator[DocumentDiagnostic]:
    """Report every contradiction between the keys of the file."""
    yield from _tool_diagnostics(policy)
    yield from _glob_diagnostics(policy)
    yield from _currency_diagnostics(policy)
    yield from _budget_id_diagnostics(policy)
    yield from _approver_diagnostics(policy)
    yield from agent_diagnostics(policy.agents, policy.agents_mode)
    for tool, spec in policy.tools.items():
        yield from _index_diagnostics(tool, spec)
        if spec.params_schema is not None:
            yield from _schema_diagnostics(spec.params_schema, ("tools", tool, "params_schema"))
            yield from _bind_diagnostics(tool, spec)


def _schema_diagnostics(schema: object, path: Place) -> Iterator[DocumentDiagnostic]:
    """Report what is wrong with a JSON Schema, or else why it cannot be compiled."""
    diagnostics = tuple(schema_diagnostics(schema, path))
    yield from diagnostics
    if not diagnostics:
        try:
            require_usable(exact_json(schema))
        except SchemaError as error:
            yield DocumentDiagnostic((*path, *error.place), error.what, error.remedy)


def _tool_diagnostics(policy: TenantDocument) -> Iterator[DocumentDiagnostic]:
    """Report tools in both lists, and tools elsewhere in the file that are in neither."""
    known = {*policy.allowed_tools, *policy.write_tools}
    for index, tool in enumerate(policy.write_tools):
        if tool in policy.allowed_tools:
            what = f"{tool} is in allowed_tools (read) as well as in write_tools"
            yield DocumentDiagnostic(("write_tools", index), what, "keep it in one of the two")
    referenced: Mapping[tuple[str, ...], Iterable[str]] = {
        ("approvals",): policy.approvals,
        ("tools",): policy.tools,
        ("destinations",): policy.destinations,
        ("evidence",): policy.evidence,
        ("dry_run", "required"): policy.dry_run.required,
        ("dry_run", "waives_approval"): policy.dry_run.waives_approval,
    }
    for path, tools in referenced.items():
        for index, tool in enumerate(tools):
            if tool not in known:
                what = f"{tool} is in neither allowed_tools nor write_tools"
                yield DocumentDiagnostic(
                    (*path, index if path[0] == "dry_run" else tool), what, did_you_mean(tool, known)
                )


def _bind_diagnostics(tool: str, spec: ToolSpec) -> Iterator[DocumentDiagnostic]:
    """Report pointers to members that the tool's own schema refuses: every call would be denied."""
    for name, pointer in spec.bind.as_data().items() if spec.bind is not None else ():
        if pointer.startswith("/") and not _takes(spec.params_schema, pointer):
            what = f"{pointer} is a member that the tool's params_schema refuses, so every call would be denied"
            yield DocumentDiagnostic(
                ("tools", tool, "bind", name), what, "add it under properties, or correct the pointer"
            )


def _index_diagnostics(tool: str, spec: ToolSpec) -> Iterator[DocumentDiagnostic]:
    """Report pointers to one item of a list: the other items would run without being compared with the action."""
    for name, pointer in spec.bind.as_data().items() if spec.bind is not None else ():
        if pointer.startswith("/") and _binds_an_item(spec.params_schema, pointer):
            what = f"{pointer} is one item of a list, and the others would run without being compared"
            remedy = (
                "bind a member that holds the whole, or let the params_schema take one item (type: array, maxItems: 1)"
            )
            yield DocumentDiagnostic(("tools", tool, "bind", name), what, remedy)


def _binds_an_item(schema: Any, pointer: str) -> bool:  # noqa: ANN401 - any part of a JSON Schema
    """Return whether a pointer goes through the index of a list that may have more items.

    A number in a pointer is not an index when the schema has a member of that name.
    """
    for token in _tokens(pointer):
        node = schema if isinstance(schema, Mapping) else {}
        members = _members(node)
        if token.isdecimal() and token not in members:
            if node.get("type") != "array" or node.get("maxItems") != 1:
                return True
            schema = node.get("items")
        else:
            schema = members.get(token)
    return False


def open_amounts(policy: TenantDocument) -> Iterator[str]:
    """Yield the tools with a bound amount whose schema accepts unknown members, which may hold another amount."""
    for tool, spec in policy.tools.items():
        if spec.bind is not None and spec.bind.amount and not _is_closed(spec.params_schema, spec.bind.amount):
            yield tool


def _is_closed(schema: Any, pointer: str) -> bool:  # noqa: ANN401 - any part of a JSON Schema
    """Return whether every object on the path to the pointer accepts only the members that its schema names."""
    for token in _tokens(pointer):
        if not isinstance(schema, Mapping):
            return False
        if schema.get("additionalProperties") is not False and schema.get("type") != "array":
            return False
        schema = schema.get("items") if schema.get("type") == "array" else _members(schema).get(token)
    return True


def _members(schema: Mapping[str, Any]) -> Mapping[str, Any]:
    members = schema.get("properties")
    return members if isinstance(members, Mapping) else {}


def _tokens(pointer: str) -> list[str]:
    return [token.replace("~1", "/").replace("~0", "~") for token in pointer.split("/")[1:]]


def _takes(schema: Any, pointer: str) -> bool:  # noqa: ANN401 - any part of a JSON Schema
    """Return whether the schema accepts a member at the pointer. Only plain `properties` are looked at."""
    for name in _tokens(pointer):
        if not isinstance(schema, Mapping) or not isinstance(schema.get("properties"), Mapping):
            return True  # `properties: null` is reported when OPA reads the schema
        if name not in schema["properties"]:
            return schema.get("additionalProperties") is not False or "patternProperties" in schema
        schema = schema["properties"][name]
    return True


def _glob_diagnostics(policy: TenantDocument) -> Iterator[DocumentDiagnostic]:
    """Report patterns that match no tool of the tenant: their budget or level would have no effect."""
    known = {*policy.allowed_tools, *policy.write_tools}
    patterns: list[tuple[Place, str]] = [
        (("budgets", index, "match", "tools", number), pattern)
        for index, entry in enumerate(policy.budgets)
        for number, pattern in enumerate(entry.match.tools or ())
    ]
    patterns += [
        (("autonomy", "rules", index, "tool"), rule.tool)
        for index, rule in enumerate(policy.autonomy.rules)
        if rule.tool is not None
    ]
    for path, pattern in patterns:
        if not any(glob_matches(pattern, tool) for tool in known):
            what = f"{pattern} matches no tool of allowed_tools or write_tools"
            yield DocumentDiagnostic(path, what, did_you_mean(pattern, known))


def _currency_diagnostics(policy: TenantDocument) -> Iterator[DocumentDiagnostic]:
    if policy.spend_limits is not None and policy.currency != SPEND_CURRENCY:
        what = f"are in {SPEND_CURRENCY}, but the tenant's currency is {policy.currency}"
        yield DocumentDiagnostic(("spend_limits",), what, "write them as budgets with measure: cost")
    for index, entry in enumerate(policy.budgets):
        if entry.measure is Measure.COST and entry.currency not in {None, policy.currency}:
            what = f"{entry.currency} is not the tenant's currency, {policy.currency}, in which all cost is counted"
            yield DocumentDiagnostic(("budgets", index, "currency"), what, f"write {policy.currency}, or leave it out")


def _budget_id_diagnostics(policy: TenantDocument) -> Iterator[DocumentDiagnostic]:
    seen: set[str] = set()
    for index, entry in enumerate(policy.budgets):
        if entry.id in seen:
            yield DocumentDiagnostic(
                ("budgets", index, "id"), f"{entry.id} is used twice", "give each budget its own id"
            )
        seen.add(entry.id)


def _approver_diagnostics(policy: TenantDocument) -> Iterator[DocumentDiagnostic]:
    groups = policy.approver_groups
    for tool, approval in policy.approvals.items():
        if approval is not None:
            yield from quorum_diagnostics(groups, approval, ("approvals", tool))
    for index, entry in enumerate(policy.budgets):
        if entry.approval is not None:
            yield from quorum_diagnostics(groups, entry.approval, ("budgets", index, "approval"))
    yield from quorum_diagnostics(groups, policy.autonomy.approval, ("autonomy", "approval"))
