"""Requests for approval: shown to people, voted on, withdrawn, and ended when their time is over."""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Final

from placet.approvals.model import approval_key, from_row, state_at
from placet.approvals.records import (
    approval_expired_commitment,
    cancelled_commitment,
    vote_rejected_commitment,
    voted_commitment,
)
from placet.approvals.standing_votes import why_void
from placet.approvals.transitions import approved, cancelled, expired, may_vote, rejected
from placet.audit.records import Committed
from placet.commands.transitions import change
from placet.kernel.errors import FailedPreconditionError, InvalidRequestError, NotFoundError, PermissionDeniedError
from placet.kernel.limits import EXPIRY_ROWS_MAX, SIMILAR_DECISIONS_MAX
from placet.kernel.policy_files import files_of
from placet.kernel.reasons import APPROVERS_UNKNOWN, REFUSALS
from placet.kernel.state import ReadSet, RowQuery, StateTable

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping, Sequence

    from placet.approvals.model import Approval, ApprovalState
    from placet.approvals.ports import ApproverDirectory
    from placet.audit.ports import Ledger
    from placet.audit.records import Commitment
    from placet.kernel.clock import Clock
    from placet.kernel.model import Caller
    from placet.kernel.policy_files import CurrentFiles
    from placet.matching.person import Person

APPROVE: Final = "ApproveAction"
REJECT: Final = "RejectAction"
CANCEL: Final = "CancelApproval"
_REFUSALS: Final = {NotFoundError: "NOT_FOUND", InvalidRequestError: "INVALID_REQUEST"}


@dataclass(frozen=True, slots=True)
class VoteCommand:
    """What a person says about one approval, sent by `caller`."""

    tenant: str
    approval_id: str
    person: Person
    reason: str
    caller: Caller


@dataclass(frozen=True, slots=True)
class ApprovalView:
    """An approval for one viewer. `state` is where it stands now, `with_params` whether the exact parameters are shown.

    `void` is for each vote why it does not count today, "" for one that does. `similar` is how often each effect was
    decided for the tool lately; None in lists.
    """

    approval: Approval
    state: ApprovalState
    void: tuple[str, ...] = ()
    with_params: bool = False
    similar: Mapping[str, int] | None = None


@dataclass(frozen=True, slots=True)
class ApprovalPage:
    """A page, newest first; `next_page_token` is empty on the last."""

    approvals: tuple[ApprovalView, ...]
    next_page_token: str


