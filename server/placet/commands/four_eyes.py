"""Four-eyes changes: one person requests a change, and another requests exactly the same within one hour."""

from __future__ import annotations

import hashlib
from dataclasses import asdict, dataclass
from enum import StrEnum
from typing import Final

import orjson
from msgspec import structs

from placet.kernel.errors import PermissionDeniedError
from placet.kernel.limits import CONTROL_REQUEST_TTL_SECONDS
from placet.kernel.model import UNAUTHENTICATED, Caller
from placet.kernel.reasons import PEOPLE_NEEDED, REFUSALS, SECOND_PERSON_NEEDED
from placet.kernel.state import PutIfVersion, Row, RowKey, StateTable
from placet.matching.person import same_person

WAITING: Final = "waiting"
"""The status of a request that waits for its second person."""
DONE: Final = "done"
"""The status of a request that a second person confirmed."""
_ID_CHARS: Final = 32
_SECOND_US: Final = 1_000_000


class ChangeKind(StrEnum):
    """The kinds of changes that people make while the server runs."""

    KILL_SWITCH_SET = "kill_switch.set"
    KILL_SWITCH_CLEAR = "kill_switch.clear"
    AUTONOMY_SET = "autonomy.set"
    BUDGET_ADJUST = "budget.adjust"
    POLICY_CONFIRM = "policy.confirm"
    EXCESS_ACCEPT = "excess.accept"
    EXCESS_DROP = "excess.drop"
    TOKEN_CREATE = "token.create"  # noqa: S105 - not a secret
    TOKEN_REVOKE = "token.revoke"  # noqa: S105 - not a secret
    PERMIT_KEY_ROTATE = "permit_key.rotate"


@dataclass(frozen=True, slots=True)
class ChangeCommand:
    """A command to change a control. Two commands are the same when kind, tenant, target and value are equal."""

    kind: ChangeKind
    tenant: str
    target: str
    """The control to change."""
    value: str
    """Its new value."""
    actor: str
    """The person who gives the command."""
    reason: str
    caller: Caller = UNAUTHENTICATED

    @property
    def request_id(self) -> str:
        """The id of its request: ``req_`` and 32 hex digits. Equal for equal commands."""
        digest = hashlib.sha256(orjson.dumps([self.kind, self.tenant, self.target, self.value])).hexdigest()
        return f"req_{digest[:_ID_CHARS]}"

    @property
    def key(self) -> RowKey:
        """The key of its request's row."""
        return RowKey(StateTable.CONTROL_REQUESTS, self.tenant, self.request_id)


@dataclass(frozen=True, slots=True)
class ControlRequest:
    """A command that waits, or waited, for its second person."""

    request_id: str
    requested_by: str
    reason: str
    expires_at_us: int


@dataclass(frozen=True, slots=True)
class AwaitingSecondPerson:
    """The command of the first person."""

    request: ControlRequest
    put: PutIfVersion
    """Stores the request."""


@dataclass(frozen=True, slots=True)
class Confirmed:
    """The command of the second person: the change may be made."""

    request: ControlRequest
    """The request of the first person."""
    put: PutIfVersion
    """Closes the request. It must be in the commit of the change."""


def request_or_confirm(row: Row | None, command: ChangeCommand, now_us: int) -> AwaitingSecondPerson | Confirmed:
    """Create a request, or confirm the one that another person made.

    `row` is the stored row at the command's key, if any. Raises PermissionDeniedError: SECOND_PERSON_NEEDED when the
    same person made the request that still waits, PEOPLE_NEEDED when a program gives the command. A person may hold the
    credential of a program, and would be two with it.
    """
    if command.caller.is_program:
        raise PermissionDeniedError(PEOPLE_NEEDED, REFUSALS[PEOPLE_NEEDED])
    waiting = waiting_request(row, now_us)
    if row is not None and waiting is not None:
        if same_person(waiting.requested_by, command.actor):
            raise PermissionDeniedError(SECOND_PERSON_NEEDED, REFUSALS[SECOND_PERSON_NEEDED])
        return Confirmed(waiting, PutIfVersion(structs.replace(row, status=DONE, due_at_us=0)))
    expires_at_us = now_us + CONTROL_REQUEST_TTL_SECONDS * _SECOND_US
    request = ControlRequest(command.request_id, command.actor, command.reason, expires_at_us)
    stored = row or Row(command.key, WAITING, now_us, b"")
    body = orjson.dumps(asdict(request))
    return AwaitingSecondPerson(
        request, PutIfVersion(structs.replace(stored, status=WAITING, body=body, due_at_us=expires_at_us))
    )


def waiting_request(row: Row | None, now_us: int) -> ControlRequest | None:
    """Return the request of a row if it still waits and has not expired."""
    if row is None or row.status != WAITING:
        return None
    request = ControlRequest(**orjson.loads(row.body))
    return request if now_us < request.expires_at_us else None
