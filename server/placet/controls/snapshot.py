"""Kill switches and levels of autonomy as a decision point sees them: held in memory, guarded by their versions.

What is held may be old. That does no harm: a decision is committed only while the versions of what it looked at still
stand, so one that was made by old switches comes back as a conflict, and they are read anew.
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

    from placet.audit.ports import Ledger
    from placet.controls.autonomy.model import AutonomyRule
    from placet.controls.kill_switches.model import KillSwitch


@dataclass(frozen=True, slots=True)
class Controls:
    """What people set that reaches into a tenant, and what must still hold when a decision by it is committed.

    `switches` are those of the tenant and those of none, expired ones among them; `overrides` the tenant's levels.
    """

    switches: tuple[KillSwitch, ...]
    overrides: tuple[AutonomyRule, ...]
    expects: tuple[RequireVersion, ...]


NO_CONTROLS: Final = Controls((), (), ())
"""Of a tenant whose controls cannot be read: nothing may be allowed by them."""


class ControlState:
    """The controls of many tenants; those asked for last are held. Of one event loop."""

    def __init__(self, ledger: Ledger) -> None:
        self._ledger = ledger
        self._held: dict[str, Controls] = {}
        self._forgotten = 0
        self._seen: dict[str, None] = {}

    async def of(self, tenants: Collection[str]) -> Mapping[str, Controls]:
        """Tenant -> its controls, for each that is asked for. LedgerUnavailableError when they cannot be read."""
        asked = {NO_TENANT, *tenants}
        self._see(tenants)
        forgotten = self._forgotten
        own = {tenant: self._held[tenant] for tenant in asked if tenant in self._held}
        own |= await self._read(asked - own.keys())
        if forgotten == self._forgotten:  # else some of it may be older than what was forgotten meanwhile
            self._hold(own)
        everywhere = own[NO_TENANT]
        return {tenant: _joined(own[tenant], everywhere) if tenant else everywhere for tenant in tenants}

    def tenants(self) -> tuple[str, ...]:
        """Tenants that were asked for, those asked for last at the end."""
        return tuple(self._seen)

    def forget(self, tenants: Iterable[str]) -> None:
        """Read them anew when they are asked for next; those of no tenant as well."""
        self._forgotten += 1
        for tenant in (NO_TENANT, *tenants):
            self._held.pop(tenant, None)

    async def _read(self, tenants: Collection[str]) -> dict[str, Controls]:
        """Versions first, then what they are of: so what is read is never older than its version."""
        if not tenants:
            return {}
        known = await self._ledger.load(ReadSet(rows=[version_key(tenant) for tenant in sorted(tenants)]))
        versions = {tenant: known.rows.get(version_key(tenant)) for tenant in tenants}
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

    def _hold(self, controls: Mapping[str, Controls]) -> None:
        for tenant, each in controls.items():
            self._held.pop(tenant, None)  # what is put in again is the newest
            self._held[tenant] = each
        for tenant in list(self._held)[: max(0, len(self._held) - CONTROL_TENANTS_HELD_MAX)]:
            del self._held[tenant]


def _joined(own: Controls, everywhere: Controls) -> Controls:
    return Controls(
        own.switches + everywhere.switches, own.overrides + everywhere.overrides, own.expects + everywhere.expects
    )