@dataclass(frozen=True, slots=True)
class Approvals:
    """All that is done with approvals outside of decisions. `notify`: there are webhooks to tell.

    Who may vote, and which votes count, is by the tenant's file as it is served now. Every method raises
    LedgerUnavailableError.
    """

    ledger: Ledger
    policies: CurrentFiles[ApproverDirectory]
    clock: Clock
    notify: bool = False

    async def listed(self, query: RowQuery) -> ApprovalPage:
        """A page of the tenant's approvals. InvalidRequestError for a wrong page_token."""
        page = await self.ledger.list_rows(query)
        return ApprovalPage(tuple(self.shown(from_row(row)) for row in page.rows), page.next_page_token)

    async def get(self, tenant: str, approval_id: str, viewer: Person | None) -> ApprovalView:
        """One approval with all that a person needs to decide. NotFoundError.

        Exact parameters are shown to those who may vote, while it is open.
        """
        approval = await self.read(tenant, approval_id)
        similar = await self.ledger.count_effects(tenant, approval.action["tool"], SIMILAR_DECISIONS_MAX)
        shown, groups = self.shown(approval), self.groups(tenant)
        votes = viewer is not None and groups is not None and may_vote(approval, groups, viewer)
        return replace(shown, with_params=votes and shown.state is approval.state, similar=similar)

    async def approve(self, word: VoteCommand, seen_digest: str = "") -> ApprovalView:
        """Vote for it.

        NotFoundError, PermissionDeniedError, FailedPreconditionError, InvalidRequestError; each is recorded.
        """

        def vote(approval: Approval, now_us: int) -> tuple[Approval, Commitment]:
            groups = self._known_groups(word.tenant)
            after = approved(approval, groups, word.person, word.reason, now_us, seen_digest)
            return after, voted_commitment(after, word.caller, now_us, notify=self.notify)

        return await self._said(APPROVE, word, vote)

    async def reject(self, word: VoteCommand) -> ApprovalView:
        """Vote against it, which ends it. Errors as of `approve`."""

        def vote(approval: Approval, now_us: int) -> tuple[Approval, Commitment]:
            after = rejected(approval, self._known_groups(word.tenant), word.person, word.reason, now_us)
            return after, voted_commitment(after, word.caller, now_us, notify=self.notify)

        return await self._said(REJECT, word, vote)

    async def cancel(self, word: VoteCommand) -> ApprovalView:
        """Withdraw it. Errors as of `approve`."""

        def withdraw(approval: Approval, now_us: int) -> tuple[Approval, Commitment]:
            after = cancelled(approval, self.groups(word.tenant), word.person, word.reason, now_us)
            return after, cancelled_commitment(after, word.person, word.caller, now_us, notify=self.notify)

        return await self._said(CANCEL, word, withdraw)

    async def expire_due(self) -> int:
        """End every approval whose time is over, a portion in each commit; how many there were.

        One that somebody else changes at the same time is left for the next look.
        """
        ended = 0
        while True:
            now_us = self.clock.wall_us()
            rows = await self.ledger.due_rows(StateTable.APPROVALS, now_us, EXPIRY_ROWS_MAX)
            ends = [
                approval_expired_commitment(expired(from_row(row), now_us), now_us, notify=self.notify) for row in rows
            ]
            results = await self.ledger.commit(ends) if ends else ()
            stored = sum(isinstance(result, Committed) for result in results)
            if not stored:
                return ended
            ended += stored

    async def read(self, tenant: str, approval_id: str) -> Approval:
        """One approval of the tenant as it is stored. NotFoundError."""
        key = approval_key(tenant, approval_id)
        row = (await self.ledger.load(ReadSet([key]))).rows.get(key)
        if row is None:
            raise NotFoundError("the tenant has no approval of that id; see `placet approvals list`")
        return from_row(row)

    def shown(self, approval: Approval, *, with_params: bool = False) -> ApprovalView:
        """The approval as it stands now."""
        groups = self.groups(approval.tenant) or {}
        void = tuple(why_void(vote, groups) if vote.approve else "" for vote in approval.votes)
        return ApprovalView(approval, state_at(approval, self.clock.wall_us()), void, with_params)

    def groups(self, tenant: str) -> Mapping[str, Sequence[str]] | None:
        """The approver_groups of the tenant's file as it is served now; None when none is."""
        file = files_of(self.policies).get(tenant)
        return file.approver_groups if file is not None else None

    def _known_groups(self, tenant: str) -> Mapping[str, Sequence[str]]:
        groups = self.groups(tenant)
        if groups is None:
            raise FailedPreconditionError(APPROVERS_UNKNOWN, REFUSALS[APPROVERS_UNKNOWN])
        return groups

    async def _said(
        self, method: str, word: VoteCommand, transition: Callable[[Approval, int], tuple[Approval, Commitment]]
    ) -> ApprovalView:
        """Make the transition; what refuses it is recorded and raised."""
        known = ""

        async def attempt() -> tuple[Commitment, Approval]:
            nonlocal known
            approval = await self.read(word.tenant, word.approval_id)
            known = approval.approval_id
            after, commitment = transition(approval, self.clock.wall_us())
            return commitment, after

        try:
            after = await change(self.ledger, attempt)
        except (NotFoundError, PermissionDeniedError, FailedPreconditionError, InvalidRequestError) as error:
            refusal = (
                error.reason
                if isinstance(error, PermissionDeniedError | FailedPreconditionError)
                else _REFUSALS[type(error)]
            )
            now_us = self.clock.wall_us()
            refused = vote_rejected_commitment(
                word.tenant, known, method, word.person, word.caller, refusal, str(error), now_us
            )
            await self.ledger.commit([refused])
            raise
        return self.shown(after, with_params=after.open)
