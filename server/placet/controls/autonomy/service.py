"""Levels of autonomy, set while the server runs: lowered by one person, raised by two."""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import TYPE_CHECKING

from placet.audit.recent_names import is_agent
from placet.commands.concerned import require_unconcerned
from placet.commands.execute import Step
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
"""A tenant without a file: its agents may only observe."""


@dataclass(frozen=True, slots=True)
class NewLevel:
    """What somebody wants: a level for the actions of a workflow, tool and agent ("": any); None: the file's again."""

    tenant: str
    workflow: str
    tool: str
    agent: str
    level: AutonomyLevel | None
    actor: str
    reason: str
    caller: Caller = UNAUTHENTICATED

    def rule(self, level: AutonomyLevel) -> AutonomyRule:
        """As a rule, with this level."""
        return AutonomyRule(level, self.workflow, self.tool, self.agent, "override")


@dataclass(frozen=True, slots=True)
class LevelSet:
    """What became of it: `override` is what stands now, `waiting` what a second person has to ask for too."""

    override: AutonomyOverride | None
    waiting: ControlRequest | None = None


@dataclass(frozen=True, slots=True)
class AutonomyAdmin:
    """The use cases. Each raises LedgerUnavailableError when the ledger cannot be read or written."""

    changes: ControlCommands
    policies: CurrentFiles[AutonomyDefaults]

    async def set(self, wanted: NewLevel) -> LevelSet:
        """Set a level, or take one away. Where that lets any action do more, it waits for a second person.

        NotFoundError when there is none to take away; PermissionDeniedError when an agent raises a level, or when the
        same
        person asks twice; FailedPreconditionError when there are too many; AbortedError.
        """
        wanted = replace(wanted, reason=redact_text(wanted.reason))
        key = override_key(wanted.tenant, wanted.rule(AutonomyLevel.OBSERVE_ONLY))
        value = wanted.level or REMOVED
        kind = ChangeKind.AUTONOMY_SET
        wish = ChangeCommand(kind, wanted.tenant, key.id, value, wanted.actor, wanted.reason, wanted.caller)
        return await self.changes.make(wish, lambda now_us: self._set(wanted, wish, now_us))

    async def list(self, tenant: str) -> Sequence[AutonomyOverride]:
        """What is set for the tenant, newest first."""
        found = [override for _, override in await self._overrides(tenant)]
        return sorted(found, key=lambda each: (each.set_at_us, each.rule.selector), reverse=True)

    async def _set(self, wanted: NewLevel, wish: ChangeCommand, now_us: int) -> Step[LevelSet]:
        version, key = version_key(wanted.tenant), override_key(wanted.tenant, wanted.rule(AutonomyLevel.OBSERVE_ONLY))
        known = await self.changes.ledger.load(ReadSet([version, key, wish.key]))
        overrides = await self._overrides(wanted.tenant)
        same = _same(wanted, overrides)
        row, before = same[0] if same else (known.rows.get(key), None)
        after = _new(wanted, before, len(overrides), now_us)
        changes: tuple[Change, ...] = (
            PutIfVersion(_row(row, wanted.tenant, before, after)),
            *(PutIfVersion(override_row(each, wanted.tenant, override, REMOVED)) for each, override in same[1:]),
            bump(known.rows.get(version), wanted.tenant, now_us),
        )
        if not self._gives_more(wanted, [override.rule for _, override in overrides], after):
            return Step(autonomy_set(after, wish, None, now_us, changes), LevelSet(after))
        agent = await is_agent(self.changes.ledger, [wanted.tenant], wanted.actor)
        require_unconcerned(wanted.actor, [wanted.agent], is_agent=agent)
        asked = request_or_confirm(known.rows.get(wish.key), wish, now_us)
        if isinstance(asked, AwaitingSecondPerson):
            return Step(control_requested(wish, asked.request, now_us, (asked.put,)), LevelSet(before, asked.request))
        return Step(autonomy_set(after, wish, asked.request, now_us, (*changes, asked.put)), LevelSet(after))

    def _gives_more(self, wanted: NewLevel, now: Sequence[AutonomyRule], after: AutonomyOverride | None) -> bool:
        changed = wanted.rule(wanted.level or AutonomyLevel.EXECUTE)
        then = [rule for rule in now if rule.key != changed.key]
        if after is not None:
            then.append(after.rule)
        file = files_of(self.policies).get(wanted.tenant)
        autonomy = file.autonomy_levels if file is not None else NO_FILE
        return widens(autonomy, now, then, changed)

    async def _overrides(self, tenant: str) -> Sequence[tuple[Row, AutonomyOverride]]:
        rows = rows_of(self.changes.ledger, StateTable.AUTONOMY, tenant, SET)
        return [(row, read_override(row)) async for row in rows]


def _same(
    wanted: NewLevel, overrides: Sequence[tuple[Row, AutonomyOverride]]
) -> Sequence[tuple[Row, AutonomyOverride]]:
    """Those for the same, the lowest level first. Two spellings of a name may have had one each."""
    key = wanted.rule(AutonomyLevel.OBSERVE_ONLY).key
    return sorted((each for each in overrides if each[1].rule.key == key), key=lambda each: each[1].rule.level.rank)


def _new(wanted: NewLevel, before: AutonomyOverride | None, count: int, now_us: int) -> AutonomyOverride | None:
    """What is to stand in place of `before`."""
    if wanted.level is None:
        if before is None:
            raise NotFoundError(
                "no level is set for this workflow, tool and agent, so the tenant's file decides; "
                "see `placet autonomy list`"
            )
        return None
    if before is None and count >= AUTONOMY_RULES_MAX:
        raise FailedPreconditionError(AUTONOMY_RULES_FULL, REFUSALS[AUTONOMY_RULES_FULL])
    return AutonomyOverride(wanted.rule(wanted.level), wanted.actor, wanted.reason, now_us)


def _row(row: Row | None, tenant: str, before: AutonomyOverride | None, after: AutonomyOverride | None) -> Row:
    kept = after or before
    if kept is None:
        raise AssertionError("neither was there anything, nor is there to be")
    return override_row(row, tenant, kept, SET if after is not None else REMOVED)
