"""A request on its way to an answer."""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import TYPE_CHECKING

from placet.core.limits import COMMIT_TRIES_MAX, POLICY_RELOADS_MAX

if TYPE_CHECKING:
    from placet.core.model import Caller, Decision, Proposal


@dataclass(frozen=True, slots=True)
class Request:
    """A parsed request: what is proposed, by whom it was sent, and when it arrived."""

    proposal: Proposal
    caller: Caller
    received_at_us: int


@dataclass(frozen=True, slots=True)
class Attempt:
    """One more try to decide a request, which is the one at `place` of its batch.

    `reloads` is how often the policy was replaced under way. `approval_id` is the approval that it presents. `replaces`
    is the decision that its idempotency key stood for, which asked for that approval. `repeats` is the allow that its
    key stands for: it is given again only if it would be an allow by what stands now.
    """

    place: int
    request: Request
    tries: int = 0
    reloads: int = 0
    approval_id: str = ""
    replaces: str = ""
    repeats: Decision | None = None

    @property
    def proposal(self) -> Proposal:
        """What is proposed."""
        return self.request.proposal

    @property
    def tenant(self) -> str:
        """Whose it is."""
        return self.request.proposal.identity.tenant

    @property
    def exhausted(self) -> bool:
        """Whether it lost every race that it may run."""
        return self.tries >= COMMIT_TRIES_MAX

    @property
    def restless(self) -> bool:
        """Whether the policy was replaced under way as often as may be."""
        return self.reloads >= POLICY_RELOADS_MAX

    @property
    def given_up(self) -> bool:
        """Whether it is denied whatever changes meanwhile."""
        return self.exhausted or self.restless

    def again(self) -> Attempt:
        """What it rests on has changed: once more, from the facts on."""
        return replace(self, tries=self.tries + 1)

    def reloaded(self) -> Attempt:
        """Another policy decides by now: once more. That is no race lost."""
        return replace(self, reloads=self.reloads + 1)

    def with_approval(self, approval_id: str, decision_id: str) -> Attempt:
        """Its key stands for a decision that asked for this approval, and people gave it."""
        return replace(self, tries=0, approval_id=approval_id, replaces=decision_id)

    def repeating(self, decision: Decision) -> Attempt:
        """Its key stands for this allow, which is judged again; with the approval that it used, no other."""
        return replace(self, tries=0, approval_id=decision.used_approval_id, repeats=decision)
