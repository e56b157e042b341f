"""Requests of agents: the proposed action, the identity, the run and the model.

Limits and meanings of the fields are those of ``proto/placet/v1/action.proto``. A constructor raises TypeError if a
value has another type than its field. The server checks all other rules.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

from placet.sdk._type_checks import require_each_type, require_type

if TYPE_CHECKING:
    from collections.abc import Sequence


@dataclass(frozen=True, slots=True)
class Amount:
    """Amount of money in minor units of its currency: 4500 is 45.00 USD, and 4,500 JPY."""

    currency_code: str
    """ISO 4217 code in upper case, such as ``USD``."""
    minor_units: int
    """0 to 2^53 - 1."""
    exponent: int | None = None
    """Decimal places of `minor_units`. If it is set, the server rejects a value that is not the currency's own."""

    def __post_init__(self) -> None:
        require_type(self, str, "currency_code")
        require_type(self, int, "minor_units", hint="minor units, such as 4500 for 45.00 USD")
        require_type(self, (int, type(None)), "exponent")


@dataclass(frozen=True, slots=True)
class Action:
    """A tool call that an agent proposes."""

    tool: str
    """Name of the tool, such as ``stripe.refund``. 1 to 128 characters of ``A-Z a-z 0-9 . _ : / -``."""
    params: Mapping[str, Any] | str = field(default_factory=dict)
    """Parameters of the call, exactly as it will run: a mapping with text keys, or the text of a JSON object."""
    amount: Amount | None = None
    """The money that the action moves."""
    scope: str = ""
    """Permission scope that the call uses, such as ``jira:write``."""
    environment: str = ""
    """Where the call runs, such as ``production``."""
    destination: str = ""
    """Host, queue, branch or address that the call reaches."""
    dry_run: bool = False
    """True if the call changes nothing."""
    tool_schema_version: str = ""
    """Version of the tool's schema that the parameters follow."""

    def __post_init__(self) -> None:
        require_type(self, str, "tool", "scope", "environment", "destination", "tool_schema_version")
        require_type(self, (Mapping, str), "params")
        require_type(self, (Amount, type(None)), "amount")
        require_type(self, bool, "dry_run")


@dataclass(frozen=True, slots=True)
class DelegationHop:
    """One hop of a delegation: who handed the work on, and with which tools."""

    principal: str = ""
    """The agent or person that delegated. May be empty if `token` names it."""
    scopes: Sequence[str] = ()
    """Tools that it handed on, as names with ``*`` and ``?``. May be empty if `token` has them."""
    token: str = field(default="", repr=False)
    """JWT that signs the hop. Empty for a hop that the caller asserts."""

    def __post_init__(self) -> None:
        require_type(self, str, "principal", "token")
        require_each_type(self, str, "scopes")


@dataclass(frozen=True, slots=True)
class Identity:
    """The agent that acts, the user on whose behalf, and the tenant."""

    agent: str
    """The agent that will run the call."""
    tenant: str
    """1 to 64 characters of ``a-z 0-9 _ -``; the first is a letter or digit."""
    user: str = ""
    """The person or service on whose behalf the agent acts."""
    roles: Sequence[str] = ()
    """Roles of the user."""
    delegation: Sequence[str] = ()
    """Agents or persons that delegated the work, from the originator to the one before `agent`."""
    delegation_chain: Sequence[DelegationHop] = ()
    """The same with the tools that each handed on. `delegation` may then be empty."""

    def __post_init__(self) -> None:
        require_type(self, str, "agent", "tenant", "user")
        require_each_type(self, str, "roles", "delegation")
        require_each_type(self, DelegationHop, "delegation_chain")


@dataclass(frozen=True, slots=True)
class Run:
    """The task of the agent that the action belongs to."""

    run_id: str = ""
    trace_id: str = ""
    """W3C trace id. If it is empty, the server takes it from ``traceparent``."""
    step: int = 0
    """Step of the plan, from 0."""
    workflow: str = ""
    """Kind of work, such as ``support_refunds``."""
    planner: str = ""
    """What planned the step, such as ``langgraph``."""

    def __post_init__(self) -> None:
        require_type(self, str, "run_id", "trace_id", "workflow", "planner")
        require_type(self, int, "step")


@dataclass(frozen=True, slots=True)
class Model:
    """The model that proposed the action."""

    name: str = ""
    prompt_version: str = ""
    input_tokens: int = 0
    """Tokens that the model read."""
    output_tokens: int = 0
    """Tokens that the model wrote."""
    estimated_cost_micros: int = 0
    """Estimated cost in micros: 1,000,000 is 1 unit of the tenant's currency."""

    def __post_init__(self) -> None:
        require_type(self, str, "name", "prompt_version")
        require_type(self, int, "input_tokens", "output_tokens", "estimated_cost_micros")


@dataclass(frozen=True, slots=True)
class Evidence:
    """A citation or retrieved document that supports the action."""

    uri: str
    sha256: str = ""
    """SHA-256 of the content, 64 lower-case hex digits."""

    def __post_init__(self) -> None:
        require_type(self, str, "uri", "sha256")


@dataclass(frozen=True, slots=True)
class Request:
    """One request of a batch: see `Client.authorize` for its fields."""

    action: Action
    identity: Identity
    run: Run | None = None
    model: Model | None = None
    evidence: Sequence[Evidence] = ()
    idempotency_key: str | None = None
    """None generates a new key."""
    approval_id: str = ""
    include_permit: bool = False
    """True to receive the permit of an allow."""

    def __post_init__(self) -> None:
        require_type(self, Action, "action")
        require_type(self, Identity, "identity")
        require_type(self, (Run, type(None)), "run")
        require_type(self, (Model, type(None)), "model")
        require_each_type(self, Evidence, "evidence")
        require_type(self, (str, type(None)), "idempotency_key")
        require_type(self, str, "approval_id")
        require_type(self, bool, "include_permit")
