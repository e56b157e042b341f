"""The calls that scenario steps make, as a protocol: the player works over gRPC and, in tests, inside the process."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, Protocol

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence
    from datetime import datetime

    from placet import sdk


class RefusedError(Exception):
    """A step was refused. `why` is the error's reason, a field name, or empty."""

    def __init__(self, why: str, message: str) -> None:
        self.why = why
        super().__init__(message)


class UnsupportedStepError(Exception):
    """This API cannot take such a step. For example, no client can move a server's clock."""


@dataclass(frozen=True, slots=True)
class Approval:
    """The approval that a decision requires."""

    id: str
    quorum: int
    approver_roles: tuple[str, ...]


@dataclass(frozen=True, slots=True)
class Answer:
    """A decision, as far as scenarios look at it."""

    decision_id: str
    tenant: str
    effect: str
    rule_id: str
    reason: str
    approval: Approval | None = None
    remaining: Mapping[str, int] = field(default_factory=dict)
    """Budget id -> what is left after the decision, in the budget's unit."""
    autonomy: str = ""
    shadow_effect: str = ""
    permit: str = ""


@dataclass(frozen=True, slots=True)
class ApprovalStatus:
    """An approval after a vote."""

    state: str
    votes: Sequence[tuple[str, str]]
    """Person and the role that the vote counts for."""
    quorum: int


@dataclass(frozen=True, slots=True)
class Receipt:
    """Result of a reported outcome."""

    late: bool
    exceeded: tuple[str, ...]
    """Ids of the budgets whose limit is now exceeded."""


@dataclass(frozen=True, slots=True)
class Report:
    """What a call did and used."""

    status: str
    tokens: int | None = None
    cost_micros: int | None = None
    amount_minor_units: int | None = None


@dataclass(frozen=True, slots=True)
class Selector:
    """The actions that a level of autonomy is for. Empty matches any."""

    workflow: str = ""
    tool: str = ""
    agent: str = ""


@dataclass(frozen=True, slots=True)
class Switch:
    """A kill switch."""

    id: str
    actor: str
    scope: str
    value: str
    tenant: str


class Api(Protocol):
    """Each method raises RefusedError when Placet refuses the call."""

    async def authorize(self, requests: Sequence[sdk.Request]) -> Sequence[Answer]:
        """Decide the requests as one batch."""

    async def report(self, answer: Answer, report: Report) -> Receipt:
        """Report the outcome of an allowed call."""

    async def vote(self, verb: str, answer: Answer, person: sdk.Person, reason: str) -> ApprovalStatus:
        """Approve, reject or cancel (`verb`) the approval that the answer requires."""

    async def kill_switches(self, tenant: str) -> Sequence[Switch]:
        """Kill switches that apply to the tenant."""

    async def set_kill_switch(
        self, scope: sdk.KillScope, value: str, tenant: str, actor: str, reason: str, seconds: int
    ) -> tuple[str, int]:
        """Set a kill switch; returns its id and the number of permits that it revoked."""

    async def clear_kill_switch(self, switch_id: str, tenant: str, actor: str, reason: str) -> bool:
        """Clear a kill switch; returns False when a second person must confirm it."""

    async def set_autonomy(self, tenant: str, level: str, selector: Selector, actor: str, reason: str) -> bool:
        """Set a level of autonomy, or remove it ("" as level); returns False when a second person must confirm it."""

    async def adjust_budget(
        self, tenant: str, budget_id: str, scope_key: str, amount: int, actor: str, reason: str
    ) -> bool:
        """Add to what a budget's counter has used; returns False when a second person must confirm it."""

    async def permit_keys(self) -> sdk.PermitKeySet:
        """Keys that verify permits. UnsupportedStepError when the API signs none."""

    async def recorded(self, answer: Answer) -> Mapping[str, Any]:
        """Audit record of the decision: event, effect, rule_id, tenant, input, findings, approval, replayable."""

    async def set_time(self, now: datetime) -> None:
        """Set the clock. UnsupportedStepError where that cannot be done."""

    async def advance(self, seconds: float) -> None:
        """Advance the clock. UnsupportedStepError where that cannot be done."""
