"""Decisions: the answer to a request of an agent."""

from __future__ import annotations

from dataclasses import dataclass, field
from enum import StrEnum
from typing import TYPE_CHECKING, Any, NoReturn, Self

from placet.sdk.errors import PlacetSdkError

if TYPE_CHECKING:
    from collections.abc import Mapping
    from datetime import datetime

    from placet.sdk.failures import Failure


class Effect(StrEnum):
    """Effect of a decision. The SDK turns an effect that it does not know into DENY."""

    DENY = "deny"
    """The action must not run."""
    REQUIRE_APPROVAL = "require_approval"
    """The action may run after people approved exactly this action."""
    ALLOW = "allow"
    """The action may run once, exactly as proposed."""


class Autonomy(StrEnum):
    """Level of autonomy of an agent, from lowest to highest."""

    UNSPECIFIED = ""
    """Autonomy does not apply."""
    OBSERVE_ONLY = "observe_only"
    """Decisions are recorded. Writes are denied."""
    DRAFT_ONLY = "draft_only"
    """Only dry runs are allowed."""
    EXECUTE_WITH_APPROVAL = "execute_with_approval"
    """Each write requires approval."""
    EXECUTE = "execute"
    """The policy decides."""


@dataclass(frozen=True, slots=True)
class Finding:
    """A policy rule that matched the action."""

    effect: Effect
    rule_id: str
    """Stable id of the rule, such as ``refunds.over_limit``."""
    reason: str
    """One sentence for people."""
    details: Mapping[str, Any] = field(default_factory=dict)
    """Parameters of the rule, such as ``{"quorum": 1}``."""


@dataclass(frozen=True, slots=True)
class ApprovalRequirement:
    """The approval that a decision requires."""

    quorum: int
    """Number of distinct people who must approve."""
    approver_roles: tuple[str, ...] = ()
    """Roles that may approve. Empty if any person of the tenant's approvers may."""
    id: str = ""
    """Id of the approval: pass it to `authorize` as `approval_id` when it is approved."""
    expires_at: datetime | None = None
    """When the request for approval expires, in UTC."""
    url: str = ""
    """Page on which people approve. Empty if the server has none."""


@dataclass(frozen=True, slots=True)
class Obligation:
    """Something that the caller must do when it acts on the decision. A caller that cannot do it must not act."""

    id: str
    """Stable id, such as ``redact_output``."""
    details: Mapping[str, Any] = field(default_factory=dict)
    """Parameters of the obligation."""


@dataclass(frozen=True, slots=True)
class BudgetState:
    """State of one budget after the decision."""

    id: str
    remaining: int
    """What is left, in `unit`."""
    resets_at: datetime | None = None
    """End of the budget's window in UTC. None for windows that do not end by time: run and lifetime."""
    unit: str = ""
    """``calls``, ``tokens``, ``cost`` (micros) or ``amount:USD`` (minor units)."""


@dataclass(frozen=True, slots=True)
class Decision:
    """The decision about one action.

    If there is no decision, for example because the server cannot be reached, `effect` is DENY and `failure` says why.
    A decision has no truth value: use `allowed`.
    """

    effect: Effect
    rule_id: str
    """The rule that decided. Without a decision, a ``pdp.client_*`` id."""
    reason: str
    """One sentence for people."""
    decision_id: str = ""
    """Empty if the server recorded no decision."""
    tenant: str = ""
    """Tenant of the request."""
    idempotency_key: str = ""
    """Idempotency key of the request."""
    findings: tuple[Finding, ...] = ()
    """All rules that matched."""
    policy_revision: str = ""
    """Revision of the policy that decided."""
    approval: ApprovalRequirement | None = None
    """The required approval, if `effect` is REQUIRE_APPROVAL."""
    obligations: tuple[Obligation, ...] = ()
    """What the caller must do when it acts on the decision."""
    permit: str = field(default="", repr=False)
    """Signed token that proves an allow to the executor of the call, valid for 60 seconds. See `verify_permit`.

    Empty unless the request had ``include_permit=True``, or the tenant's file has ``permits: always``."""
    budgets: tuple[BudgetState, ...] = ()
    """Budgets that the action counts against."""
    autonomy: Autonomy = Autonomy.UNSPECIFIED
    """Level of autonomy that applied."""
    shadow_effect: Effect | None = None
    """Effect that a shadow policy would have had."""
    action_digest: str = ""
    """SHA-256 of the action, the identity and the run id, in hex. An approval and a permit are bound to it."""
    decided_at: datetime | None = None
    """When the server decided, in UTC."""
    failure: Failure | None = None
    """Why there is no decision. None if there is one."""

    @property
    def allowed(self) -> bool:
        """True if the action may run now."""
        return self.effect is Effect.ALLOW

    @property
    def needs_approval(self) -> bool:
        """True if the action may run after people approved it."""
        return self.effect is Effect.REQUIRE_APPROVAL

    def require_allowed(self) -> Self:
        """Return the decision if it is an allow. Raises DeniedError or ApprovalRequiredError otherwise."""
        if self.allowed:
            return self
        raise ApprovalRequiredError(self) if self.needs_approval else DeniedError(self)

    def __bool__(self) -> NoReturn:
        raise TypeError("a decision has no truth value; use decision.allowed")


def denied(failure: Failure, idempotency_key: str = "", decision_id: str = "") -> Decision:
    """Return the deny for a failure."""
    return Decision(
        effect=Effect.DENY,
        rule_id=failure.rule_id,
        reason=str(failure),
        decision_id=decision_id,
        idempotency_key=idempotency_key,
        failure=failure,
    )


class NotAllowedError(PlacetSdkError):
    """The action must not run now. `decision` says why."""

    def __init__(self, decision: Decision) -> None:
        self.decision = decision
        super().__init__(f"{decision.effect}: {decision.rule_id}: {decision.reason}")


class DeniedError(NotAllowedError):
    """The action must not run."""


class ApprovalRequiredError(NotAllowedError):
    """The action may run only after people approved it."""
