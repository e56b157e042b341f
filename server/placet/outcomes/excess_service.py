"""What outcomes named far above what was reserved: listed, and counted or dropped when a person says so."""

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
    """What is held, newest first; `next_page_token` is empty on the last page."""

    excesses: tuple[OutcomeExcess, ...]
    next_page_token: str


@dataclass(frozen=True, slots=True)
class ExcessWord:
    """What a person says about what is held of an outcome: that it is so, or that it is not."""

    tenant: str
    decision_id: str
    accept: bool
    actor: str
    reason: str
    caller: Caller = UNAUTHENTICATED


@dataclass(frozen=True, slots=True)
class OutcomeExcesses:
    """The use cases. Each raises LedgerUnavailableError when the ledger cannot be read or written."""

    commands: ControlCommands

    async def list(self, tenant: str, page_size: int, page_token: str) -> ExcessPage:
        """What waits for a person. InvalidRequestError for a wrong page_token."""
        query = RowQuery(StateTable.CONTROL_REQUESTS, tenant, ExcessState.HELD, page_size, page_token)
        page = await self.commands.ledger.list_rows(query)
        return ExcessPage(tuple(map(from_row, page.rows)), page.next_page_token)

    async def decide(self, word: ExcessWord) -> OutcomeExcess:
        """Count it, or drop it. NotFoundError; FailedPreconditionError when somebody did; AbortedError.

        PermissionDeniedError for who reported it, the agent and the user of the call, and any agent.
        """
        word = replace(word, reason=redact_text(word.reason))
        kind = ChangeKind.EXCESS_ACCEPT if word.accept else ChangeKind.EXCESS_DROP
        command = ChangeCommand(kind, word.tenant, word.decision_id, "", word.actor, word.reason, word.caller)
        return await self.commands.execute(command, lambda now_us: self._decide(word, command, now_us))

    async def _decide(self, word: ExcessWord, command: ChangeCommand, now_us: int) -> Plan[OutcomeExcess]:
        key = excess_key(word.tenant, word.decision_id)
        row = (await self.commands.ledger.load(ReadSet([key]))).rows.get(key)
        if row is None:
            what = f"decision {word.decision_id[:64]!r} has no excess"
            raise NotFoundError(f"{what}; see `placet budgets excesses`")
        excess = from_row(row)
        await self._require_unconcerned(word, excess)
        if excess.state is not ExcessState.HELD:
            raise FailedPreconditionError(EXCESS_DECIDED, REFUSALS[EXCESS_DECIDED])
        after = decided(excess, accept=word.accept)
        counted = excess.settles() if word.accept else ()
        changes: tuple[Change, ...] = (PutIfVersion(to_row(after)), *counted)
        return Plan(excess_decided(after, command, now_us, changes), after)

    async def _require_unconcerned(self, word: ExcessWord, excess: OutcomeExcess) -> None:
        """Neither rule can be got round by the other: not as the caller that reported, not under another name."""
        reporter = "" if excess.caller == UNAUTHENTICATED.name else excess.caller
        if reporter and word.caller.name == reporter:
            raise PermissionDeniedError(CONCERNED_MAY_NOT_CHANGE, REFUSALS[CONCERNED_MAY_NOT_CHANGE])
        agent = await is_agent(self.commands.ledger, [word.tenant], word.actor)
        require_unconcerned(word.actor, (reporter, excess.agent, excess.user), is_agent=agent)
