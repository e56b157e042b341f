"""Kill switches: set, cleared, listed. Needs the ledger alone, so it works while OPA is down and policy is broken."""

from __future__ import annotations

import asyncio
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Final

from placet.audit.recent_names import is_agent, recent_names
from placet.commands.concerned import require_unconcerned
from placet.commands.execute import Step
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
"""Scopes of which a tenant has one switch at most."""
EXPIRED_TOGETHER: Final = 100
"""Switches whose time is over that one change puts away."""
_SECOND_US: Final = 1_000_000


@dataclass(frozen=True, slots=True)
class NewSwitch:
    """A kill switch that somebody wants set; see `KillSwitch`. `expires_after_seconds` 0 is never."""

    scope: KillScope
    tenant: str
    value: str
    actor: str
    reason: str
    expires_after_seconds: int = 0
    caller: Caller = UNAUTHENTICATED


@dataclass(frozen=True, slots=True)
class Cleared:
    """What became of a wish to clear: done, or waiting for a second person."""

    waiting: ControlRequest | None = None


@dataclass(frozen=True, slots=True)
class Listed:
    """A switch that is set; `clearing` is set when one person asked to clear it and a second one has to."""

    switch: KillSwitch
    clearing: ControlRequest | None


@dataclass(frozen=True, slots=True)
class KillSwitches:
    """The use cases. Each raises LedgerUnavailableError when the ledger cannot be read or written."""

    changes: ControlCommands
    revoker: Revoker

    async def set(self, wanted: NewSwitch) -> tuple[KillSwitch, Revocation]:
        """Set a switch, then revoke what it covers. One that is set already is never shortened by setting it again.

        No decision whose commit begins after the switch is set allows what it covers. A failure to revoke is part of
        the result, since the switch stops new calls all the same. FailedPreconditionError when there are too many
        switches;
        AbortedError; LedgerUnavailableError when the ledger does not show that the switch is set.
        """
        wanted = replace(wanted, reason=redact_text(wanted.reason))
        name = switch_id(wanted.scope, wanted.tenant, _folded(wanted.scope, wanted.value))
        kind = ChangeKind.KILL_SWITCH_SET
        wish = ChangeCommand(kind, wanted.tenant, name, wanted.value, wanted.actor, wanted.reason, wanted.caller)
        begun_us = self.changes.clock.wall_us()
        try:
            switch = await self.changes.make(wish, lambda now_us: self._set(wanted, name, now_us))
        except LedgerUnavailableError as error:  # the commit may have been durable before its answer was lost
            switch = await self._as_set(wanted, name, begun_us, error)
        revoking = asyncio.ensure_future(self.revoker.revoke(switch))
        return switch, await asyncio.shield(revoking)  # to its end, though the caller may be gone

    async def clear(
        self, kill_switch_id: str, tenant: str, actor: str, reason: str, caller: Caller = UNAUTHENTICATED
    ) -> Cleared:
        """Clear a switch; one that stops everything when a second person asks for the same.

        NotFoundError when no such switch is set; PermissionDeniedError when the switch concerns the actor, when the
        actor
        is an agent, or when the same person asks twice; AbortedError.
        """
        wish = ChangeCommand(
            ChangeKind.KILL_SWITCH_CLEAR, tenant, kill_switch_id, "", actor, redact_text(reason), caller
        )
        return await self.changes.make(wish, lambda now_us: self._clear(wish, now_us))

    async def list(self, tenant: str) -> Sequence[Listed]:
        """The tenant's switches and those that belong to none, or with "" these alone; newest first."""
        return await self._listed(dict.fromkeys((tenant, NO_TENANT)))

    async def list_all(self) -> Sequence[Listed]:
        """The switches of every tenant, also of one without a file, and those that belong to none; newest first."""
        return await self._listed(await self.changes.ledger.tenants_with(StateTable.KILL_SWITCHES, SET))

    async def _listed(self, tenants: Iterable[str]) -> Sequence[Listed]:
        now_us = self.changes.clock.wall_us()
        found: list[tuple[Row, KillSwitch]] = []
        for each in tenants:
            found += [(row, switch) for row, switch in await self._set_rows(each) if not expired(switch, now_us)]
        wishes = {row.key: _clearing(switch, row) for row, switch in found if self._stops_everything(switch)}
        known = await self.changes.ledger.load(ReadSet([wish.key for wish in wishes.values()]))
        clearing = {key: waiting_request(known.rows.get(wish.key), now_us) for key, wish in wishes.items()}
        listed = [Listed(switch, clearing.get(row.key)) for row, switch in found]
        return sorted(listed, key=lambda each: (each.switch.set_at_us, each.switch.switch_id), reverse=True)

    async def _set(self, wanted: NewSwitch, name: str, now_us: int) -> Step[KillSwitch]:
        rows = await self._set_rows(wanted.tenant)
        name = _same_as(wanted, rows) or name
        version, key = version_key(wanted.tenant), switch_key(wanted.tenant, name)
        known = await self.changes.ledger.load(ReadSet([version, key]))
        before = known.rows.get(key)
        others = [pair for pair in rows if pair[0].key != key]
        over = [pair for pair in others if expired(pair[1], now_us)]
        narrow = sum(switch.scope not in WIDE and not expired(switch, now_us) for _, switch in others)
        if wanted.scope not in WIDE and narrow >= KILL_SWITCHES_MAX:
            raise FailedPreconditionError(KILL_SWITCHES_FULL, REFUSALS[KILL_SWITCHES_FULL])
        switch = KillSwitch(
            name,
            wanted.scope,
            wanted.tenant,
            wanted.value,
            wanted.reason,
            wanted.actor,
            now_us,
            _expires_at_us(before, wanted.expires_after_seconds, now_us),
        )
        changes = (
            PutIfVersion(switch_row(before, switch, SET)),
            bump(known.rows.get(version), wanted.tenant, now_us),
            *(PutIfVersion(switch_row(row, each, EXPIRED)) for row, each in over[:EXPIRED_TOGETHER]),
        )
        return Step(switch_set(switch, wanted.caller, now_us, changes), switch)

    async def _clear(self, wish: ChangeCommand, now_us: int) -> Step[Cleared]:
        version, key = version_key(wish.tenant), switch_key(wish.tenant, wish.target)
        known = await self.changes.ledger.load(ReadSet([version, key]))
        row = known.rows.get(key)
        switch = _standing(row, now_us)
        if row is None or switch is None:
            raise NotFoundError(_not_set(wish))
        await self._require_unconcerned(wish.actor, switch)
        changes = (PutIfVersion(switch_row(row, switch, CLEARED)), bump(known.rows.get(version), wish.tenant, now_us))
        if not self._stops_everything(switch):
            return Step(switch_cleared(switch, wish, None, now_us, changes), Cleared())
        wanted = replace(wish, value=_clearing(switch, row).value)
        asked = request_or_confirm(
            (await self.changes.ledger.load(ReadSet([wanted.key]))).rows.get(wanted.key), wanted, now_us
        )
        if isinstance(asked, AwaitingSecondPerson):
            still_set = RequireVersion(key, row.version)
            waits = control_requested(wanted, asked.request, now_us, (still_set, asked.put))
            return Step(waits, Cleared(asked.request))
        return Step(switch_cleared(switch, wanted, asked.request, now_us, (*changes, asked.put)), Cleared())

    def _stops_everything(self, switch: KillSwitch) -> bool:
        """Whether clearing it takes two persons: it stops all that there is, or more than half of a tenant's tools."""
        files = files_of(self.revoker.policies)
        reached = [files[switch.tenant]] if switch.tenant in files else ([] if switch.tenant else files.values())
        return stops_everything(switch, [frozenset(file.known_tools) for file in reached])

    async def _as_set(self, wanted: NewSwitch, name: str, begun_us: int, failed: LedgerUnavailableError) -> KillSwitch:
        """Read the switch that a commit, which failed so, may have set. That error when it is not set as wanted."""
        key = switch_key(wanted.tenant, _same_as(wanted, await self._set_rows(wanted.tenant)) or name)
        row = (await self.changes.ledger.load(ReadSet([key]))).rows.get(key)
        switch = _standing(row, self.changes.clock.wall_us())
        ends_at_us = _expires_at_us(None, wanted.expires_after_seconds, begun_us)
        if switch is None or (switch.expires_at_us and not 0 < ends_at_us <= switch.expires_at_us):
            raise LedgerUnavailableError("the kill switch is not set", failed.known) from failed
        return switch

    async def _require_unconcerned(self, actor: str, switch: KillSwitch) -> None:
        ledger, tenants = self.changes.ledger, self.revoker.tenants_reached(switch)
        concerned = [switch.value] if switch.scope is KillScope.AGENT else []
        if switch.scope is KillScope.RUN:
            concerned += (await recent_names(ledger, tenants, switch.value)).users
        require_unconcerned(actor, concerned, is_agent=await is_agent(ledger, tenants, actor))

    async def _set_rows(self, tenant: str) -> Sequence[tuple[Row, KillSwitch]]:
        rows = rows_of(self.changes.ledger, StateTable.KILL_SWITCHES, tenant, SET)
        return [(row, read_switch(row)) async for row in rows]


