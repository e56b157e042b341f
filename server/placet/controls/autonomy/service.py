"""The use cases of autonomy: set a level while the server runs, and list the levels that are set.

One person can lower a level; raising one takes two.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import TYPE_CHECKING

from placet.audit.recent_names import is_agent
from placet.commands.concerned import require_unconcerned
from placet.commands.execute import Plan
from placet.commands.four_eyes import (
    AwaitingSecondPerson,
    ChangeCommand,
    ChangeKind,
    ControlRequest,
    request_or_confirm,
)
from placet.commands.records import control_requested
from placet.commands.row_pages import rows_of
from placet.controls.autonomy.documents import REMOVED, SET, AutonomyOverride, override_key, override_row, read_override
from placet.controls.autonomy.model import Autonomy, AutonomyLevel, AutonomyRule
from placet.controls.autonomy.records import autonomy_set
from placet.controls.autonomy.widening import widens
from placet.controls.versions import bump, version_key
from placet.kernel.errors import FailedPreconditionError, NotFoundError
from placet.kernel.limits import AUTONOMY_RULES_MAX
from placet.kernel.model import UNAUTHENTICATED, Caller
from placet.kernel.policy_files import files_of
from placet.kernel.reasons import AUTONOMY_RULES_FULL, REFUSALS
from placet.kernel.state import PutIfVersion, ReadSet, StateTable
from placet.privacy.redaction import redact_text

if TYPE_CHECKING:
    from collections.abc import Sequence

    from placet.commands.execute import ControlCommands
    from placet.controls.autonomy.ports import AutonomyDefaults
    from placet.kernel.policy_files import CurrentFiles
    from placet.kernel.state import Change, Row

NO_FILE = Autonomy(rules=())
"""The autonomy of a tenant without a file: its agents may only observe."""


@dataclass(frozen=True, slots=True)
class NewLevel:
    """A request to set a level for the actions of a workflow, tool and agent. An empty field matches any."""

    tenant: str
    workflow: str
    tool: str
    agent: str
    level: AutonomyLevel | None
    """None removes the override, so that the file's level applies again."""
    actor: str
    reason: str
    caller: Caller = UNAUTHENTICATED

    def rule(self, level: AutonomyLevel) -> AutonomyRule:
        """Return an override rule with this level."""
        return AutonomyRule(level, self.workflow, self.tool, self.agent, "override")


@dataclass(frozen=True, slots=True)
class LevelSet:
    """The result of setting a level."""

    override: AutonomyOverride | None
    """The override now."""
    waiting: ControlRequest | None = None
    """The request that waits for a second person; then nothing was changed."""


