"""What a caller gets back."""

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
    """What a decision says. Whatever else a server might say is a deny."""

    DENY = "deny"
    REQUIRE_APPROVAL = "require_approval"
    ALLOW = "allow"


class Autonomy(StrEnum):
    """How far the agent may go by itself."""

    UNSPECIFIED = ""
    OBSERVE_ONLY = "observe_only"
    DRAFT_ONLY = "draft_only"
    EXECUTE_WITH_APPROVAL = "execute_with_approval"
    EXECUTE = "execute"


@dataclass(frozen=True, slots=True)
class Finding:
    """One policy rule that fired. An effect that this client does not know reads as deny."""

    effect: Effect
    rule_id: str
    reason: str
    details: Mapping[str, Any] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class ApprovalRequirement:
    """What approval is asked for. Empty roles: any person who may approve in the tenant.

    `url` is the page on which people approve, "" when the server has none.
    """

    quorum: int
    approver_roles: tuple[str, ...] = ()
    id: str = ""
    expires_at: datetime | None = None
    url: str = ""


@dataclass(frozen=True, slots=True)
class Obligation:
    """Something that the caller must do when it acts on the decision.

    `id` names it, `details` are its parameters. A caller that cannot do it must not act.
    """

    id: str
    details: Mapping[str, Any] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class BudgetState:
    """State of one budget after the decision, in the budget's own `unit`: calls, tokens, cost or amount:USD."""

    id: str
    remaining: int
    resets_at: datetime | None = None
    unit: str = ""


@dataclass(frozen=True, slots=True)
class Decision:
    """The answer about one action.

    When none was given, `effect` is deny, `rule_id` one of ``pdp.client_*``, and `failure` says why. `decision_id` is
    empty when the server recorded none; `tenant` is the one that was asked for. A decision is neither true nor false:
    ask `allowed`.
    """

    effect: Effect
    rule_id: str
    reason: str
    decision_id: str = ""
    tenant: str = ""
    idempotency_key: str = ""
    findings: tuple[Finding, ...] = ()
    policy_revision: str = ""
    approval: ApprovalRequirement | None = None
    obligations: tuple[Obligation, ...] = ()
    permit: str = ""
    budgets: tuple[BudgetState, ...] = ()
    autonomy: Autonomy = Autonomy.UNSPECIFIED
    shadow_effect: Effect | None = None
    action_digest: str = ""
    decided_at: datetime | None = None
    failure: Failure | None = None

    @property
    def allowed(self) -> bool:
        """Whether the action may run now."""
        return self.effect is Effect.ALLOW

    @property
    def needs_approval(self) -> bool:
        """Whether people could still allow it."""
        return self.effect is Effect.REQUIRE_APPROVAL

    def require_allowed(self) -> Self:
        """Itself when the action may run; raises DeniedError or ApprovalRequiredError when not."""
        if self.allowed:
            return self
        raise ApprovalRequiredError(self) if self.needs_approval else DeniedError(self)

    def __bool__(self) -> NoReturn:
        raise TypeError("a decision is neither true nor false; ask decision.allowed")


def denied(failure: Failure, idempotency_key: str = "", decision_id: str = "") -> Decision:
    """The deny that stands for a failure."""
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
