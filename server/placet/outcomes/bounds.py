"""Finds the bounds of give-backs: those of the tenant's file, or else those of the server."""

from __future__ import annotations

from typing import TYPE_CHECKING

from placet.kernel.policy_files import files_of

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping

    from placet.budgets.give_backs import GiveBackBounds
    from placet.kernel.policy_files import CurrentFiles
    from placet.outcomes.ports import OutcomeSettings


def bounds_by_tenant(
    policies: CurrentFiles[OutcomeSettings] | None, tenants: Iterable[str], default: GiveBackBounds | None
) -> Mapping[str, GiveBackBounds | None]:
    """Return the bounds of each tenant; None for a tenant whose outcomes give back everything."""
    files = files_of(policies) if policies is not None else {}
    found = {tenant: files.get(tenant) for tenant in tenants}
    return {tenant: (file.give_backs if file is not None else None) or default for tenant, file in found.items()}
