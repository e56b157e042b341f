"""What a caller says about an action. Limits and meanings are those of ``proto/placet/v1/action.proto``."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence


@dataclass(frozen=True, slots=True)
class Amount:
    """Money that an action moves: integer minor units (4500 is 45.00 USD, and 4,500 JPY).

    `exponent`, when given, is the number of decimal places that the minor units were counted with; the server refuses
    one that is not the currency's own.
    """

    currency_code: str
    minor_units: int
    exponent: int | None = None


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


@dataclass(frozen=True, slots=True)
class Identity:
    """Who asks: the agent, for a user with roles, in a tenant; `delegation` from the originator on."""

    agent: str
    tenant: str
    user: str = ""
    roles: Sequence[str] = ()
    delegation: Sequence[str] = ()


@dataclass(frozen=True, slots=True)
class Run:
    """The agent task that the action belongs to. `trace_id` is filled from ``traceparent`` when empty."""

    run_id: str = ""
    trace_id: str = ""
    step: int = 0
    workflow: str = ""
    planner: str = ""


@dataclass(frozen=True, slots=True)
class Model:
    """The model that proposed the action. Cost in micros: 1,000,000 is 1 unit of the tenant's currency."""

    name: str = ""
    prompt_version: str = ""
    input_tokens: int = 0
    output_tokens: int = 0
    estimated_cost_micros: int = 0


@dataclass(frozen=True, slots=True)
class Evidence:
    """A citation or document that the action rests on; `sha256` is 64 lower-case hex digits, or empty."""

    uri: str
    sha256: str = ""


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
