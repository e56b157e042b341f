"""Whether the answer that an idempotency key stands for still stands.

The same request gets the same answer, with two exceptions: an allow that a kill switch covers by now is not given
again, and a require_approval whose approval was given meanwhile is decided anew.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from placet.core.approval import approval_key, from_row, refusal
from placet.core.changes import Wanted
from placet.core.kill_switch import covering
from placet.core.model import Effect

if TYPE_CHECKING:
    from placet.core.approval import Approval
    from placet.core.model import Decision
    from placet.core.ports import Clock, Ledger
    from placet.service.attempts import Attempt
    from placet.service.control_state import ControlState


@dataclass(frozen=True, slots=True)
class StandingAnswers:
    """Looks at answers that are about to be repeated."""

    ledger: Ledger
    controls: ControlState
    clock: Clock

    async def moved(self, attempt: Attempt, decision: Decision) -> Attempt | None:
        """The attempt to make instead of giving the decision again; None when it stands."""
        if decision.effect is Effect.ALLOW:
            return await self._stopped(attempt, decision)
        if decision.effect is Effect.REQUIRE_APPROVAL and decision.approval is not None:
            return await self._approved(attempt, decision, decision.approval.approval_id)
        return None

    async def _stopped(self, attempt: Attempt, decision: Decision) -> Attempt | None:
        self.controls.forget({attempt.tenant})
        controls = (await self.controls.of({attempt.tenant}))[attempt.tenant]
        switch = covering(controls.switches, attempt.proposal, self.clock.wall_us())
        return attempt.stopped(decision.decision_id) if switch is not None else None

    async def _approved(self, attempt: Attempt, decision: Decision, approval_id: str) -> Attempt | None:
        if not approval_id or attempt.replaces:
            return None
        key = approval_key(attempt.tenant, approval_id)
        row = (await self.ledger.load(Wanted([key]))).rows.get(key)
        if row is None:
            return None
        approval = from_row(row)
        if refusal(approval, attempt.proposal, self.clock.wall_us()) is None:
            return attempt.with_approval(approval_id, decision.decision_id)
        return attempt if await self._used_by_the_key(attempt, approval) else None

    async def _used_by_the_key(self, attempt: Attempt, approval: Approval) -> bool:
        """Whether the key was decided anew since it was looked up: it stands for the allow that used the approval."""
        if not approval.used_by:
            return False
        user = await self.ledger.get_decision(attempt.tenant, approval.used_by)
        request = attempt.request
        mine = (request.caller.name, request.proposal.idempotency_key)
        return user is not None and (user.caller, user.idempotency_key) == mine
