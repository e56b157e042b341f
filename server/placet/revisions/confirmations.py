"""The use case of policy confirmation: a person confirms a held policy, so that it is served.

A policy is held when it lost restrictions, see `placet.revisions.removals`, or when it is older than a served one.
"""

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
"""The shortest prefix of a revision (a digest) that selects it. 8 characters cannot match another one by mistake."""


@dataclass(frozen=True, slots=True)
class PolicyConfirmations:
    """The use case."""

    commands: ControlCommands
    policies: StatusSource
    check_now: Callable[[], Awaitable[None]]
    """Makes the policy source look for a new policy now."""

    async def confirm(self, revision: str, actor: str, reason: str, caller: Caller = UNAUTHENTICATED) -> PolicyStatus:
        """Confirm the held revision, let it be served, and return the policy's status after that.

        `revision` may be a prefix of at least REVISION_PREFIX_CHARS_MIN characters. The confirmation is permanent and
        holds for all replicas.

        Raises NotFoundError when this server holds no such revision, PermissionDeniedError for an agent,
        LedgerUnavailableError, and AbortedError when others confirmed it on every try.
        """
        revision = self._full_revision(revision)
        command = ChangeCommand(
            ChangeKind.POLICY_CONFIRM, SYSTEM_TENANT, revision, "", actor, redact_text(reason), caller
        )
        await self.commands.execute(command, lambda now_us: self._confirm(command, now_us))
        looking = asyncio.ensure_future(self.check_now())
        await asyncio.shield(looking)  # runs to its end even if the caller disconnects
        return self.policies.status()

    def _full_revision(self, revision: str) -> str:
        """Return the held revision if `revision` is a prefix of it; else `revision` itself."""
        held = self.policies.status().held_revision
        is_prefix = len(revision) >= REVISION_PREFIX_CHARS_MIN and held.startswith(revision)
        return held if is_prefix else revision

    async def _confirm(self, command: ChangeCommand, now_us: int) -> Plan[None]:
        status = self.policies.status()
        if status.held_revision != command.target:
            raise NotFoundError(f"{_not_waiting(command.target, status.held_revision)}: see `placet policy status`")
        ledger = self.commands.ledger
        require_unconcerned(command.actor, (), is_agent=await is_agent(ledger, status.tenants, command.actor))
        key = confirmed_key(status.held_as or command.target)
        row = (await ledger.load(ReadSet([key]))).rows.get(key)
        body = orjson.dumps({"actor": command.actor, "reason": command.reason})
        put = PutIfVersion(row or Row(key, CONFIRMED, now_us, body))
        return Plan(policy_confirmed(command, status.revision, status.held_reasons, now_us, (put,)), None)


def _not_waiting(revision: str, held: str) -> str:
    """Return why the revision cannot be confirmed. `held` is the held revision, "" for none."""
    if held and len(revision) < REVISION_PREFIX_CHARS_MIN:
        return f"{revision} is too short; give at least {REVISION_PREFIX_CHARS_MIN} characters of the revision"
    return f"revision {revision} is not held; " + (f"the held revision is {held}" if held else "no revision is held")
