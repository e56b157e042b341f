"""The use cases of kill switches: set, clear, list.

They need only the ledger, so they work while OPA is down or the policy is invalid.
"""

from __future__ import annotations

import asyncio
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Final

from placet.audit.recent_names import is_agent, recent_names
from placet.commands.concerned import require_unconcerned
from placet.commands.execute import Plan
from placet.commands.four_eyes import (
    AwaitingSecondPerson,
    ChangeCommand,
    ChangeKind,
    ControlRequest,
    request_or_confirm,
    waiting_request,
)
from placet.commands.records import control_requested
from placet.commands.row_pages import rows_of
from placet.controls.kill_switches.documents import (
    CLEARED,
    EXPIRED,
    SET,
    read_switch,
    switch_id,
    switch_key,
    switch_row,
)
from placet.controls.kill_switches.model import KillScope, KillSwitch, expired, stops_everything
from placet.controls.kill_switches.records import switch_cleared, switch_set
from placet.controls.versions import NO_TENANT, bump, version_key
from placet.kernel.errors import FailedPreconditionError, LedgerUnavailableError, NotFoundError
from placet.kernel.limits import KILL_SWITCHES_MAX
from placet.kernel.model import UNAUTHENTICATED, Caller
from placet.kernel.policy_files import files_of
from placet.kernel.reasons import KILL_SWITCHES_FULL, REFUSALS
from placet.kernel.state import PutIfVersion, ReadSet, RequireVersion, StateTable
from placet.matching.names import folded
from placet.privacy.redaction import redact_text

if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence

    from placet.commands.execute import ControlCommands
    from placet.controls.kill_switches.revocation import Revocation, Revoker
    from placet.kernel.state import Row

WIDE: Final = frozenset({KillScope.GLOBAL, KillScope.TENANT})
"""Scopes of which a tenant has at most one switch. They do not count for KILL_SWITCHES_MAX."""
EXPIRED_TOGETHER: Final = 100
"""The most expired switches that one change marks as expired."""
_SECOND_US: Final = 1_000_000


@dataclass(frozen=True, slots=True)
class NewSwitch:
    """A request to set a kill switch; see `KillSwitch` for the fields."""

    scope: KillScope
    tenant: str
    value: str
    actor: str
    reason: str
    expires_after_seconds: int = 0
    """0 for never."""
    caller: Caller = UNAUTHENTICATED


@dataclass(frozen=True, slots=True)
class Cleared:
    """The result of clearing a switch."""

    waiting: ControlRequest | None = None
    """The request that waits for a second person; None when the switch was cleared."""


@dataclass(frozen=True, slots=True)
class Listed:
    """A switch that is set."""

    switch: KillSwitch
    clearing: ControlRequest | None
    """The request to clear it that waits for a second person."""


