"""What Placet knows when it evaluates: one `EvaluationContext` a request, one `BatchContext` a batch."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from placet.approvals.model import Approval
    from placet.budgets.model import Charge, ChargeFault
    from placet.controls.autonomy.model import AutonomyRule
    from placet.controls.breakers.rules import Probe
    from placet.controls.snapshot import Controls
    from placet.decision.attempt import Attempt
    from placet.decision.ports import LoadedPolicy
    from placet.kernel.model import Finding, Proposal
    from placet.kernel.state import CounterKey, Usage
    from placet.tenants.agent_policy import AgentPolicy


@dataclass(frozen=True, slots=True)
class EvaluationContext:
    """An attempt with everything that guards and policy look at.

    `autonomy` and what follows it is known only for a tenant with a file, and when nothing failed.
    """

    attempt: Attempt
    controls: Controls
    now_us: int
    policy_input: bytes
    """The JSON document that policy sees as `input`."""
    agent_policy: AgentPolicy | None = None
    """The tenant's file; None when the tenant has none."""
    error: Exception | None = None
    """What went wrong inside Placet while the context was gathered."""
    permit_revoked: bool = False
    """Whether the permit of the stored allow was revoked."""
    autonomy: AutonomyRule | None = None
    charges: tuple[Charge, ...] = ()
    """What the action takes of budgets and of the limits of its run."""
    uncountable: tuple[ChargeFault, ...] = ()
    """Budgets and limits that cover the action but cannot be counted."""
    usages: Mapping[CounterKey, Usage] = field(default_factory=dict)
    """Usage of each counter, without what the stored allow took."""
    breaker_finding: Finding | None = None
    """What an open circuit breaker says of the action."""
    probes: tuple[Probe, ...] = ()
    """Half-open circuit breakers whose probe the action becomes when it is allowed."""
    approval: Approval | None = None
    """The approval that the request presents, when it can be used."""
    approval_error: tuple[str, str] | None = None
    """Why the presented approval cannot be used: rule_id and reason."""

    @property
    def proposal(self) -> Proposal:
        """The proposed action."""
        return self.attempt.request.proposal

    @property
    def reevaluates(self) -> bool:
        """Whether the action was allowed before under its idempotency key: it takes nothing more of any budget."""
        return self.attempt.stored_allow is not None


@dataclass(frozen=True, slots=True)
class BatchContext:
    """What all requests of a batch share, and the context of each.

    `revision` is the policy's as the batch begins: what an external engine serves may change meanwhile.
    """

    policy: LoadedPolicy | None
    revision: str
    stale: bool
    contexts: Sequence[EvaluationContext]
    clock_skewed: bool = False
