"""One tenant's `agent_policy`: which tools its agents may use, and on what conditions.

Validated whole, unknown keys refused, and every key that is taken is enforced: those that Placet will enforce later are
refused as "not enforced yet". Numbers are integers or `decimal.Decimal`, never floats.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator, Mapping
from decimal import Decimal
from typing import Annotated, Any, ClassVar, Final, Literal

from pydantic import (
    AfterValidator,
    BaseModel,
    BeforeValidator,
    ConfigDict,
    Field,
    PrivateAttr,
    StrictBool,
    StrictInt,
    StrictStr,
    model_validator,
)
from pydantic_core import PydanticCustomError

from placet.core.budgets import Budget
from placet.core.faults import Fault, did_you_mean
from placet.core.limits import (
    DESTINATION_BYTES_MAX,
    EVIDENCE_MAX,
    LABEL_BYTES_MAX,
    QUORUM_MAX,
    SHORT_LABEL_BYTES_MAX,
    TENANT_CHARS_MAX,
    TOOL_CHARS_MAX,
)
from placet.core.model import ToolClass
from placet.core.params_schema import schema_faults

TENANT_PATTERN: Final = re.compile(rf"[a-z0-9][a-z0-9_-]{{0,{TENANT_CHARS_MAX - 1}}}")
"""A tenant id, matched whole."""
RESERVED_TOOL_PREFIX: Final = "placet."
"""Tools of Placet itself, the canary for one; no tenant has them."""
FAULTS_ERROR: Final = "agent_policy_faults"
"""The pydantic error type whose context holds `faults`, each with its own place."""


def _text_of(max_bytes: int) -> AfterValidator:
    def check(value: str) -> str:
        if not value or len(value.encode()) > max_bytes:
            raise ValueError(f"should be text of 1 to {max_bytes} bytes")
        return value

    return AfterValidator(check)


def _tool_name(value: str) -> str:
    if not re.fullmatch(rf"[A-Za-z0-9._:/-]{{1,{TOOL_CHARS_MAX}}}", value):
        raise ValueError(f"should be a tool's name: 1 to {TOOL_CHARS_MAX} characters of A-Z a-z 0-9 . _ : / -")
    if value.startswith(RESERVED_TOOL_PREFIX):
        raise ValueError(f"tools whose name begins with {RESERVED_TOOL_PREFIX!r} are Placet's own")
    return value


def _distinct(values: tuple[str, ...]) -> tuple[str, ...]:
    twice = next((v for i, v in enumerate(values) if v in values[:i]), None)
    if twice is not None:
        raise ValueError(f"{twice} stands there twice")
    return values


def _not_empty(values: tuple[str, ...]) -> tuple[str, ...]:
    if not values:
        raise ValueError("should name at least one; leave the key out when there is no restriction")
    return values


def _pointer(value: str) -> str:
    if not re.fullmatch(r"(/([^/~]|~[01])*)+", value):
        raise ValueError('should be a JSON pointer into params, such as "/customer/email" or "/items/*/iban"')
    return value


def _approval(value: object) -> object:
    words: Mapping[object, object] = {"required": {}, "not_required": None}
    if isinstance(value, Mapping | Approval):
        return value
    if isinstance(value, str) and value in words:
        return words[value]
    hint = f"; {did_you_mean(value, ('required', 'not_required'))}" if isinstance(value, str) else ""
    raise ValueError(f"should be required, not_required, or a mapping with quorum and approver_roles{hint}")


def _exact(value: object) -> object:
    """Refuse values that JSON data of policy cannot hold exactly."""
    if isinstance(value, Mapping):
        return {key: _exact(item) for key, item in value.items()}
    if isinstance(value, list):
        return [_exact(item) for item in value]
    if value is None or isinstance(value, str | bool | int | Decimal):
        return value
    raise ValueError(
        f"{type(value).__name__} is not taken; use whole numbers, decimals, text, true, false, lists, maps"
    )


def _schema(value: object) -> object:
    if not isinstance(value, Mapping):
        raise ValueError("should be a JSON Schema, which is a mapping")  # noqa: TRY004 # pydantic takes ValueError alone
    return _exact(value)


ToolName = Annotated[StrictStr, AfterValidator(_tool_name)]
Tools = Annotated[tuple[ToolName, ...], AfterValidator(_distinct)]
Roles = Annotated[tuple[Annotated[StrictStr, _text_of(LABEL_BYTES_MAX)], ...], AfterValidator(_distinct)]
Environs = Annotated[
    tuple[Annotated[StrictStr, _text_of(SHORT_LABEL_BYTES_MAX)], ...],
    AfterValidator(_distinct),
    AfterValidator(_not_empty),
]
Globs = Annotated[
    tuple[Annotated[StrictStr, _text_of(DESTINATION_BYTES_MAX)], ...],
    AfterValidator(_distinct),
    AfterValidator(_not_empty),
]
Pointers = Annotated[tuple[Annotated[StrictStr, AfterValidator(_pointer)], ...], AfterValidator(_distinct)]
Data = Annotated[Any, AfterValidator(_exact)]
Schema = Annotated[Any, AfterValidator(_schema)]


class Section(BaseModel):
    """A part of the file. `LATER` names keys that are known but not enforced yet."""

    model_config = ConfigDict(frozen=True, extra="forbid", hide_input_in_errors=True)
    LATER: ClassVar[frozenset[str]] = frozenset()


class Approval(Section):
    """Who must agree: `quorum` distinct people, each with one of `approver_roles` (empty: any approver)."""

    LATER: ClassVar[frozenset[str]] = frozenset(
        {"expiry", "expires_after", "expires_after_seconds", "ttl", "ttl_seconds"}
    )
    quorum: Annotated[StrictInt, Field(ge=1, le=QUORUM_MAX)] = 1
    approver_roles: Roles = ()


class Pii(Section):
    """Personal data. `redact`: values at sensitive paths and those that detectors find never reach record or log."""

    LATER: ClassVar[frozenset[str]] = frozenset({"log_retention_days"})
    redact: StrictBool = True


class ToolSpec(Section):
    """What is known of one tool's params: their JSON Schema, and JSON pointers to sensitive values."""

    LATER: ClassVar[frozenset[str]] = frozenset({"class", "cost", "cost_micros", "timeout_ms"})
    params_schema: Schema = None
    sensitive: Pointers = ()


