"""Checks whether a stored decision may still be returned for its idempotency key.

The same request gets the same decision, with two exceptions:

- A stored allow is returned only if the action would be allowed now and its permit was not revoked. Otherwise the
  answer is a recorded deny, and the key keeps the allow.
- A stored require_approval that people have approved since is decided anew.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from placet.approvals.model import approval_key, from_row, why_unusable
from placet.kernel.model import Effect
from placet.kernel.state import ReadSet, RequireVersion

if TYPE_CHECKING:
    from collections.abc import Sequence

    from placet.approvals.model import Approval
    from placet.audit.ports import Ledger
    from placet.decision.attempt import Attempt
    from placet.decision.context import EvaluationContext
    from placet.kernel.clock import Clock
    from placet.kernel.model import Decision


@dataclass(frozen=True, slots=True)
class Replays:
    """Checks whether a stored decision may be returned again for its idempotency key."""

    ledger: Ledger
    clock: Clock

    async def superseded(self, attempt: Attempt, decision: Decision) -> Attempt | None:
        """Return the attempt to make instead of returning the stored decision, or None when it may be returned.

        Raises LedgerUnavailableError.
        """
        if decision.effect is Effect.ALLOW:
            return attempt.reevaluating(decision)
        if decision.effect is Effect.REQUIRE_APPROVAL and decision.approval is not None:
            return await self._approved(attempt, decision, decision.approval.approval_id)
        return None

    async def unchanged(self, contexts: Sequence[EvaluationContext]) -> Sequence[bool]:
        """Return for each context whether its controls and its approval are still those in the ledger.

        Raises LedgerUnavailableError.
        """
        required = [_required_versions(context) for context in contexts]
        distinct = frozenset[RequireVersion]().union(*required)
        rows = (await self.ledger.load(ReadSet(sorted(require.key for require in distinct)))).rows
        current = {
            require
            for require in distinct
            if require.version == (rows[require.key].version if require.key in rows else 0)
        }
        return [
            bool(context.controls.expects) and current >= versions
            for context, versions in zip(contexts, required, strict=True)
        ]

    async def _approved(self, attempt: Attempt, decision: Decision, approval_id: str) -> Attempt | None:
        if not approval_id or attempt.superseded_decision_id:
            return None
        key = approval_key(attempt.tenant, approval_id)
        row = (await self.ledger.load(ReadSet([key]))).rows.get(key)
        if row is None:
            return None
        approval = from_row(row)
        if why_unusable(approval, attempt.proposal, self.clock.wall_us()) is None:
            return attempt.resumed_with(approval_id, decision.decision_id)
        return attempt if await self._used_by_same_key(attempt, approval) else None

    async def _used_by_same_key(self, attempt: Attempt, approval: Approval) -> bool:
        """Return whether the allow that used the approval has the attempt's caller and idempotency key.

        Then another request with this key was decided after the stored decision was read: the next attempt finds its
        allow.
        """
        if not approval.used_by:
            return False
        allow = await self.ledger.get_decision(attempt.tenant, approval.used_by)
        request = attempt.request
        key = (request.caller.name, request.proposal.idempotency_key)
        return allow is not None and (allow.caller, allow.idempotency_key) == key


def _required_versions(context: EvaluationContext) -> frozenset[RequireVersion]:
    """Return the versions that a stored allow depends on: of its controls, and of its approval.

    The approval changes when its votes are voided.
    """
    approval = context.approval
    if approval is None:
        return frozenset(context.controls.expects)
    used = RequireVersion(approval_key(approval.tenant, approval.approval_id), approval.version)
    return frozenset((*context.controls.expects, used))
