"""Whether the answer that an idempotency key stands for still stands.

The same request gets the same answer, with two exceptions. An allow is given again only if it would be one by what
stands now and its permit was not revoked; else a deny is told, and recorded, in its place, and the key goes on
standing for the allow. A require_approval whose approval was given meanwhile is decided anew.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from placet.core.approval import approval_key, from_row, refusal
from placet.core.changes import Expect, Wanted
from placet.core.model import Effect

if TYPE_CHECKING:
    from collections.abc import Sequence

    from placet.core.approval import Approval
    from placet.core.model import Decision
    from placet.core.ports import Clock, Ledger
    from placet.service.attempts import Attempt
    from placet.service.gathering import Case


@dataclass(frozen=True, slots=True)
class StandingAnswers:
    """Looks at answers that are about to be repeated."""

    ledger: Ledger
    clock: Clock

    async def moved(self, attempt: Attempt, decision: Decision) -> Attempt | None:
        """The attempt to make instead of giving the decision again; None when it stands."""
        if decision.effect is Effect.ALLOW:
            return attempt.repeating(decision)
        if decision.effect is Effect.REQUIRE_APPROVAL and decision.approval is not None:
            return await self._approved(attempt, decision, decision.approval.approval_id)
        return None

    async def unmoved(self, cases: Sequence[Case]) -> Sequence[bool]:
        """For each case whether the controls, and the approval, that it was judged by are those that stand now."""
        wanted = [_expects(case) for case in cases]
        expects = frozenset[Expect]().union(*wanted)
        rows = (await self.ledger.load(Wanted(sorted(expect.key for expect in expects)))).rows
        held = {each for each in expects if each.version == (rows[each.key].version if each.key in rows else 0)}
        return [bool(case.controls.expects) and held >= each for case, each in zip(cases, wanted, strict=True)]

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


def _expects(case: Case) -> frozenset[Expect]:
    """What an allow that is given again rests on: controls, and the approval that it used: votes may be voided."""
    approval = case.standing.approval if case.standing is not None else None
    if approval is None:
        return frozenset(case.controls.expects)
    used = Expect(approval_key(approval.tenant, approval.approval_id), approval.version)
    return frozenset((*case.controls.expects, used))
