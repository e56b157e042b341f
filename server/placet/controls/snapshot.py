"""Caches kill switches and autonomy overrides for decisions.

A cached value may be outdated. That is safe: the commit of a decision requires the versions of the controls that the
decision used. A decision made with outdated controls conflicts, and the controls are read again.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Final

from placet.commands.row_pages import rows_of
from placet.controls.autonomy.documents import SET as OVERRIDE_SET
from placet.controls.autonomy.documents import read_override
from placet.controls.kill_switches.documents import SET as SWITCH_SET
from placet.controls.kill_switches.documents import read_switch
from placet.controls.versions import NO_TENANT, version_key
from placet.kernel.limits import CONTROL_TENANTS_HELD_MAX
from placet.kernel.state import ReadSet, RequireVersion, StateTable

if TYPE_CHECKING:
    from collections.abc import Collection, Iterable, Mapping

    from placet.audit.ports import StateStore
    from placet.controls.autonomy.model import AutonomyRule
    from placet.controls.kill_switches.model import KillSwitch


@dataclass(frozen=True, slots=True)
class Controls:
    """The controls that apply to a tenant."""

    switches: tuple[KillSwitch, ...]
    """Kill switches of the tenant and of no tenant, including expired ones."""
    overrides: tuple[AutonomyRule, ...]
    """Autonomy overrides of the tenant."""
    expects: tuple[RequireVersion, ...]
    """The versions that the commit of a decision must require."""


NO_CONTROLS: Final = Controls((), (), ())
"""The controls of a tenant whose controls cannot be read. A decision with them must be a deny."""


class ControlState:
    """The cached controls of the CONTROL_TENANTS_HELD_MAX tenants that were used last. For one event loop."""

    def __init__(self, ledger: StateStore) -> None:
        self._ledger = ledger
        self._cached: dict[str, Controls] = {}
        self._forget_count = 0
        self._seen: dict[str, None] = {}

    async def of(self, tenants: Collection[str]) -> Mapping[str, Controls]:
        """Return tenant -> its controls. Raises LedgerUnavailableError when they cannot be read."""
        needed = {NO_TENANT, *tenants}
        self._see(tenants)
        forget_count = self._forget_count
        own = {tenant: self._cached[tenant] for tenant in needed if tenant in self._cached}
        own |= await self._read(needed - own.keys())
        if forget_count == self._forget_count:  # otherwise the values may be older than a call of `forget`
            self._cache(own)
        everywhere = own[NO_TENANT]
        return {tenant: _joined(own[tenant], everywhere) if tenant else everywhere for tenant in tenants}

    def tenants(self) -> tuple[str, ...]:
        """Return the tenants that `of` was called for, the most recent last."""
        return tuple(self._seen)

    def forget(self, tenants: Iterable[str]) -> None:
        """Drop the controls of the tenants and of no tenant, so that they are read again."""
        self._forget_count += 1
        for tenant in (NO_TENANT, *tenants):
            self._cached.pop(tenant, None)

    async def _read(self, tenants: Collection[str]) -> dict[str, Controls]:
        """Read the versions first, then the controls, so that controls are never older than their version."""
        if not tenants:
            return {}
        snapshot = await self._ledger.load(ReadSet(rows=[version_key(tenant) for tenant in sorted(tenants)]))
        versions = {tenant: snapshot.rows.get(version_key(tenant)) for tenant in tenants}
        return {
            tenant: await self._read_one(tenant, row.version if row is not None else 0)
            for tenant, row in versions.items()
        }

    async def _read_one(self, tenant: str, version: int) -> Controls:
        switches = [
            read_switch(row) async for row in rows_of(self._ledger, StateTable.KILL_SWITCHES, tenant, SWITCH_SET)
        ]
        overrides = (
            [read_override(row).rule async for row in rows_of(self._ledger, StateTable.AUTONOMY, tenant, OVERRIDE_SET)]
            if tenant
            else []
        )
        return Controls(tuple(switches), tuple(overrides), (RequireVersion(version_key(tenant), version),))

    def _see(self, tenants: Collection[str]) -> None:
        for tenant in filter(None, tenants):
            self._seen.pop(tenant, None)
            self._seen[tenant] = None
        for tenant in list(self._seen)[: max(0, len(self._seen) - CONTROL_TENANTS_HELD_MAX)]:
            del self._seen[tenant]

    def _cache(self, controls_by_tenant: Mapping[str, Controls]) -> None:
        for tenant, controls in controls_by_tenant.items():
            self._cached.pop(tenant, None)  # moves the tenant to the end: the oldest are dropped below
            self._cached[tenant] = controls
        for tenant in list(self._cached)[: max(0, len(self._cached) - CONTROL_TENANTS_HELD_MAX)]:
            del self._cached[tenant]


def _joined(own: Controls, everywhere: Controls) -> Controls:
    return Controls(
        own.switches + everywhere.switches, own.overrides + everywhere.overrides, own.expects + everywhere.expects
    )
