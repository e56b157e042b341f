"""A request and its attempts: the pipeline may evaluate one request several times before it has an answer."""

from __future__ import annotations

from typing import TYPE_CHECKING

from msgspec import Struct
from msgspec.structs import replace

from placet.kernel.limits import COMMIT_TRIES_MAX, POLICY_RELOADS_MAX, STEP_BYTES

if TYPE_CHECKING:
    from placet.kernel.model import Caller, Decision, Proposal


class Request(Struct, frozen=True):
    """A parsed request: the proposed action, its caller and its time of arrival."""

    proposal: Proposal
    caller: Caller
    received_at_us: int
    call: object | None = None
    """The call that brought the request, compared by identity: a call is decided together, or not yet. None: alone."""
    permit: bool = False
    """Whether the caller asked for a permit."""


class Attempt(Struct, frozen=True):
    """One try to decide the request at `index` of its batch."""

    index: int
    request: Request
    tries: int = 0
    """How many earlier attempts failed because an input changed before the commit."""
    reloads: int = 0
    """How many earlier attempts failed because the policy was replaced."""
    approval_id: str = ""
    """The approval that the request presents, or that its stored decision required."""
    superseded_decision_id: str = ""
    """The stored require_approval of the idempotency key. People approved it, so this attempt decides anew."""
    stored_allow: Decision | None = None
    """The stored allow of the idempotency key. It is returned only if the action would be allowed now."""

    @property
    def proposal(self) -> Proposal:
        """The proposed action."""
        return self.request.proposal

    @property
    def tenant(self) -> str:
        """The tenant of the request's identity."""
        return self.request.proposal.identity.tenant

    @property
    def stored_allow_id(self) -> str:
        """The decision_id of the stored allow; "" when there is none."""
        return self.stored_allow.decision_id if self.stored_allow is not None else ""

    @property
    def out_of_tries(self) -> bool:
        """Whether the inputs changed on COMMIT_TRIES_MAX attempts."""
        return self.tries >= COMMIT_TRIES_MAX

    @property
    def out_of_reloads(self) -> bool:
        """Whether the policy was replaced on POLICY_RELOADS_MAX attempts."""
        return self.reloads >= POLICY_RELOADS_MAX

    @property
    def given_up(self) -> bool:
        """Whether this attempt ends in a deny, even if its inputs change again."""
        return self.out_of_tries or self.out_of_reloads

    def retried(self) -> Attempt:
        """Return the next attempt, after an input changed before the commit."""
        return replace(self, tries=self.tries + 1)

    def reloaded(self) -> Attempt:
        """Return the next attempt, after the policy was replaced. It does not count as a try."""
        return replace(self, reloads=self.reloads + 1)

    def resumed_with(self, approval_id: str, decision_id: str) -> Attempt:
        """Return the attempt that uses the approval which the stored decision required."""
        return replace(self, tries=0, approval_id=approval_id, superseded_decision_id=decision_id)

    def reevaluating(self, allow: Decision) -> Attempt:
        """Return the attempt that checks the stored allow again, with the approval that it used and no other."""
        return replace(self, tries=0, approval_id=allow.used_approval_id, stored_allow=allow)


def attempt_is_large(attempt: Attempt) -> bool:
    """Return whether to process the attempt in a step by itself."""
    return len(attempt.request.proposal.document) > STEP_BYTES