def _not_set(wish: ChangeCommand) -> str:
    """Say that no switch of the id is set, where it was looked for, and how to find the id."""
    where, option = (
        (f"in tenant {wish.tenant}", f" --tenant {wish.tenant}") if wish.tenant else ("outside a tenant", "")
    )
    return f"no kill switch {wish.target} is set {where}; `placet kill-switches list{option}` shows the ids, ks_..."


def _same_as(wanted: NewSwitch, rows: Sequence[tuple[Row, KillSwitch]]) -> str:
    """The id of a switch that is set and covers the same; "" for none. Of before names were folded it is another."""
    value = _folded(wanted.scope, wanted.value)
    same = (each for _, each in rows if each.scope is wanted.scope and _folded(each.scope, each.value) == value)
    return next((each.switch_id for each in same), "")


def _folded(scope: KillScope, value: str) -> str:
    """What all spellings of a switch's value have in common; tools and runs have exact names."""
    return folded(value) if scope in {KillScope.AGENT, KillScope.WORKFLOW} else value


def _clearing(switch: KillSwitch, row: Row) -> ChangeCommand:
    """The wish to clear the switch as it is set now: a wish to clear it as it was before is another one."""
    value = f"version {row.version}"
    return ChangeCommand(ChangeKind.KILL_SWITCH_CLEAR, switch.tenant, switch.switch_id, value, "", "")


def _standing(row: Row | None, now_us: int) -> KillSwitch | None:
    """The switch of a row, when it is set and its time is not over."""
    if row is None or row.status != SET:
        return None
    switch = read_switch(row)
    return None if expired(switch, now_us) else switch


def _expires_at_us(before: Row | None, after_seconds: int, now_us: int) -> int:
    """When the switch ends, 0 for never: as asked for, or later when it is set already until then."""
    if not after_seconds:
        return 0
    wanted = now_us + after_seconds * _SECOND_US
    standing = _standing(before, now_us)
    if standing is None:
        return wanted
    return max(wanted, standing.expires_at_us) if standing.expires_at_us else 0
