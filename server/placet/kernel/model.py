"""The words of a decision as frozen values. Parsed once at the border, trusted inside.

Times are integer microseconds since the Unix epoch, UTC (``*_us``). Digests are lower-case hex SHA-256.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from enum import StrEnum
from typing import TYPE_CHECKING, Any, Final

from placet.kernel.limits import STEP_BYTES

if TYPE_CHECKING:
    from collections.abc import Mapping


class Effect(StrEnum):
    """What a finding asks for and a decision says. Precedence: deny > require_approval > allow."""

    DENY = "deny"
    REQUIRE_APPROVAL = "require_approval"
    ALLOW = "allow"


class ToolClass(StrEnum):
    """Whether a tool changes anything, by the tenant's agent_policy."""

    READ = "read"
    WRITE = "write"
    UNKNOWN = "unknown"


@dataclass(frozen=True, slots=True)
class Amount:
    """Money that an action moves: integer minor units of an ISO 4217 currency."""

    currency_code: str
    minor_units: int


@dataclass(frozen=True, slots=True)
class Action:
    """What is proposed. `params` is the RFC 8785 canonical JSON of the parameters object."""

    tool: str
    params: bytes
    amount: Amount | None = None
    scope: str = ""
    environment: str = ""
    destination: str = ""
    dry_run: bool = False
    tool_schema_version: str = ""


@dataclass(frozen=True, slots=True)
class Identity:
    """Who asks. `roles` are sorted and distinct."""

    agent: str
    tenant: str
    user: str = ""
    roles: tuple[str, ...] = ()
    delegation: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True)
class Run:
    """The agent task that the action belongs to."""

    run_id: str = ""
    trace_id: str = ""
    step: int = 0
    workflow: str = ""
    planner: str = ""


@dataclass(frozen=True, slots=True)
class Model:
    """The model that proposed the action. Cost in micros of the tenant's currency."""

    name: str = ""
    prompt_version: str = ""
    input_tokens: int = 0
    output_tokens: int = 0
    estimated_cost_micros: int = 0


@dataclass(frozen=True, slots=True)
class Evidence:
    """A citation or document that the action rests on."""

    uri: str
    sha256: str = ""


@dataclass(frozen=True, slots=True)
class Proposal:
    """One parsed request.

    `document` is the canonical JSON of what the caller said, without the idempotency key: an object with the keys
    action, evidence, identity, model, run. Policy sees exactly these bytes. `request_digest` says whether a request
    under the same key is the same one.
    """

    idempotency_key: str
    action: Action
    identity: Identity
    run: Run
    model: Model
    evidence: tuple[Evidence, ...]
    document: bytes
    action_digest: str
    request_digest: str
    approval_id: str = ""

    @property
    def is_large(self) -> bool:
        """Whether work on it is to be done in steps."""
        return len(self.document) > STEP_BYTES


@dataclass(frozen=True, slots=True)
class Caller:
    """Who sent a request, as far as it is known. `name` scopes idempotency keys."""

    name: str = "unauthenticated"
    peer: str = ""


UNAUTHENTICATED: Final = Caller()
"""Whoever it was."""


@dataclass(frozen=True, slots=True)
class Finding:
    """One policy rule that fired. `details` is JSON-shaped."""

    effect: Effect
    rule_id: str
    reason: str
    details: Mapping[str, Any] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class Obligation:
    """Something the caller must do when it acts on the decision."""

    id: str
    details: Mapping[str, Any] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class Verdict:
    """All findings of one evaluation, with the effect and rule_id that the policy itself named, and its revision."""

    effect: Effect
    rule_id: str
    findings: tuple[Finding, ...]
    policy_revision: str
    obligations: Mapping[Effect, tuple[Obligation, ...]] = field(default_factory=dict)
    """Obligations by the effect of the findings that name them."""


@dataclass(frozen=True, slots=True)
class Indeterminate:
    """The engine could not evaluate: a `pdp.*` rule id and, for the log only, why.

    `details` are for the record: where in the policy it happened, and nothing that the caller sent.
    """

    rule_id: str
    cause: str
    details: Mapping[str, Any] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class ApprovalRequirement:
    """What approval is asked for. Empty roles: any person who may approve in the tenant.

    `distinct_roles`: each vote by another role. `expires_after_seconds` is the shortest time that a rule named, 0 for
    none. Once a request for it is kept, `approval_id` names that, and `expires_at_us` is when it ends.
    """

    quorum: int
    approver_roles: tuple[str, ...]
    approval_id: str = ""
    expires_at_us: int = 0
    distinct_roles: bool = False
    expires_after_seconds: int = 0


@dataclass(frozen=True, slots=True)
class BudgetState:
    """What is left of a budget after a decision, and what that reserved, in the budget's `unit`.

    `resets_at_us` is 0 for windows that no clock ends.
    """

    id: str
    unit: str
    limit: int
    remaining: int
    reserved: int = 0
    resets_at_us: int = 0


@dataclass(frozen=True, slots=True)
class Decision:
    """The one effect and rule_id told to the caller, with all that led to it.

    `autonomy` is the level that applied, "" where there was none to look up. `shadow_effect` is what the effect would
    have been without it. `used_approval_id` is the approval that this allow used up.
    """

    decision_id: str
    effect: Effect
    rule_id: str
    reason: str
    findings: tuple[Finding, ...]
    policy_revision: str
    action_digest: str
    received_at_us: int
    decided_at_us: int
    approval: ApprovalRequirement | None = None
    obligations: tuple[Obligation, ...] = ()
    budgets: tuple[BudgetState, ...] = ()
    autonomy: str = ""
    shadow_effect: Effect | None = None
    used_approval_id: str = ""