class EvidenceRule(Section):
    """How many citations a call of the tool must rest on."""

    min_items: Annotated[StrictInt, Field(ge=1, le=EVIDENCE_MAX)]


class Environments(Section):
    """Where write tools may run."""

    write: Environs


class DryRun(Section):
    """`required`: tools that may only be tried, not run. `waives_approval`: tools that need nobody for a dry run."""

    required: Tools = ()
    waives_approval: Tools = ()


class AgentPolicy(Section):
    """The agent_policy of one tenant. Immutable."""

    LATER: ClassVar[frozenset[str]] = frozenset({"autonomy", "budgets", "limits", "spend_limits"})

    default_mode: Literal["read_only", "read_write"] = "read_only"
    allowed_tools: Tools = ()
    write_tools: Tools = ()
    approvals: Mapping[ToolName, Annotated[Approval | None, BeforeValidator(_approval)]] = Field(default_factory=dict)
    pii: Pii = Field(default_factory=Pii)
    tools: Mapping[ToolName, ToolSpec] = Field(default_factory=dict)
    destinations: Mapping[ToolName, Globs] = Field(default_factory=dict)
    evidence: Mapping[ToolName, EvidenceRule] = Field(default_factory=dict)
    environments: Environments | None = None
    dry_run: DryRun = Field(default_factory=DryRun)
    packs: Mapping[StrictStr, Mapping[StrictStr, Data]] = Field(default_factory=dict)

    _classes: dict[str, ToolClass] = PrivateAttr(default_factory=dict)

    @model_validator(mode="after")
    def _consistent(self) -> AgentPolicy:
        faults = tuple(_cross_faults(self))
        if faults:
            summary = "; ".join(f"{fault.place}: {fault.what}" for fault in faults)
            raise PydanticCustomError(FAULTS_ERROR, "{summary}", {"summary": summary, "faults": faults})
        self._classes.update(dict.fromkeys(self.allowed_tools, ToolClass.READ))
        self._classes.update(dict.fromkeys(self.write_tools, ToolClass.WRITE))
        return self

    def tool_class(self, tool: str) -> ToolClass:
        """Whether the tenant's agents may read or write with the tool; UNKNOWN when it is in neither list."""
        return self._classes.get(tool, ToolClass.UNKNOWN)

    @property
    def redact(self) -> bool:
        """Whether sensitive values are kept out of records and logs."""
        return self.pii.redact

    def sensitive(self, tool: str) -> tuple[str, ...]:
        """JSON pointers into the tool's params; ``*`` stands for any member or index."""
        spec = self.tools.get(tool)
        return spec.sensitive if spec else ()

    @property
    def all_budgets(self) -> tuple[Budget, ...]:
        """Every budget, in the order of their ids; those that `spend_limits` stands for too."""
        return ()

    def tool_cost_micros(self, tool: str) -> int:
        """The fee of one call of the tool, in micros of the tenant's currency; 0 when the file names none."""
        return 0

    def as_data(self) -> dict[str, Any]:
        """The document that policy reads at ``data.tenants[tenant]``: every key present, lists sorted."""
        return {
            "default_mode": self.default_mode,
            "allowed_tools": sorted(self.allowed_tools),
            "write_tools": sorted(self.write_tools),
            "approvals": {tool: _approval_data(approval) for tool, approval in self.approvals.items()},
            "pii": {"redact": self.pii.redact},
            "tools": {tool: _tool_data(spec) for tool, spec in self.tools.items()},
            "destinations": {tool: sorted(patterns) for tool, patterns in self.destinations.items()},
            "evidence": {tool: {"min_items": rule.min_items} for tool, rule in self.evidence.items()},
            "environments": {"write": sorted(self.environments.write)} if self.environments else {},
            "dry_run": {
                "required": sorted(self.dry_run.required),
                "waives_approval": sorted(self.dry_run.waives_approval),
            },
            "packs": {pack: dict(values) for pack, values in self.packs.items()},
        }


