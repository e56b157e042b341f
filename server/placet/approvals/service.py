"""The use cases of approvals: list and show them, vote on them, cancel them, and expire those that are due.

The gRPC ApprovalService and the watch streams call it; the background sweeper calls `expire_due`.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Final

from placet.approvals.counted_votes import why_void
from placet.approvals.model import approval_key, from_row, state_at
from placet.approvals.records import (
    approval_expired_commitment,
    cancelled_commitment,
    vote_refused_commitment,
    voted_commitment,
)
from placet.approvals.transitions import approve, cancel, expire, may_vote, reject
from placet.audit.records import Committed
from placet.commands.execute import commit_with_retry
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
_RECORDED_REASONS: Final = {NotFoundError: "NOT_FOUND", InvalidRequestError: "INVALID_REQUEST"}
"""The recorded reasons of errors that have no reason id."""


@dataclass(frozen=True, slots=True)
class VoteCommand:
    """A person's vote on an approval, or a cancellation. `caller` sent it."""

    tenant: str
    approval_id: str
    person: Person
    reason: str
    caller: Caller


@dataclass(frozen=True, slots=True)
class ApprovalView:
    """An approval as one viewer sees it."""

    approval: Approval
    state: ApprovalState
    """The state now."""
    void: tuple[str, ...] = ()
    """For each vote why it does not count now; "" for a vote that counts."""
    with_params: bool = False
    """Whether the viewer sees the exact parameters."""
    similar: Mapping[str, int] | None = None
    """Effect -> number of recent decisions about the same tool, of at most SIMILAR_DECISIONS_MAX. None in lists."""


@dataclass(frozen=True, slots=True)
class ApprovalPage:
    """A page of approvals, the newest first. `next_page_token` is "" on the last page."""

    approvals: tuple[ApprovalView, ...]
    next_page_token: str


