"""Compile a tenant's file into one object for each tool: all that the baseline packs ask about it."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Final

from placet.kernel.model import ToolClass
from placet.matching.separated_globs import separated_glob_regex
from placet.tenants.sections import approval_data

if TYPE_CHECKING:
    from collections.abc import Mapping

    from placet.tenants.document import TenantDocument

READ_ONLY: Final = "read_only"
"""The `default_mode` in which writes require approval."""


def tool_settings(policy: TenantDocument) -> Mapping[str, dict[str, Any]]:
    """Return the settings of each listed tool, which policy reads as ``lib.tool``. Restrictions not set are absent."""
    read = {tool: _settings(policy, tool, ToolClass.READ) for tool in policy.allowed_tools}
    return read | {tool: _settings(policy, tool, ToolClass.WRITE) for tool in policy.write_tools}


def _settings(policy: TenantDocument, tool: str, tool_class: ToolClass) -> dict[str, Any]:
    writes = tool_class is ToolClass.WRITE
    settings: dict[str, Any] = {
        "class": tool_class.value,
        "approval_required": writes and policy.default_mode == READ_ONLY,
    }
    if tool in policy.approvals:
        approval = policy.approvals[tool]
        settings["approval_required"] = approval is not None
        if approval is not None:
            settings["approval"] = approval_data(approval)
    if tool in policy.destinations:
        settings["destinations"] = sorted(map(separated_glob_regex, policy.destinations[tool]))
    if tool in policy.evidence:
        settings["evidence"] = {"min_items": policy.evidence[tool].min_items}
    if writes and policy.environments is not None:
        settings["environments"] = sorted(policy.environments.write)
    if tool in policy.dry_run.required:
        settings["dry_run_required"] = True
    if tool in policy.dry_run.waives_approval:
        settings["dry_run_waives_approval"] = True
    if tool in policy.tools and policy.tools[tool].params_schema is not None:
        settings["params_schema"] = True
    return settings