@dataclass(frozen=True, slots=True)
class KillSwitches:
    """The use cases. Each method raises LedgerUnavailableError when the ledger cannot be read or written."""

    commands: ControlCommands
    revoker: Revoker

    async def set(self, new: NewSwitch) -> tuple[KillSwitch, Revocation]:
        """Set a switch, then revoke the permits that it covers.

        No decision whose commit starts after this allows an action that the switch covers. Setting a switch again never
        makes it expire earlier. A failure to revoke is part of the result, because the switch stops new calls anyway.

        Raises FailedPreconditionError when KILL_SWITCHES_MAX switches are set, AbortedError when others changed the
        tenant's controls on every try, and LedgerUnavailableError when the ledger does not show that the switch is set.
        """
        new = replace(new, reason=redact_text(new.reason))
        new_id = switch_id(new.scope, new.tenant, _folded(new.scope, new.value))
        command = ChangeCommand(
            ChangeKind.KILL_SWITCH_SET, new.tenant, new_id, new.value, new.actor, new.reason, new.caller
        )
        started_us = self.commands.clock.wall_us()
        try:
            switch = await self.commands.execute(command, lambda now_us: self._set(new, new_id, now_us))
        except LedgerUnavailableError as error:  # the commit may have been durable before its answer was lost
            switch = await self._switch_set_by(new, new_id, started_us, error)
        revoking = asyncio.ensure_future(self.revoker.revoke(switch))
        return switch, await asyncio.shield(revoking)  # runs to its end even if the caller disconnects

    async def clear(
        self, kill_switch_id: str, tenant: str, actor: str, reason: str, caller: Caller = UNAUTHENTICATED
    ) -> Cleared:
        """Clear a switch. A switch that stops everything waits for a second person (see `stops_everything`).

        Raises NotFoundError when no such switch is set, PermissionDeniedError when the switch concerns the actor, when
        the actor is an agent or asks twice, and AbortedError when others changed the tenant's controls on every try.
        """
        command = ChangeCommand(
            ChangeKind.KILL_SWITCH_CLEAR, tenant, kill_switch_id, "", actor, redact_text(reason), caller
        )
        return await self.commands.execute(command, lambda now_us: self._clear(command, now_us))

    async def list(self, tenant: str) -> Sequence[Listed]:
        """Return the switches of the tenant and those that belong to no tenant, the newest first.

        With tenant "" return only the switches that belong to no tenant.
        """
        return await self._listed(dict.fromkeys((tenant, NO_TENANT)))

    async def list_all(self) -> Sequence[Listed]:
        """Return all switches, those of tenants without a file and of no tenant included, the newest first."""
        return await self._listed(await self.commands.ledger.tenants_with(StateTable.KILL_SWITCHES, SET))

    async def _listed(self, tenants: Iterable[str]) -> Sequence[Listed]:
        now_us = self.commands.clock.wall_us()
        current: list[tuple[Row, KillSwitch]] = []
        for tenant in tenants:
            current += [(row, switch) for row, switch in await self._set_rows(tenant) if not expired(switch, now_us)]
        commands = {row.key: _clear_command(switch, row) for row, switch in current if self._stops_everything(switch)}
        snapshot = await self.commands.ledger.load(ReadSet([command.key for command in commands.values()]))
        requests = {key: waiting_request(snapshot.rows.get(command.key), now_us) for key, command in commands.items()}
        listed = [Listed(switch, requests.get(row.key)) for row, switch in current]
        return sorted(listed, key=lambda entry: (entry.switch.set_at_us, entry.switch.switch_id), reverse=True)

    async def _set(self, new: NewSwitch, new_id: str, now_us: int) -> Plan[KillSwitch]:
        rows = await self._set_rows(new.tenant)
        kill_switch_id = _same_switch_id(new, rows) or new_id
        version, key = version_key(new.tenant), switch_key(new.tenant, kill_switch_id)
        snapshot = await self.commands.ledger.load(ReadSet([version, key]))
        before = snapshot.rows.get(key)
        others = [pair for pair in rows if pair[0].key != key]
        expired_others = [pair for pair in others if expired(pair[1], now_us)]
        narrow_count = sum(switch.scope not in WIDE and not expired(switch, now_us) for _, switch in others)
        if new.scope not in WIDE and narrow_count >= KILL_SWITCHES_MAX:
            raise FailedPreconditionError(KILL_SWITCHES_FULL, REFUSALS[KILL_SWITCHES_FULL])
        switch = KillSwitch(
            kill_switch_id,
            new.scope,
            new.tenant,
            new.value,
            new.reason,
            new.actor,
            now_us,
            _expires_at_us(before, new.expires_after_seconds, now_us),
        )
        changes = (
            PutIfVersion(switch_row(before, switch, SET)),
            bump(snapshot.rows.get(version), new.tenant, now_us),
            *(PutIfVersion(switch_row(row, other, EXPIRED)) for row, other in expired_others[:EXPIRED_TOGETHER]),
        )
        return Plan(switch_set(switch, new.caller, now_us, changes), switch)

    async def _clear(self, command: ChangeCommand, now_us: int) -> Plan[Cleared]:
        version, key = version_key(command.tenant), switch_key(command.tenant, command.target)
        snapshot = await self.commands.ledger.load(ReadSet([version, key]))
        row = snapshot.rows.get(key)
        switch = _current_switch(row, now_us)
        if row is None or switch is None:
            raise NotFoundError(_not_set(command))
        await self._require_unconcerned(command.actor, switch)
        changes = (
            PutIfVersion(switch_row(row, switch, CLEARED)),
            bump(snapshot.rows.get(version), command.tenant, now_us),
        )
        if not self._stops_everything(switch):
            return Plan(switch_cleared(switch, command, None, now_us, changes), Cleared())
        command = replace(command, value=_clear_command(switch, row).value)
        stored = (await self.commands.ledger.load(ReadSet([command.key]))).rows.get(command.key)
        request = request_or_confirm(stored, command, now_us)
        if isinstance(request, AwaitingSecondPerson):
            still_set = RequireVersion(key, row.version)
            record = control_requested(command, request.request, now_us, (still_set, request.put))
            return Plan(record, Cleared(request.request))
        return Plan(switch_cleared(switch, command, request.request, now_us, (*changes, request.put)), Cleared())

    def _stops_everything(self, switch: KillSwitch) -> bool:
        """Return whether clearing the switch takes two people."""
        files = files_of(self.revoker.policies)
        reached = [files[switch.tenant]] if switch.tenant in files else ([] if switch.tenant else files.values())
        return stops_everything(switch, [frozenset(file.known_tools) for file in reached])

    async def _switch_set_by(
        self, new: NewSwitch, new_id: str, started_us: int, error: LedgerUnavailableError
    ) -> KillSwitch:
        """Return the switch if the commit that failed with `error` set it all the same.

        Raises LedgerUnavailableError when the switch is not set, or expires before it should.
        """
        key = switch_key(new.tenant, _same_switch_id(new, await self._set_rows(new.tenant)) or new_id)
        row = (await self.commands.ledger.load(ReadSet([key]))).rows.get(key)
        switch = _current_switch(row, self.commands.clock.wall_us())
        expires_at_us = _expires_at_us(None, new.expires_after_seconds, started_us)
        if switch is None or (switch.expires_at_us and not 0 < expires_at_us <= switch.expires_at_us):
            raise LedgerUnavailableError("the kill switch is not set", error.known) from error
        return switch

    async def _require_unconcerned(self, actor: str, switch: KillSwitch) -> None:
        """Refuse to clear a switch of the actor's own agent name or run. Raises PermissionDeniedError."""
        ledger, tenants = self.commands.ledger, self.revoker.tenants_reached(switch)
        concerned = [switch.value] if switch.scope is KillScope.AGENT else []
        if switch.scope is KillScope.RUN:
            concerned += (await recent_names(ledger, tenants, switch.value)).users
        require_unconcerned(actor, concerned, is_agent=await is_agent(ledger, tenants, actor))

    async def _set_rows(self, tenant: str) -> Sequence[tuple[Row, KillSwitch]]:
        rows = rows_of(self.commands.ledger, StateTable.KILL_SWITCHES, tenant, SET)
        return [(row, read_switch(row)) async for row in rows]


