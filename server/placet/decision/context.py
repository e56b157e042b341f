"""The inputs of a decision: one `EvaluationContext` for each request, one `BatchContext` for each batch.

`Gatherer` builds them in step 2. Guards and policy read nothing else.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from msgspec import Struct, field

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from placet.approvals.model import Approval
    from placet.budgets.model import Charge, UncountableCharge
    from placet.controls.autonomy.model import AutonomyRule
    from placet.controls.breakers.rules import Probe
    from placet.controls.snapshot import Controls
    from placet.decision.attempt import Attempt
    from placet.decision.ports import LoadedPolicy
    from placet.kernel.model import Finding, Proposal
    from placet.kernel.state import CounterKey, Usage
    from placet.tenants.policy import TenantPolicy


class EvaluationContext(Struct, frozen=True):
    """An attempt with everything that guards and policy look at.

    For a tenant without a file, and when `error` is set, every field from `autonomy` to `approval_error` is empty.
    """

    attempt: Attempt
    controls: Controls
    """Kill switches and autonomy overrides of the tenant, with the version that the commit requires."""
    now_us: int
    """The time of the decision, in microseconds since the epoch. The same for the whole batch."""
    policy_input: bytes
    """The JSON document that policy sees as `input`."""
    agent_policy: TenantPolicy | None = None
    """The tenant's file; None when the tenant has none."""
    error: Exception | None = None
    """The internal error that stopped the gathering."""
    permit_revoked: bool = False
    """Whether the permit of the stored allow was revoked."""
    autonomy: AutonomyRule | None = None
    """The autonomy rule that applies to the action."""
    charges: tuple[Charge, ...] = ()
    """The amounts that the action takes from budgets and from the limits of its run."""
    uncountable: tuple[UncountableCharge, ...] = ()
    """Budgets and limits that cannot count the action: its customer, run or currency is missing or wrong."""
    usages: Mapping[CounterKey, Usage] = field(default_factory=dict)
    """Usage of each counter. For a repeated allow, its own reservation is subtracted."""
    breaker_finding: Finding | None = None
    """The deny of an open circuit breaker."""
    probes: tuple[Probe, ...] = ()
    """Half-open circuit breakers that this action probes if it is allowed."""
    approval: Approval | None = None
    """The presented approval, when it can be used."""
    approval_error: tuple[str, str] | None = None
    """Why the presented approval cannot be used: rule_id and reason."""

    @property
    def proposal(self) -> Proposal:
        """The proposed action."""
        return self.attempt.request.proposal

    @property
    def reevaluates(self) -> bool:
        """Whether a stored allow is checked again. Such an attempt takes nothing more from any budget."""
        return self.attempt.stored_allow is not None


@dataclass(frozen=True, slots=True)
class BatchContext:
    """The contexts of a batch, and the inputs that they share."""

    policy: LoadedPolicy | None
    """The policy that evaluates the batch; None before the first one is loaded."""
    revision: str
    """The policy's revision when the batch started. An external engine may serve another one before it ends."""
    stale: bool
    """Whether the policy was not confirmed as current within `max_policy_age_seconds`."""
    contexts: Sequence[EvaluationContext]
    clock_skewed: bool = False
    """Whether the clock is too far off to decide by."""
