"""The values of a decision, immutable. Transport validates them once; all other packages rely on that.

Times are integer microseconds since the Unix epoch, UTC (``*_us``). Digests are lower-case hex SHA-256.
"""

from __future__ import annotations

from collections.abc import Mapping  # noqa: TC003 - msgspec resolves annotations
from enum import StrEnum
from typing import Any, Final

from msgspec import Struct, field

from placet.kernel.limits import STEP_BYTES


class Effect(StrEnum):
    """The effect of a finding or a decision. Precedence: deny > require_approval > allow."""

    DENY = "deny"
    REQUIRE_APPROVAL = "require_approval"
    ALLOW = "allow"


class ToolClass(StrEnum):
    """Whether a tool changes anything, according to the tenant's agent_policy."""

    READ = "read"
    WRITE = "write"
    UNKNOWN = "unknown"


class Amount(Struct, frozen=True, gc=False):
    """Money that an action moves: integer minor units of an ISO 4217 currency."""

    currency_code: str
    minor_units: int


class Action(Struct, frozen=True, gc=False):
    """A proposed tool call."""

    tool: str
    params: bytes
    """RFC 8785 canonical JSON of the parameters object."""
    amount: Amount | None = None
    scope: str = ""
    environment: str = ""
    destination: str = ""
    dry_run: bool = False
    tool_schema_version: str = ""


class DelegationHop(Struct, frozen=True, gc=False):
    """One hop of a delegation."""

    principal: str
    """The agent or person that delegated."""
    scopes: tuple[str, ...]
    """Patterns of the tools that it handed on, sorted and distinct."""
    proven_by: str = ""
    """The issuer that signed the hop; empty for one that the caller asserts."""


class Identity(Struct, frozen=True, gc=False):
    """On whose behalf the action is proposed."""

    agent: str
    tenant: str
    user: str = ""
    roles: tuple[str, ...] = ()
    """Roles of the user, sorted and distinct."""
    delegation: tuple[str, ...] = ()
    """Agents and people that delegated the work to `agent`, the originator first."""
    delegation_chain: tuple[DelegationHop, ...] = ()
    """The same principals with what they handed on; empty when the caller named them alone."""


class Run(Struct, frozen=True, gc=False):
    """The agent task that the action belongs to."""

    run_id: str = ""
    trace_id: str = ""
    step: int = 0
    workflow: str = ""
    planner: str = ""


class Model(Struct, frozen=True, gc=False):
    """The model that proposed the action."""

    name: str = ""
    prompt_version: str = ""
    input_tokens: int = 0
    output_tokens: int = 0
    estimated_cost_micros: int = 0
    """In micros of the tenant's currency."""


class Evidence(Struct, frozen=True, gc=False):
    """A citation or document that supports the action."""

    uri: str
    sha256: str = ""


ASSERTED: Final = "asserted"
PROVEN: Final = "token"
"""How a user is known: the caller asserts it, or a user token proves it."""


class UserProof(Struct, frozen=True, gc=False):
    """How the user of a request is known, where callers are authenticated."""

    method: str
    """ASSERTED or PROVEN."""
    issuer: str = ""
    """The issuer of the user token; empty for an asserted user."""


class Proposal(Struct, frozen=True, gc=False):
    """One parsed and validated request."""

    idempotency_key: str
    action: Action
    identity: Identity
    run: Run
    model: Model
    evidence: tuple[Evidence, ...]
    document: bytes
    """Canonical JSON of the caller's request without the idempotency key: an object with the keys action, evidence,
    identity, model and run. Policy sees exactly these bytes."""
    action_digest: str
    """What an approval and a permit are bound to; see `placet.actions.document.action_binding`."""
    request_digest: str
    """Equal for requests that are the same under one idempotency key; see `placet.actions.document.CanonicalForms`."""
    approval_id: str = ""
    """The approval that the request presents; empty for none."""
    screened: bytes = b""
    """The parts of `document` that redaction screens; empty for all of it."""
    user_proof: UserProof | None = None
    """None without authentication, and for a request that names no user."""

    @property
    def is_large(self) -> bool:
        """Whether to process the request in steps."""
        return len(self.document) > STEP_BYTES


