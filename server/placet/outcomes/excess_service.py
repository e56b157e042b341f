"""The use cases of excesses: list them, and count or drop one by a person's decision (see `placet.budgets.excess`)."""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import TYPE_CHECKING

from placet.audit.recent_names import is_agent
from placet.budgets.excess import ExcessState, OutcomeExcess, decided, excess_key, from_row, to_row
from placet.commands.concerned import require_unconcerned
from placet.commands.execute import Plan
from placet.commands.four_eyes import ChangeCommand, ChangeKind
from placet.kernel.errors import FailedPreconditionError, NotFoundError, PermissionDeniedError
from placet.kernel.model import UNAUTHENTICATED, Caller
from placet.kernel.reasons import CONCERNED_MAY_NOT_CHANGE, EXCESS_DECIDED, REFUSALS
from placet.kernel.state import PutIfVersion, ReadSet, RowQuery, StateTable
from placet.outcomes.records import excess_decided
from placet.privacy.redaction import redact_text

if TYPE_CHECKING:
    from placet.commands.execute import ControlCommands
    from placet.kernel.state import Change


@dataclass(frozen=True, slots=True)
class ExcessPage:
    """A page of held excesses, the newest first. `next_page_token` is "" on the last page."""

    excesses: tuple[OutcomeExcess, ...]
    next_page_token: str


@dataclass(frozen=True, slots=True)
class ExcessCommand:
    """A person's decision about an excess."""

    tenant: str
    decision_id: str
    """The decision whose outcome has the excess."""
    accept: bool
    """True to count the excess, False to drop it."""
    actor: str
    reason: str
    caller: Caller = UNAUTHENTICATED


@dataclass(frozen=True, slots=True)
class OutcomeExcesses:
    """The use cases. Each method raises LedgerUnavailableError when the ledger cannot be read or written."""

    commands: ControlCommands

    async def list(self, tenant: str, page_size: int, page_token: str) -> ExcessPage:
        """Return a page of the tenant's held excesses. Raises InvalidRequestError for a wrong page_token."""
        query = RowQuery(StateTable.CONTROL_REQUESTS, tenant, ExcessState.HELD, page_size, page_token)
        page = await self.commands.ledger.list_rows(query)
        return ExcessPage(tuple(map(from_row, page.rows)), page.next_page_token)

    async def decide(self, command: ExcessCommand) -> OutcomeExcess:
        """Count or drop an excess.

        Raises NotFoundError, FailedPreconditionError when the excess was already decided, and AbortedError when it
        changed on every try. Raises PermissionDeniedError for the caller that reported the outcome, for the agent and
        the user of the call, and for any agent.
        """
        command = replace(command, reason=redact_text(command.reason))
        kind = ChangeKind.EXCESS_ACCEPT if command.accept else ChangeKind.EXCESS_DROP
        change = ChangeCommand(
            kind, command.tenant, command.decision_id, "", command.actor, command.reason, command.caller
        )
        return await self.commands.execute(change, lambda now_us: self._decide(command, change, now_us))

    async def _decide(self, command: ExcessCommand, change: ChangeCommand, now_us: int) -> Plan[OutcomeExcess]:
        key = excess_key(command.tenant, command.decision_id)
        row = (await self.commands.ledger.load(ReadSet([key]))).rows.get(key)
        if row is None:
            what = f"decision {command.decision_id[:64]!r} has no excess"
            raise NotFoundError(f"{what}; see `placet budgets excesses`")
        excess = from_row(row)
        await self._require_unconcerned(command, excess)
        if excess.state is not ExcessState.HELD:
            raise FailedPreconditionError(EXCESS_DECIDED, REFUSALS[EXCESS_DECIDED])
        after = decided(excess, accept=command.accept)
        settles = excess.settles() if command.accept else ()
        changes: tuple[Change, ...] = (PutIfVersion(to_row(after)), *settles)
        return Plan(excess_decided(after, change, now_us, changes), after)

    async def _require_unconcerned(self, command: ExcessCommand, excess: OutcomeExcess) -> None:
        """Refuse a decision by the reporting caller, and by a person or agent that the call concerns.

        Both the caller and the actor are checked: the reporting caller cannot decide in another actor's name, and the
        people concerned cannot decide through another caller. Raises PermissionDeniedError.
        """
        reporter = "" if excess.caller == UNAUTHENTICATED.name else excess.caller
        if reporter and command.caller.acting == reporter:
            raise PermissionDeniedError(CONCERNED_MAY_NOT_CHANGE, REFUSALS[CONCERNED_MAY_NOT_CHANGE])
        agent = await is_agent(self.commands.ledger, [command.tenant], command.actor)
        require_unconcerned(command.actor, (reporter, excess.agent, excess.user), is_agent=agent)
