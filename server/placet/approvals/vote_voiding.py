"""Voids all votes of a person, for example because the person's account was stolen."""

from __future__ import annotations

import asyncio
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Final

from placet.approvals.counted_votes import satisfies
from placet.approvals.model import ApprovalState, from_row, requirement
from placet.approvals.records import votes_voided_commitment
from placet.approvals.transitions import void_votes
from placet.commands.execute import commit_with_retry
from placet.commands.row_pages import rows_of
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
"""Approvals that are read before other work gets a turn: that takes one or two milliseconds."""


@dataclass(frozen=True, slots=True)
class Voiding:
    """A command to void the votes of `person`, given by `actor` and sent by `caller`."""

    tenant: str
    """The tenant; "" for every served one."""
    person: str
    actor: Person
    reason: str
    caller: Caller


@dataclass(slots=True)
class Voided:
    """The result of voiding: the approvals concerned. The lists hold at most VOIDED_LISTED_MAX approvals each."""

    open: list[ApprovalView] = field(default_factory=list)
    """Open approvals that lost a vote."""
    used: list[ApprovalView] = field(default_factory=list)
    """Used approvals that lost a vote, now or earlier."""
    revoked: list[str] = field(default_factory=list)
    """The decisions that used an approval in `used` and whose permits are revoked."""
    without_groups: list[str] = field(default_factory=list)
    """Tenants without approver_groups: the person can vote there again."""
    open_count: int = 0
    used_count: int = 0
    used_voided_count: int = 0
    """How many used approvals lost a vote now."""
    revoked_count: int = 0

    def add_open(self, view: ApprovalView) -> None:
        """Add an open approval that lost a vote."""
        _list(self.open, view)
        self.open_count += 1

    def add_used(self, view: ApprovalView, *, voided: bool, revoked: bool) -> None:
        """Add a used approval. `voided`: it lost a vote now. `revoked`: the permit of its allow is revoked."""
        if revoked and len(self.used) < VOIDED_LISTED_MAX:
            self.revoked.append(view.approval.used_by)
        _list(self.used, view)
        self.used_count += 1
        self.used_voided_count += voided
        self.revoked_count += revoked


@dataclass(frozen=True, slots=True)
class VoteVoiding:
    """Voids votes."""

    approvals: Approvals

    async def void(self, command: Voiding) -> Voided:
        """Void the person's votes on all open and used approvals. One record is committed for each approval.

        The permit of an allow that used an approval is revoked if it may still be valid and too few votes are left.

        Raises NotFoundError when the tenant has no file. Raises FailedPreconditionError when all tenants are to be
        searched and no policy is loaded, AbortedError when an approval changed on every try, and
        LedgerUnavailableError. After an error the votes that were already voided stay voided.
        """
        result = Voided()
        for tenant in self._tenants(command.tenant):
            count_before = result.open_count + result.used_count
            await self._void_in(tenant, command, result)
            has_votes = command.tenant or result.open_count + result.used_count > count_before
            if has_votes and self.approvals.groups(tenant) == {}:
                result.without_groups.append(tenant)
        return result

    async def _void_in(self, tenant: str, command: Voiding, result: Voided) -> None:
        for state in (ApprovalState.APPROVED, ApprovalState.PENDING):
            async for approval in self._voted_by(tenant, state, command.person):
                after = await self._void_votes(approval, command)
                if after is not None and after.open:
                    result.add_open(self.approvals.view(after))
        async for approval in self._voted_by(tenant, ApprovalState.USED, command.person):
            after = await self._void_votes(approval, command)
            current = after or approval
            revoked = await self._revoke_permit(current, command)
            result.add_used(self.approvals.view(current), voided=after is not None, revoked=revoked)

    def _tenants(self, tenant: str) -> Sequence[str]:
        policy = self.approvals.policies.current()
        if policy is None:
            if tenant:
                return [tenant]
            raise FailedPreconditionError(APPROVERS_UNKNOWN, REFUSALS[APPROVERS_UNKNOWN])
        known = sorted(policy.agent_policies)
        if tenant and tenant not in known:
            raise NotFoundError(f"tenant {tenant!r} has no agent_policy; the tenants are {', '.join(known)}")
        return [tenant] if tenant else known

    async def _voted_by(self, tenant: str, state: ApprovalState, person: str) -> AsyncIterator[Approval]:
        """Yield the approvals in a state that have a vote of the person to approve.

        A voided vote is enough for a used approval: its permit may still have to be revoked.
        """
        count = 0
        async for row in rows_of(self.approvals.ledger, StateTable.APPROVALS, tenant, state):
            approval = from_row(row)
            votes = [vote for vote in approval.approvals if not vote.void_reason or state is ApprovalState.USED]
            if any(same_person(vote.person, person) for vote in votes):
                yield approval
            count += 1
            if count % _READ_TOGETHER == 0:
                await asyncio.sleep(0)

    async def _void_votes(self, listed: Approval, command: Voiding) -> Approval | None:
        """Void the person's votes and return the approval; None when there is no longer a vote to void."""
        approvals = self.approvals

        async def attempt() -> tuple[Commitment | None, Approval | None]:
            approval = await approvals.read(listed.tenant, listed.approval_id)
            now_us = approvals.clock.wall_us()
            groups = approvals.groups(listed.tenant) or {}
            after = void_votes(approval, groups, command.person, command.reason, now_us)
            if after is None:
                return None, None
            commitment = votes_voided_commitment(
                after,
                command.person,
                command.actor,
                command.reason,
                command.caller,
                now_us,
                reopened=after.reopened > approval.reopened,
                notify=approvals.notify,
            )
            return commitment, after

        return await commit_with_retry(approvals.ledger, attempt)

    async def _revoke_permit(self, approval: Approval, command: Voiding) -> bool:
        """Revoke the permit of the allow that used the approval. Return whether it is revoked, now or earlier.

        A permit stays valid while enough votes are left. One that has run out is not revoked.
        """
        approvals = self.approvals
        tenant, decision_id, now_us = approval.tenant, approval.used_by, approvals.clock.wall_us()
        if satisfies(approval, requirement(approval), approvals.groups(tenant) or {}):
            return False
        if is_revoked(await approvals.ledger.events_of(tenant, decision_id)):
            return True
        allow = await approvals.ledger.get_decision(tenant, decision_id)
        if allow is None or allow.decision.decided_at_us < valid_since_us(now_us):
            return False
        reason = redact_text(command.reason)
        record = permit_revoked(
            tenant, decision_id, "", rule_ids.APPROVAL_VOTES_VOIDED, command.actor.id, reason, now_us
        )
        await approvals.ledger.commit([record])
        return True


def _list(views: list[ApprovalView], view: ApprovalView) -> None:
    if len(views) < VOIDED_LISTED_MAX:
        views.append(view)