class Caller(Struct, frozen=True, gc=False):
    """The program that sent a request, as far as it is known."""

    name: str = "unauthenticated"
    """The same for each credential of one caller. Scopes idempotency keys."""
    peer: str = ""
    method: str = ""
    """How the caller proved who it is: ``jwt``, ``token`` or ``certificate``; empty without authentication."""
    issuer: str = ""
    """Who vouches for the caller: the issuer of a JWT, or the trust domain of a certificate; empty for a token."""
    is_program: bool = False
    """Whether the credential is a program's. False without authentication, where any caller may name a person."""
    person: str = ""
    """Id of the person whose credential it is, which can differ from `name`. Empty for a program, and if unknown."""
    owner: str = ""
    """The tenants whose admins can create the credential, such as ``acme/``; empty for all and for other credentials.

    Admins write the ids of the people of access tokens, so callers of one name but other owners are counted apart.
    """

    @property
    def counted_as(self) -> str:
        """The key of what is counted for an authenticated caller: one tenant's callers take nothing from another's."""
        return f"{self.owner} {self.name}"

    @property
    def acting(self) -> str:
        """The id under which the caller votes and decides: two credentials of one person have the same."""
        return self.person or self.name


UNAUTHENTICATED: Final = Caller()
"""The caller of a server that does not authenticate its callers."""


class Finding(Struct, frozen=True, gc=False):
    """One policy rule that fired."""

    effect: Effect
    rule_id: str
    reason: str
    details: Mapping[str, Any] = field(default_factory=dict)
    """JSON-shaped."""


class Obligation(Struct, frozen=True, gc=False):
    """Something that the caller must do when it acts on the decision."""

    id: str
    details: Mapping[str, Any] = field(default_factory=dict)


class Verdict(Struct, frozen=True, gc=False):
    """The result of one policy evaluation."""

    effect: Effect
    """The effect that the policy itself named."""
    rule_id: str
    """The rule id that the policy itself named."""
    findings: tuple[Finding, ...]
    policy_revision: str
    obligations: Mapping[Effect, tuple[Obligation, ...]] = field(default_factory=dict)
    """Obligations by the effect of the findings that name them."""


class Indeterminate(Struct, frozen=True, gc=False):
    """The engine could not evaluate the policy."""

    rule_id: str
    """A `pdp.*` rule id."""
    cause: str
    """Why, for the log only."""
    details: Mapping[str, Any] = field(default_factory=dict)
    """For the audit record: where in the policy it failed. Holds nothing that the caller sent."""
    slow: bool = False
    """Whether this input alone took longer than a batch may wait for it, while the engine answers others."""


class ApprovalRequirement(Struct, frozen=True, gc=False):
    """The approval that a decision requires."""

    quorum: int
    approver_roles: tuple[str, ...]
    """Roles that may approve; empty for any person who may approve in the tenant."""
    approval_id: str = ""
    """The stored request for the approval; empty before there is one."""
    expires_at_us: int = 0
    """When that request expires; 0 before there is one."""
    distinct_roles: bool = False
    """Whether each vote must come from a different role."""
    expires_after_seconds: int = 0
    """The shortest time that a rule named; 0 for none."""


class BudgetState(Struct, frozen=True, gc=False):
    """A budget's state after a decision, in the budget's `unit`."""

    id: str
    unit: str
    limit: int
    remaining: int
    reserved: int = 0
    """How much this decision reserved."""
    resets_at_us: int = 0
    """When the window ends; 0 for windows that no clock ends."""


class Decision(Struct, frozen=True, gc=False):
    """The effect and rule_id that the caller receives, with everything that led to them."""

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
    """The autonomy level that applied; empty when none was looked up."""
    shadow_effect: Effect | None = None
    """What the effect would have been without the autonomy level."""
    used_approval_id: str = ""
    """The approval that this allow consumed."""
