"""Votes that are voided: of somebody in whose name another person may have voted."""

from __future__ import annotations

import asyncio
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Final

from placet.approvals.model import ApprovalState, from_row, requirement
from placet.approvals.records import votes_voided_commitment
from placet.approvals.standing_votes import covers
from placet.approvals.transitions import voided
from placet.commands.row_pages import rows_of
from placet.commands.transitions import change
from placet.kernel import rule_ids
from placet.kernel.errors import FailedPreconditionError, NotFoundError
from placet.kernel.limits import VOIDED_LISTED_MAX
from placet.kernel.reasons import APPROVERS_UNKNOWN, REFUSALS
from placet.kernel.state import StateTable
from placet.matching.person import same_person
from placet.permits.revocations import is_revoked, permit_revoked, valid_since_us
from placet.privacy.redaction import redact_text

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Sequence

    from placet.approvals.model import Approval
    from placet.approvals.service import Approvals, ApprovalView
    from placet.audit.records import Commitment
    from placet.kernel.model import Caller
    from placet.matching.person import Person

_READ_TOGETHER: Final = 50
"""Approvals that are looked at in one go: a millisecond or two, then others have their turn."""


@dataclass(frozen=True, slots=True)
class Voiding:
    """Whose votes do not count any longer, who says so, and why. `tenant` "" is each that is served."""

    tenant: str
    person: str
    actor: Person
    reason: str
    caller: Caller


@dataclass(slots=True)
class Voided:
    """The approvals that are open and lost a vote, and those that were used already: the first of each, how many.

    `used_voided_count` of the used ones lost a vote now, the others before. `revoked` are the decisions that used one
    that is listed, and whose permit is revoked. `without_groups` are tenants in which the person may vote anew.
    """

    open: list[ApprovalView] = field(default_factory=list)
    used: list[ApprovalView] = field(default_factory=list)
    revoked: list[str] = field(default_factory=list)
    without_groups: list[str] = field(default_factory=list)
    open_count: int = 0
    used_count: int = 0
    used_voided_count: int = 0
    revoked_count: int = 0

    def add_open(self, shown: ApprovalView) -> None:
        """One that is open lost a vote."""
        _list(self.open, shown)
        self.open_count += 1

    def add_used(self, shown: ApprovalView, *, voided: bool, revoked: bool) -> None:
        """One was used; whether it lost a vote now, and whether the permit of what used it is revoked."""
        if revoked and len(self.used) < VOIDED_LISTED_MAX:
            self.revoked.append(shown.approval.used_by)
        _list(self.used, shown)
        self.used_count += 1
        self.used_voided_count += voided
        self.revoked_count += revoked


@dataclass(frozen=True, slots=True)
class VoteVoiding:
    """Voids votes."""

    approvals: Approvals

    async def void(self, wish: Voiding) -> Voided:
        """Void the person's votes for whatever is open or was used, each recorded.

        The permit of an allow that used one is revoked while it may be valid, when the votes left are too few.
        NotFoundError when no file is of the tenant; FailedPreconditionError when all tenants are meant and nobody can
        tell which
        there are; AbortedError; LedgerUnavailableError. What was voided before stays so.
        """
        done = Voided()
        for tenant in self._tenants(wish.tenant):
            before = done.open_count + done.used_count
            await self._void_in(tenant, wish, done)
            concerned = wish.tenant or done.open_count + done.used_count > before
            if concerned and self.approvals.groups(tenant) == {}:
                done.without_groups.append(tenant)
        return done

    async def _void_in(self, tenant: str, wish: Voiding, done: Voided) -> None:
        for state in (ApprovalState.APPROVED, ApprovalState.PENDING):
            async for approval in self._theirs(tenant, state, wish.person):
                after = await self._voided(approval, wish)
                if after is not None and after.open:
                    done.add_open(self.approvals.shown(after))
        async for approval in self._theirs(tenant, ApprovalState.USED, wish.person):
            after = await self._voided(approval, wish)
            now = after or approval
            revoked = await self._revoke_permit(now, wish)
            done.add_used(self.approvals.shown(now), voided=after is not None, revoked=revoked)

    def _tenants(self, tenant: str) -> Sequence[str]:
        policy = self.approvals.policies.current()
        if policy is None:
            if tenant:
                return [tenant]
            raise FailedPreconditionError(APPROVERS_UNKNOWN, REFUSALS[APPROVERS_UNKNOWN])
        known = sorted(policy.agent_policies)
        if tenant and tenant not in known:
            raise NotFoundError(f"no agent_policy is of {tenant!r}; there are {', '.join(known)}")
        return [tenant] if tenant else known

    async def _theirs(self, tenant: str, state: ApprovalState, person: str) -> AsyncIterator[Approval]:
        """Approvals with a vote of the person for it that counts; of those that were used also one that was voided."""
        looked = 0
        async for row in rows_of(self.approvals.ledger, StateTable.APPROVALS, tenant, state):
            approval = from_row(row)
            votes = [vote for vote in approval.approvals if not vote.void_reason or state is ApprovalState.USED]
            if any(same_person(vote.person, person) for vote in votes):
                yield approval
            looked += 1
            if looked % _READ_TOGETHER == 0:
                await asyncio.sleep(0)

    async def _voided(self, found: Approval, wish: Voiding) -> Approval | None:
        """The approval without the person's votes; None when it ended meanwhile."""
        approvals = self.approvals

        async def attempt() -> tuple[Commitment | None, Approval | None]:
            approval = await approvals.read(found.tenant, found.approval_id)
            now_us = approvals.clock.wall_us()
            after = voided(approval, approvals.groups(found.tenant) or {}, wish.person, wish.reason, now_us)
            if after is None:
                return None, None
            made = votes_voided_commitment(
                after,
                wish.person,
                wish.actor,
                wish.reason,
                wish.caller,
                now_us,
                reopened=after.reopened > approval.reopened,
                notify=approvals.notify,
            )
            return made, after

        return await change(approvals.ledger, attempt)

    async def _revoke_permit(self, approval: Approval, wish: Voiding) -> bool:
        """Revoke the permit of the allow that used the approval; whether it is revoked, by this or before.

        It is not when enough votes are left, or when it has run out.
        """
        approvals = self.approvals
        tenant, decision_id, now_us = approval.tenant, approval.used_by, approvals.clock.wall_us()
        if is_revoked(await approvals.ledger.events_of(tenant, decision_id)):
            return True
        if covers(approval, requirement(approval), approvals.groups(tenant) or {}):
            return False
        used = await approvals.ledger.get_decision(tenant, decision_id)
        if used is None or used.decision.decided_at_us < valid_since_us(now_us):
            return False
        reason = redact_text(wish.reason)
        made = permit_revoked(tenant, decision_id, "", rule_ids.APPROVAL_VOTES_VOIDED, wish.actor.id, reason, now_us)
        await approvals.ledger.commit([made])
        return True


def _list(listed: list[ApprovalView], shown: ApprovalView) -> None:
    if len(listed) < VOIDED_LISTED_MAX:
        listed.append(shown)