def _not_set(command: ChangeCommand) -> str:
    """Return the error text: which switch is not set, in which tenant, and how to list the ids."""
    where, option = (
        (f"in tenant {command.tenant}", f" --tenant {command.tenant}") if command.tenant else ("outside a tenant", "")
    )
    return f"no kill switch {command.target} is set {where}; `placet kill-switches list{option}` shows the ids, ks_..."


def _same_switch_id(new: NewSwitch, rows: Sequence[tuple[Row, KillSwitch]]) -> str:
    """Return the id of a set switch that covers the same; "" for none.

    The id differs from the new one if the switch was set by a version that did not fold names.
    """
    value = _folded(new.scope, new.value)
    same = (switch for _, switch in rows if switch.scope is new.scope and _folded(switch.scope, switch.value) == value)
    return next((switch.switch_id for switch in same), "")


def _folded(scope: KillScope, value: str) -> str:
    """Return the value that all spellings share. Tools and runs have exact names."""
    return folded(value) if scope in {KillScope.AGENT, KillScope.WORKFLOW} else value


def _clear_command(switch: KillSwitch, row: Row) -> ChangeCommand:
    """Return the command to clear the switch. Its value names the row's version: an earlier one is another command."""
    value = f"version {row.version}"
    return ChangeCommand(ChangeKind.KILL_SWITCH_CLEAR, switch.tenant, switch.switch_id, value, "", "")


def _current_switch(row: Row | None, now_us: int) -> KillSwitch | None:
    """Return the switch of a row if it is set and has not expired."""
    if row is None or row.status != SET:
        return None
    switch = read_switch(row)
    return None if expired(switch, now_us) else switch


def _expires_at_us(before: Row | None, after_seconds: int, now_us: int) -> int:
    """Return when the switch expires, 0 for never. A switch that is already set never expires earlier than before."""
    if not after_seconds:
        return 0
    expires_at_us = now_us + after_seconds * _SECOND_US
    current = _current_switch(before, now_us)
    if current is None:
        return expires_at_us
    return max(expires_at_us, current.expires_at_us) if current.expires_at_us else 0
