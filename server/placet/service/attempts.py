"""A request on its way to an answer."""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import TYPE_CHECKING

from placet.core.limits import COMMIT_TRIES_MAX

if TYPE_CHECKING:
    from placet.core.model import Caller, Proposal


@dataclass(frozen=True, slots=True)
class Request:
    """A parsed request: what is proposed, by whom it was sent, and when it arrived."""

    proposal: Proposal
    caller: Caller
    received_at_us: int


@dataclass(frozen=True, slots=True)
class Attempt:
    """One more try to decide a request, which is the one at `place` of its batch.

    `approval_id` is the approval that it presents. `replaces` is the decision that its idempotency key stood for, which
    asked for that approval. `repeats` is the allow that its key stands for and that a kill switch does not let stand.
    """

    place: int
    request: Request
    tries: int = 0
    approval_id: str = ""
    replaces: str = ""
    repeats: str = ""

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

    def again(self) -> Attempt:
        """What it rests on has changed: once more, from the facts on."""
        return replace(self, tries=self.tries + 1)

    def with_approval(self, approval_id: str, decision_id: str) -> Attempt:
        """Its key stands for a decision that asked for this approval, and people gave it."""
        return replace(self, tries=0, approval_id=approval_id, replaces=decision_id)

    def stopped(self, decision_id: str) -> Attempt:
        """Its key stands for this allow, which a kill switch covers by now."""
        return replace(self, tries=0, repeats=decision_id)