def _tool_data(spec: ToolSpec) -> dict[str, Any]:
    """With `sensitive`, which no rule needs: what is kept is part of what a revision means."""
    schema = {} if spec.params_schema is None else {"params_schema": spec.params_schema}
    return {**schema, "sensitive": sorted(spec.sensitive)}


def _approval_data(approval: Approval | None) -> dict[str, Any]:
    shown = approval or Approval()
    return {
        "required": approval is not None,
        "quorum": shown.quorum,
        "approver_roles": sorted(shown.approver_roles),
    }


def _cross_faults(policy: AgentPolicy) -> Iterator[Fault]:
    known = {*policy.allowed_tools, *policy.write_tools}
    for index, tool in enumerate(policy.write_tools):
        if tool in policy.allowed_tools:
            what = f"{tool} is in allowed_tools (read) as well as in write_tools"
            yield Fault(("write_tools", index), what, "keep it in one of the two")
    named: Mapping[tuple[str, ...], Iterable[str]] = {
        ("approvals",): policy.approvals,
        ("tools",): policy.tools,
        ("destinations",): policy.destinations,
        ("evidence",): policy.evidence,
        ("dry_run", "required"): policy.dry_run.required,
        ("dry_run", "waives_approval"): policy.dry_run.waives_approval,
    }
    for path, tools in named.items():
        for index, tool in enumerate(tools):
            if tool not in known:
                what = f"{tool} is in neither allowed_tools nor write_tools"
                yield Fault((*path, index if path[0] == "dry_run" else tool), what, did_you_mean(tool, known))
    for tool, spec in policy.tools.items():
        if spec.params_schema is not None:
            yield from schema_faults(spec.params_schema, ("tools", tool, "params_schema"))
