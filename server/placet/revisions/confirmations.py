"""The use case of policy confirmation: a person confirms a held policy, so that it is served.

A policy is held when it lost restrictions, see `placet.revisions.removals`, when it is older than a served one, or when
its activation needs two people.
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
from placet.commands.four_eyes import (
    AwaitingSecondPerson,
    ChangeCommand,
    ChangeKind,
    Confirmed,
    ControlRequest,
    request_or_confirm,
)
from placet.commands.records import control_requested
from placet.kernel.errors import NotFoundError, PermissionDeniedError
from placet.kernel.model import UNAUTHENTICATED, Caller
from placet.kernel.reasons import PEOPLE_NEEDED, PUBLISHER_MAY_NOT_CONFIRM, REFUSALS
from placet.kernel.state import PutIfVersion, ReadSet, Row
from placet.matching.person import same_person
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
class ConfirmationMade:
    """The result of a confirmation."""

    status: PolicyStatus
    """The policy's status after it."""
    waiting: ControlRequest | None = None
    """The request that waits for a second person; then nothing was confirmed."""


@dataclass(frozen=True, slots=True)
class PolicyConfirmations:
    """The use case."""

    commands: ControlCommands
    policies: StatusSource
    check_now: Callable[[], Awaitable[None]]
    """Makes the policy source look for a new policy now."""

    async def confirm(
        self, revision: str, actor: str, reason: str, caller: Caller = UNAUTHENTICATED
    ) -> ConfirmationMade:
        """Confirm the held revision, let it be served, and return the policy's status after that.

        `revision` may be a prefix of at least REVISION_PREFIX_CHARS_MIN characters. The confirmation is permanent and
        holds for all replicas.

        A policy that needs two people is confirmed by one who did not publish it. When no person is known to have
        published it, the first confirmation waits for one of another person.

        Raises NotFoundError when this server holds no such revision, PermissionDeniedError for an agent, for a program
        where people are needed, and for who published it; LedgerUnavailableError, and AbortedError when others
        confirmed it on every try.
        """
        revision, status = self._full_revision(revision), self.policies.status()
        name = status.held_as if status.held_needs_people else ""
        command = ChangeCommand(
            ChangeKind.POLICY_CONFIRM, SYSTEM_TENANT, revision, name, actor, redact_text(reason), caller
        )
        waiting = await self.commands.execute(command, lambda now_us: self._confirm(command, now_us))
        if waiting is not None:
            return ConfirmationMade(self.policies.status(), waiting)
        looking = asyncio.ensure_future(self.check_now())
        await asyncio.shield(looking)  # runs to its end even if the caller disconnects
        return ConfirmationMade(self.policies.status())

    def _full_revision(self, revision: str) -> str:
        """Return the held revision if `revision` is a prefix of it; else `revision` itself."""
        held = self.policies.status().held_revision
        is_prefix = len(revision) >= REVISION_PREFIX_CHARS_MIN and held.startswith(revision)
        return held if is_prefix else revision

    async def _confirm(self, command: ChangeCommand, now_us: int) -> Plan[ControlRequest | None]:
        status = self.policies.status()
        if status.held_revision != command.target:
            raise NotFoundError(f"{_not_waiting(command.target, status.held_revision)}: see `placet policy status`")
        ledger = self.commands.ledger
        require_unconcerned(command.actor, (), is_agent=await is_agent(ledger, status.tenants, command.actor))
        key = confirmed_key(status.held_as or command.target)
        rows = (await ledger.load(ReadSet([key, command.key]))).rows
        people = _second_person(command, status, rows.get(command.key), now_us) if status.held_needs_people else None
        if isinstance(people, AwaitingSecondPerson):
            return Plan(control_requested(command, people.request, now_us, (people.put,)), people.request)
        first = people.request if people is not None else None
        body = orjson.dumps({"actor": command.actor, "reason": command.reason})
        puts = [PutIfVersion(rows.get(key) or Row(key, CONFIRMED, now_us, body))]
        if people is not None:
            puts.append(people.put)
        return Plan(policy_confirmed(command, status, first, now_us, tuple(puts)), None)


def _second_person(
    command: ChangeCommand, status: PolicyStatus, row: Row | None, now_us: int
) -> AwaitingSecondPerson | Confirmed | None:
    """Return None when the actor is the second person after the one who published the policy; else as two who confirm.

    Raises PermissionDeniedError for a program, and for who published it.
    """
    if not status.held_pusher.person:
        return request_or_confirm(row, command, now_us)
    if command.caller.is_program:
        raise PermissionDeniedError(PEOPLE_NEEDED, REFUSALS[PEOPLE_NEEDED])
    if same_person(status.held_pusher.person, command.actor):
        raise PermissionDeniedError(PUBLISHER_MAY_NOT_CONFIRM, REFUSALS[PUBLISHER_MAY_NOT_CONFIRM])
    return None


def _not_waiting(revision: str, held: str) -> str:
    """Return why the revision cannot be confirmed. `held` is the held revision, "" for none."""
    if held and len(revision) < REVISION_PREFIX_CHARS_MIN:
        return f"{revision} is too short; give at least {REVISION_PREFIX_CHARS_MIN} characters of the revision"
    return f"revision {revision} is not held; " + (f"the held revision is {held}" if held else "no revision is held")
