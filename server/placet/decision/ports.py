"""What the decision path needs of policy. `placet.engine` implements it."""

from __future__ import annotations

from typing import TYPE_CHECKING, Protocol

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from placet.kernel.model import Indeterminate, Verdict
    from placet.revisions.status import PolicyStatus
    from placet.tenants.agent_policy import AgentPolicy


class LoadedPolicy(Protocol):
    """One revision of policy, with the engine that evaluates it and the tenants' files that belong to it."""

    @property
    def revision(self) -> str:
        """Digest of the policy's content."""
        ...

    @property
    def agent_policies(self) -> Mapping[str, AgentPolicy]:
        """Tenant -> its agent_policy."""
        ...

    @property
    def confirmed_at(self) -> float:
        """Monotonic seconds when this revision was last known to be the newest."""
        ...

    def where(self, rule_id: str) -> str:
        """``file:line`` of the rule with this id; "" when it is not known."""
        ...

    async def evaluate(self, inputs: Sequence[bytes]) -> Sequence[Verdict | Indeterminate]:
        """Evaluate each input (a JSON object); one answer for each, in order. Never raises for what the engine does."""
        ...


class PolicySource(Protocol):
    """Where the policy that decides now comes from."""

    def current(self) -> LoadedPolicy | None:
        """The policy that decides now; None before the first was loaded."""
        ...

    def status(self) -> PolicyStatus:
        """What is served, and whether something newer was refused."""
        ...