@dataclass(frozen=True, slots=True)
class AutonomyAdmin:
    """The use cases. Each method raises LedgerUnavailableError when the ledger cannot be read or written."""

    commands: ControlCommands
    policies: CurrentFiles[AutonomyDefaults]

    async def set(self, new: NewLevel) -> LevelSet:
        """Set or remove a level. If any action may do more after the change, it waits for a second person.

        Raises:
        - NotFoundError when there is no level to remove,
        - PermissionDeniedError when an agent, or the agent concerned, widens autonomy, or the same person asks twice,
        - FailedPreconditionError when the tenant already has AUTONOMY_RULES_MAX levels,
        - AbortedError when others changed the tenant's controls on every try.
        """
        new = replace(new, reason=redact_text(new.reason))
        key = override_key(new.tenant, new.rule(AutonomyLevel.OBSERVE_ONLY))
        value = new.level or REMOVED
        command = ChangeCommand(ChangeKind.AUTONOMY_SET, new.tenant, key.id, value, new.actor, new.reason, new.caller)
        return await self.commands.execute(command, lambda now_us: self._set(new, command, now_us))

    async def list(self, tenant: str) -> Sequence[AutonomyOverride]:
        """Return the overrides of the tenant, the newest first."""
        overrides = [override for _, override in await self._overrides(tenant)]
        return sorted(overrides, key=lambda override: (override.set_at_us, override.rule.selector), reverse=True)

    async def _set(self, new: NewLevel, command: ChangeCommand, now_us: int) -> Plan[LevelSet]:
        version, key = version_key(new.tenant), override_key(new.tenant, new.rule(AutonomyLevel.OBSERVE_ONLY))
        snapshot = await self.commands.ledger.load(ReadSet([version, key, command.key]))
        overrides = await self._overrides(new.tenant)
        same = _same_key(new, overrides)
        row, before = same[0] if same else (snapshot.rows.get(key), None)
        after = _override(new, before, len(overrides), now_us)
        changes: tuple[Change, ...] = (
            PutIfVersion(_row(row, new.tenant, before, after)),
            *(PutIfVersion(override_row(other, new.tenant, override, REMOVED)) for other, override in same[1:]),
            bump(snapshot.rows.get(version), new.tenant, now_us),
        )
        if not self._widens(new, [override.rule for _, override in overrides], after):
            return Plan(autonomy_set(after, command, None, now_us, changes), LevelSet(after))
        agent = await is_agent(self.commands.ledger, [new.tenant], new.actor)
        require_unconcerned(new.actor, [new.agent], is_agent=agent)
        request = request_or_confirm(snapshot.rows.get(command.key), command, now_us)
        if isinstance(request, AwaitingSecondPerson):
            record = control_requested(command, request.request, now_us, (request.put,))
            return Plan(record, LevelSet(before, request.request))
        return Plan(autonomy_set(after, command, request.request, now_us, (*changes, request.put)), LevelSet(after))

    def _widens(self, new: NewLevel, rules_before: Sequence[AutonomyRule], after: AutonomyOverride | None) -> bool:
        """Return whether any action may do more after the change. `rules_before` are the current overrides."""
        changed = new.rule(new.level or AutonomyLevel.EXECUTE)
        rules_after = [rule for rule in rules_before if rule.key != changed.key]
        if after is not None:
            rules_after.append(after.rule)
        file = files_of(self.policies).get(new.tenant)
        autonomy = file.autonomy_levels if file is not None else NO_FILE
        return widens(autonomy, rules_before, rules_after, changed)

    async def _overrides(self, tenant: str) -> Sequence[tuple[Row, AutonomyOverride]]:
        rows = rows_of(self.commands.ledger, StateTable.AUTONOMY, tenant, SET)
        return [(row, read_override(row)) async for row in rows]


def _same_key(
    new: NewLevel, overrides: Sequence[tuple[Row, AutonomyOverride]]
) -> Sequence[tuple[Row, AutonomyOverride]]:
    """Return the overrides with the same key, the lowest level first.

    There can be several: older versions stored one override for each spelling of a name.
    """
    key = new.rule(AutonomyLevel.OBSERVE_ONLY).key
    return sorted((pair for pair in overrides if pair[1].rule.key == key), key=lambda pair: pair[1].rule.level.rank)


def _override(new: NewLevel, before: AutonomyOverride | None, count: int, now_us: int) -> AutonomyOverride | None:
    """Return the override that replaces `before`; None when it is removed. `count` is how many the tenant has."""
    if new.level is None:
        if before is None:
            raise NotFoundError(
                "no level is set for this workflow, tool and agent, so the tenant's file decides; "
                "see `placet autonomy list`"
            )
        return None
    if before is None and count >= AUTONOMY_RULES_MAX:
        raise FailedPreconditionError(AUTONOMY_RULES_FULL, REFUSALS[AUTONOMY_RULES_FULL])
    return AutonomyOverride(new.rule(new.level), new.actor, new.reason, now_us)


def _row(row: Row | None, tenant: str, before: AutonomyOverride | None, after: AutonomyOverride | None) -> Row:
    override = after or before
    if override is None:
        raise AssertionError("a change has an override before or after it")
    return override_row(row, tenant, override, SET if after is not None else REMOVED)
