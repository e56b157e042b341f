"""Protocols for the policy that decisions are made by. `placet.engine` implements them."""

from __future__ import annotations

from typing import TYPE_CHECKING, Protocol

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from placet.kernel.model import Indeterminate, Verdict
    from placet.revisions.status import PolicyStatus
    from placet.tenants.policy import TenantPolicy


class LoadedPolicy(Protocol):
    """One revision of policy, the engine that evaluates it, and its tenants' files."""

    @property
    def revision(self) -> str:
        """The digest of the policy's content."""
        ...

    @property
    def agent_policies(self) -> Mapping[str, TenantPolicy]:
        """The tenants' files, by tenant."""
        ...

    @property
    def confirmed_at(self) -> float:
        """The time when this revision was last known to be the newest, in monotonic seconds."""
        ...

    def where(self, rule_id: str) -> str:
        """Return the ``file:line`` of the rule with this id; "" when it is not known."""
        ...

    async def evaluate(self, inputs: Sequence[bytes]) -> Sequence[Verdict | Indeterminate]:
        """Evaluate all inputs (JSON objects) together and return one result for each, in order.

        Never raises for an engine failure: the result is then an Indeterminate. It is Indeterminate.slow for an input
        that would keep the others waiting.
        """
        ...

    async def evaluate_singly(self, inputs: Sequence[bytes]) -> Sequence[Verdict | Indeterminate]:
        """Evaluate each input apart, within the whole time limit of a query. Otherwise as `evaluate`."""
        ...


class PolicySource(Protocol):
    """Provides the served policy."""

    def current(self) -> LoadedPolicy | None:
        """Return the served policy; None before the first one is loaded."""
        ...

    def status(self) -> PolicyStatus:
        """Return which policy is served, and whether a newer one was refused."""
        ...
