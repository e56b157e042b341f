"""What a caller says about an action. Limits and meanings are those of ``proto/placet/v1/action.proto``.

TypeError for a value of another type, where it is given.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

from placet.sdk._type_checks import require, require_each

if TYPE_CHECKING:
    from collections.abc import Sequence


@dataclass(frozen=True, slots=True)
class Amount:
    """Money that an action moves: integer minor units (4500 is 45.00 USD, and 4,500 JPY).

    `exponent`, when given, is the number of decimal places that the minor units were counted with; the server refuses
    one that is not the currency's own.
    """

    currency_code: str
    minor_units: int
    exponent: int | None = None

    def __post_init__(self) -> None:
        require(self, str, "currency_code")
        require(self, int, "minor_units", hint="minor units, such as 4500 for 45.00 USD")
        require(self, (int, type(None)), "exponent")


@dataclass(frozen=True, slots=True)
class Action:
    """One proposed tool call.

    `params` is the JSON object that will be run: a mapping with text keys, or its JSON text as the model wrote it.
    """

    tool: str
    params: Mapping[str, Any] | str = field(default_factory=dict)
    amount: Amount | None = None
    scope: str = ""
    environment: str = ""
    destination: str = ""
    dry_run: bool = False
    tool_schema_version: str = ""

    def __post_init__(self) -> None:
        require(self, str, "tool", "scope", "environment", "destination", "tool_schema_version")
        require(self, (Mapping, str), "params")
        require(self, (Amount, type(None)), "amount")
        require(self, bool, "dry_run")


@dataclass(frozen=True, slots=True)
class Identity:
    """Who asks: the agent, for a user with roles, in a tenant; `delegation` from the originator on."""

    agent: str
    tenant: str
    user: str = ""
    roles: Sequence[str] = ()
    delegation: Sequence[str] = ()

    def __post_init__(self) -> None:
        require(self, str, "agent", "tenant", "user")
        require_each(self, str, "roles", "delegation")


@dataclass(frozen=True, slots=True)
class Run:
    """The agent task that the action belongs to. `trace_id` is filled from ``traceparent`` when empty."""

    run_id: str = ""
    trace_id: str = ""
    step: int = 0
    workflow: str = ""
    planner: str = ""

    def __post_init__(self) -> None:
        require(self, str, "run_id", "trace_id", "workflow", "planner")
        require(self, int, "step")


@dataclass(frozen=True, slots=True)
class Model:
    """The model that proposed the action. Cost in micros: 1,000,000 is 1 unit of the tenant's currency."""

    name: str = ""
    prompt_version: str = ""
    input_tokens: int = 0
    output_tokens: int = 0
    estimated_cost_micros: int = 0

    def __post_init__(self) -> None:
        require(self, str, "name", "prompt_version")
        require(self, int, "input_tokens", "output_tokens", "estimated_cost_micros")


@dataclass(frozen=True, slots=True)
class Evidence:
    """A citation or document that the action rests on; `sha256` is 64 lower-case hex digits, or empty."""

    uri: str
    sha256: str = ""

    def __post_init__(self) -> None:
        require(self, str, "uri", "sha256")


@dataclass(frozen=True, slots=True)
class Request:
    """One element of a batch. `idempotency_key` None: a fresh one is made."""

    action: Action
    identity: Identity
    run: Run | None = None
    model: Model | None = None
    evidence: Sequence[Evidence] = ()
    idempotency_key: str | None = None
    approval_id: str = ""

    def __post_init__(self) -> None:
        require(self, Action, "action")
        require(self, Identity, "identity")
        require(self, (Run, type(None)), "run")
        require(self, (Model, type(None)), "model")
        require_each(self, Evidence, "evidence")
        require(self, (str, type(None)), "idempotency_key")
        require(self, str, "approval_id")