@dataclass(frozen=True, slots=True)
class Approvals:
    """The use cases of approvals outside of decisions.

    The tenant's file as it is served now says who may vote, and which votes count. Every method that reads or writes
    the ledger raises LedgerUnavailableError.
    """

    ledger: Ledger
    policies: CurrentFiles[ApproverDirectory]
    clock: Clock
    notify: bool = False
    """Whether changes queue webhooks."""

    async def listed(self, query: RowQuery) -> ApprovalPage:
        """Return a page of the tenant's approvals. Raises InvalidRequestError for a wrong page_token."""
        page = await self.ledger.list_rows(query)
        return ApprovalPage(tuple(self.view(from_row(row)) for row in page.rows), page.next_page_token)

    async def get(self, tenant: str, approval_id: str, viewer: Person | None) -> ApprovalView:
        """Return one approval with everything that a person needs to decide. Raises NotFoundError.

        A viewer who may vote sees the exact parameters while the approval is open.
        """
        approval = await self.read(tenant, approval_id)
        similar = await self.ledger.count_effects(tenant, approval.action["tool"], SIMILAR_DECISIONS_MAX)
        view, groups = self.view(approval), self.groups(tenant)
        is_voter = viewer is not None and groups is not None and may_vote(approval, groups, viewer)
        return replace(view, with_params=is_voter and view.state is approval.state, similar=similar)

    async def approve(self, command: VoteCommand, seen_digest: str = "") -> ApprovalView:
        """Vote to approve and return the approval after the vote. `seen_digest`: see `transitions.approve`.

        Raises NotFoundError, PermissionDeniedError, FailedPreconditionError or InvalidRequestError. Each of these
        refusals is recorded. Raises AbortedError when the approval changed on every try.
        """

        def vote(approval: Approval, now_us: int) -> tuple[Approval, Commitment]:
            groups = self._known_groups(command.tenant)
            after = approve(approval, groups, command.person, command.reason, now_us, seen_digest)
            return after, voted_commitment(after, command.caller, now_us, notify=self.notify)

        return await self._apply(APPROVE, command, vote)

    async def reject(self, command: VoteCommand) -> ApprovalView:
        """Vote to reject, which ends the approval. Raises the errors of `approve`."""

        def vote(approval: Approval, now_us: int) -> tuple[Approval, Commitment]:
            after = reject(approval, self._known_groups(command.tenant), command.person, command.reason, now_us)
            return after, voted_commitment(after, command.caller, now_us, notify=self.notify)

        return await self._apply(REJECT, command, vote)

    async def cancel(self, command: VoteCommand) -> ApprovalView:
        """Cancel the approval. Raises the errors of `approve`."""

        def cancellation(approval: Approval, now_us: int) -> tuple[Approval, Commitment]:
            after = cancel(approval, self.groups(command.tenant), command.person, command.reason, now_us)
            return after, cancelled_commitment(after, command.person, command.caller, now_us, notify=self.notify)

        return await self._apply(CANCEL, command, cancellation)

    async def expire_due(self) -> int:
        """Expire every approval that is due, EXPIRY_ROWS_MAX in one commit, and return how many expired.

        An approval that changes at the same time is left for the next run.
        """
        expired = 0
        while True:
            now_us = self.clock.wall_us()
            rows = await self.ledger.due_rows(StateTable.APPROVALS, now_us, EXPIRY_ROWS_MAX)
            commitments = [
                approval_expired_commitment(expire(from_row(row), now_us), now_us, notify=self.notify) for row in rows
            ]
            results = await self.ledger.commit(commitments) if commitments else ()
            committed = sum(isinstance(result, Committed) for result in results)
            if not committed:
                return expired
            expired += committed

    async def read(self, tenant: str, approval_id: str) -> Approval:
        """Return one approval of the tenant as it is stored. Raises NotFoundError."""
        key = approval_key(tenant, approval_id)
        row = (await self.ledger.load(ReadSet([key]))).rows.get(key)
        if row is None:
            raise NotFoundError("the tenant has no approval of that id; see `placet approvals list`")
        return from_row(row)

    def view(self, approval: Approval, *, with_params: bool = False) -> ApprovalView:
        """Return the approval with its state now, and with the reasons of votes that do not count now."""
        groups = self.groups(approval.tenant) or {}
        void = tuple(why_void(vote, groups) if vote.approve else "" for vote in approval.votes)
        return ApprovalView(approval, state_at(approval, self.clock.wall_us()), void, with_params)

    def groups(self, tenant: str) -> Mapping[str, Sequence[str]] | None:
        """Return the approver_groups of the tenant's file as it is served now; None when none is served."""
        file = files_of(self.policies).get(tenant)
        return file.approver_groups if file is not None else None

    def _known_groups(self, tenant: str) -> Mapping[str, Sequence[str]]:
        groups = self.groups(tenant)
        if groups is None:
            raise FailedPreconditionError(APPROVERS_UNKNOWN, REFUSALS[APPROVERS_UNKNOWN])
        return groups

    async def _apply(
        self, method: str, command: VoteCommand, transition: Callable[[Approval, int], tuple[Approval, Commitment]]
    ) -> ApprovalView:
        """Make the transition. A refusal is recorded and raised again."""
        stored_id = ""

        async def attempt() -> tuple[Commitment, Approval]:
            nonlocal stored_id
            approval = await self.read(command.tenant, command.approval_id)
            stored_id = approval.approval_id
            after, commitment = transition(approval, self.clock.wall_us())
            return commitment, after

        try:
            after = await commit_with_retry(self.ledger, attempt)
        except (NotFoundError, PermissionDeniedError, FailedPreconditionError, InvalidRequestError) as error:
            refusal = (
                error.reason
                if isinstance(error, PermissionDeniedError | FailedPreconditionError)
                else _RECORDED_REASONS[type(error)]
            )
            now_us = self.clock.wall_us()
            record = vote_refused_commitment(
                command.tenant, stored_id, method, command.person, command.caller, refusal, str(error), now_us
            )
            await self.ledger.commit([record])
            raise
        return self.view(after, with_params=after.open)
