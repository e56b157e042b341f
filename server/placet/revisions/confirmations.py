"""Somebody confirms a policy that lost restrictions, so that it may decide."""

from __future__ import annotations

import asyncio
from dataclasses import dataclass
from typing import TYPE_CHECKING, Final

import orjson

from placet.audit.decision_codec import SYSTEM_TENANT
from placet.audit.recent_names import is_agent
from placet.commands.concerned import require_unconcerned
from placet.commands.execute import Plan
from placet.commands.four_eyes import ChangeCommand, ChangeKind
from placet.kernel.errors import NotFoundError
from placet.kernel.model import UNAUTHENTICATED, Caller
from placet.kernel.state import PutIfVersion, ReadSet, Row
from placet.privacy.redaction import redact_text
from placet.revisions.memory import CONFIRMED, confirmed_key
from placet.revisions.records import policy_confirmed

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable

    from placet.commands.execute import ControlCommands
    from placet.revisions.ports import StatusSource
    from placet.revisions.status import PolicyStatus

REVISION_PREFIX_CHARS_MIN: Final = 8
"""So many characters of a revision, a digest, name it: nobody types 8 right ones of another."""


@dataclass(frozen=True, slots=True)
class PolicyConfirmations:
    """The use case. `look_again` makes the source look at what stands there now."""

    commands: ControlCommands
    policies: StatusSource
    look_again: Callable[[], Awaitable[None]]

    async def confirm(self, revision: str, actor: str, reason: str, caller: Caller = UNAUTHENTICATED) -> PolicyStatus:
        """Confirm the revision that waits, and let it take over; how the policy stands then.

        REVISION_PREFIX_CHARS_MIN of its first characters name it. It is confirmed for all replicas, and for good.
        NotFoundError when this server holds no such revision; PermissionDeniedError for an agent;
        LedgerUnavailableError;
        AbortedError.
        """
        revision = self._in_full(revision)
        command = ChangeCommand(
            ChangeKind.POLICY_CONFIRM, SYSTEM_TENANT, revision, "", actor, redact_text(reason), caller
        )
        await self.commands.execute(command, lambda now_us: self._confirm(command, now_us))
        looking = asyncio.ensure_future(self.look_again())
        await asyncio.shield(looking)  # to its end, though the caller may be gone
        return self.policies.status()

    def _in_full(self, revision: str) -> str:
        """The revision that waits, when these are its first characters; else as it was given."""
        held = self.policies.status().held_revision
        named = len(revision) >= REVISION_PREFIX_CHARS_MIN and held.startswith(revision)
        return held if named else revision

    async def _confirm(self, command: ChangeCommand, now_us: int) -> Plan[None]:
        status = self.policies.status()
        if status.held_revision != command.target:
            raise NotFoundError(f"{_not_waiting(command.target, status.held_revision)}: see `placet policy status`")
        ledger = self.commands.ledger
        require_unconcerned(command.actor, (), is_agent=await is_agent(ledger, status.tenants, command.actor))
        key = confirmed_key(command.target)
        row = (await ledger.load(ReadSet([key]))).rows.get(key)
        body = orjson.dumps({"actor": command.actor, "reason": command.reason})
        put = PutIfVersion(row or Row(key, CONFIRMED, now_us, body))
        return Plan(policy_confirmed(command, status.revision, status.held_reasons, now_us, (put,)), None)


def _not_waiting(revision: str, held: str) -> str:
    """Why the revision cannot be confirmed; `held` is the one that waits, "" for none."""
    if held and len(revision) < REVISION_PREFIX_CHARS_MIN:
        return f"{revision} is too short; give at least {REVISION_PREFIX_CHARS_MIN} characters of the revision"
    return f"revision {revision} is not held; " + (f"the held revision is {held}" if held else "no revision is held")
