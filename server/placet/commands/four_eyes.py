"""Changes that need two persons: one asks, another asks for the very same within an hour."""

from __future__ import annotations

import hashlib
from dataclasses import asdict, dataclass, replace
from enum import StrEnum
from typing import Final

import orjson

from placet.kernel.errors import PermissionDeniedError
from placet.kernel.limits import CONTROL_REQUEST_TTL_SECONDS
from placet.kernel.model import UNAUTHENTICATED, Caller
from placet.kernel.reasons import REFUSALS, SECOND_PERSON_NEEDED
from placet.kernel.state import PutIfVersion, Row, RowKey, StateTable
from placet.matching.person import same_person

WAITING: Final = "waiting"
DONE: Final = "done"
_ID_CHARS: Final = 32
_SECOND_US: Final = 1_000_000


class ChangeKind(StrEnum):
    """What people change while the server runs."""

    KILL_SWITCH_SET = "kill_switch.set"
    KILL_SWITCH_CLEAR = "kill_switch.clear"
    AUTONOMY_SET = "autonomy.set"
    BUDGET_ADJUST = "budget.adjust"
    POLICY_CONFIRM = "policy.confirm"
    EXCESS_ACCEPT = "excess.accept"
    EXCESS_DROP = "excess.drop"


@dataclass(frozen=True, slots=True)
class ChangeCommand:
    """What somebody wants changed. `target` and `value` say what to what; `reason`, `actor` and `caller` do not count.

    Two persons want the same when kind, tenant, target and value are the same.
    """

    kind: ChangeKind
    tenant: str
    target: str
    value: str
    actor: str
    reason: str
    caller: Caller = UNAUTHENTICATED

    @property
    def request_id(self) -> str:
        """The id under which it waits: ``req_`` and 32 hex digits."""
        digest = hashlib.sha256(orjson.dumps([self.kind, self.tenant, self.target, self.value])).hexdigest()
        return f"req_{digest[:_ID_CHARS]}"

    @property
    def key(self) -> RowKey:
        """Where it waits."""
        return RowKey(StateTable.CONTROL_REQUESTS, self.tenant, self.request_id)


@dataclass(frozen=True, slots=True)
class ControlRequest:
    """A change that waits, or waited, for its second person."""

    request_id: str
    requested_by: str
    reason: str
    expires_at_us: int


@dataclass(frozen=True, slots=True)
class AwaitingSecondPerson:
    """The first person asked: `put` keeps it."""

    request: ControlRequest
    put: PutIfVersion


@dataclass(frozen=True, slots=True)
class Confirmed:
    """A second person asked for the same: `put`, together with the change, closes it."""

    request: ControlRequest
    put: PutIfVersion


def request_or_confirm(row: Row | None, wish: ChangeCommand, now_us: int) -> AwaitingSecondPerson | Confirmed:
    """What the wish comes to; `row` is what stands at its key, None when nothing does.

    Raises PermissionDeniedError when the same person asked before and it still waits.
    """
    waiting = waiting_request(row, now_us)
    if row is not None and waiting is not None:
        if same_person(waiting.requested_by, wish.actor):
            raise PermissionDeniedError(SECOND_PERSON_NEEDED, REFUSALS[SECOND_PERSON_NEEDED])
        return Confirmed(waiting, PutIfVersion(replace(row, status=DONE, due_at_us=0)))
    expires_at_us = now_us + CONTROL_REQUEST_TTL_SECONDS * _SECOND_US
    request = ControlRequest(wish.request_id, wish.actor, wish.reason, expires_at_us)
    before = row or Row(wish.key, WAITING, now_us, b"")
    body = orjson.dumps(asdict(request))
    return AwaitingSecondPerson(
        request, PutIfVersion(replace(before, status=WAITING, body=body, due_at_us=expires_at_us))
    )


def waiting_request(row: Row | None, now_us: int) -> ControlRequest | None:
    """The request that a row holds, when it still waits."""
    if row is None or row.status != WAITING:
        return None
    request = ControlRequest(**orjson.loads(row.body))
    return request if now_us < request.expires_at_us else None
