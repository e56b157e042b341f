"""A request on its way to an answer."""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import TYPE_CHECKING

from placet.kernel.limits import COMMIT_TRIES_MAX, POLICY_RELOADS_MAX

if TYPE_CHECKING:
    from placet.kernel.model import Caller, Decision, Proposal


@dataclass(frozen=True, slots=True)
class Request:
    """A parsed request: the proposed action, who sent it and when it arrived."""

    proposal: Proposal
    caller: Caller
    received_at_us: int


@dataclass(frozen=True, slots=True)
class Attempt:
    """One try to decide the request at `index` of its batch."""

    index: int
    request: Request
    tries: int = 0
    """Tries before this one whose inputs changed before the commit."""
    reloads: int = 0
    """Tries before this one during which the policy was replaced."""
    approval_id: str = ""
    """The approval that the request presents, or that its stored decision asked for."""
    superseded_decision_id: str = ""
    """The stored require_approval of the idempotency key: this attempt decides anew because people approved."""
    stored_allow: Decision | None = None
    """The stored allow of the idempotency key: it is returned only if the action would be allowed now."""

    @property
    def proposal(self) -> Proposal:
        """The proposed action."""
        return self.request.proposal

    @property
    def tenant(self) -> str:
        """The tenant of the identity."""
        return self.request.proposal.identity.tenant

    @property
    def stored_allow_id(self) -> str:
        """The decision_id of the stored allow, empty when there is none."""
        return self.stored_allow.decision_id if self.stored_allow is not None else ""

    @property
    def out_of_tries(self) -> bool:
        """Whether its inputs changed as often as it may be tried."""
        return self.tries >= COMMIT_TRIES_MAX

    @property
    def out_of_reloads(self) -> bool:
        """Whether the policy was replaced as often as it may be tried."""
        return self.reloads >= POLICY_RELOADS_MAX

    @property
    def given_up(self) -> bool:
        """Whether this attempt ends in a deny, whatever else changes."""
        return self.out_of_tries or self.out_of_reloads

    def retried(self) -> Attempt:
        """The next attempt after an input changed before the commit."""
        return replace(self, tries=self.tries + 1)

    def reloaded(self) -> Attempt:
        """The next attempt after the policy was replaced. It does not count as a try."""
        return replace(self, reloads=self.reloads + 1)

    def resumed_with(self, approval_id: str, decision_id: str) -> Attempt:
        """The attempt that uses the approval which the stored decision asked for."""
        return replace(self, tries=0, approval_id=approval_id, superseded_decision_id=decision_id)

    def reevaluating(self, allow: Decision) -> Attempt:
        """The attempt that checks the stored allow, with the approval that it used and no other."""
        return replace(self, tries=0, approval_id=allow.used_approval_id, stored_allow=allow)
