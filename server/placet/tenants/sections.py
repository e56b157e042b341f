"""The parts of an `agent_policy` that say of tools what may be done with them, and who must agree."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Annotated, Any, ClassVar, Literal

from pydantic import Field, StrictBool, StrictInt, model_validator

from placet.actions.bindings import MAJOR, MINOR, Binding
from placet.kernel.diagnostics import DocumentDiagnostic, did_you_mean
from placet.kernel.limits import APPROVAL_TTL_SECONDS_DEFAULT, APPROVAL_TTL_SECONDS_MAX, EVIDENCE_MAX, QUORUM_MAX
from placet.kernel.model import ApprovalRequirement
from placet.kernel.money import scaled
from placet.tenants.fields import (
    MICROS_PLACES,
    Cost,
    CurrencyOrPointer,
    EnvironmentNames,
    Pointer,
    Pointers,
    Roles,
    Schema,
    Section,
    Tools,
    refuse,
)


def approval_words(value: object) -> object:
    """What the words `required` and `not_required` stand for."""
    words: Mapping[object, object] = {"required": {}, "not_required": None}
    if isinstance(value, Mapping | Approval):
        return value
    if isinstance(value, str) and value in words:
        return words[value]
    hint = f"; {did_you_mean(value, ('required', 'not_required'))}" if isinstance(value, str) else ""
    raise ValueError(f"should be required, not_required, or a mapping with quorum and approver_roles{hint}")


class Quorum(Section):
    """Who must agree: `quorum` distinct people, each with one of `approver_roles` (empty: any approver)."""

    quorum: Annotated[StrictInt, Field(ge=1, le=QUORUM_MAX)] = 1
    approver_roles: Roles = ()

    def requirement(self) -> ApprovalRequirement:
        """What a decision asks for."""
        return ApprovalRequirement(self.quorum, tuple(sorted(self.approver_roles)))


class Approval(Quorum):
    """Who must agree, within which time; with `distinct_roles` each by another of the roles (maker and checker)."""

    expires_after_seconds: Annotated[StrictInt, Field(ge=1, le=APPROVAL_TTL_SECONDS_MAX)] = APPROVAL_TTL_SECONDS_DEFAULT
    distinct_roles: StrictBool = False

    @model_validator(mode="after")
    def _enough_roles(self) -> Approval:
        if self.distinct_roles and self.quorum > len(self.approver_roles):
            what = f"{self.quorum} people of different roles must agree, of {len(self.approver_roles)} approver_roles"
            refuse([DocumentDiagnostic(("quorum",), what, "name as many roles, or lower the quorum")])
        return self


class PiiSection(Section):
    """Personal data. `redact`: values at sensitive paths and those that detectors find never reach record or log."""

    NOT_YET_ENFORCED: ClassVar[frozenset[str]] = frozenset({"log_retention_days"})
    redact: StrictBool = True


def _overlap(one: str, other: str) -> bool:
    """Whether two JSON pointers lead to the same value, or one into what the other leads to."""
    return f"{one}/".startswith(f"{other}/") or f"{other}/".startswith(f"{one}/")


class BindSection(Section):
    """Where in a tool's params the fields stand that an action declares beside them."""

    amount: Pointer | None = None
    currency: CurrencyOrPointer | None = None
    unit: Literal["major", "minor"] | None = None
    environment: Pointer | None = None
    destination: Pointer | None = None
    dry_run: Pointer | None = None

    @model_validator(mode="after")
    def _whole_amount(self) -> BindSection:
        if not self.model_fields_set:
            refuse([DocumentDiagnostic((), "binds nothing", "name at least one field, or leave bind out")])
        money = {"amount": self.amount, "currency": self.currency, "unit": self.unit}
        if any(money.values()):
            remedies = {
                "amount": "write the JSON pointer to the amount, such as /amount",
                "currency": "write a code such as USD, or the JSON pointer to it, such as /currency",
                "unit": f"write {MAJOR} when the params say 45.00, {MINOR} when they say 4500",
            }
            refuse(
                DocumentDiagnostic((key,), "is missing", remedies[key]) for key, value in money.items() if value is None
            )
        return self

    @model_validator(mode="after")
    def _places_apart(self) -> BindSection:
        """No value is an amount and a currency at once, so that no call could ever agree."""
        faults: list[DocumentDiagnostic] = []
        before: dict[str, str] = {}
        for name, pointer in self.as_data().items():
            if pointer.startswith("/"):
                other = next((key for key, said in before.items() if _overlap(said, pointer)), "")
                if other:
                    what = (
                        f"{pointer} is the place of {other}, or holds it or stands in it, so every call would be denied"
                    )
                    faults.append(DocumentDiagnostic((name,), what, "bind each field to the place of its own value"))
                before[name] = pointer
        refuse(faults)
        return self

    def binding(self) -> Binding:
        """What a decision compares."""
        return Binding(**self.as_data())

    def as_data(self) -> dict[str, Any]:
        """The keys that the file names."""
        return self.model_dump(exclude_none=True)


class ToolSpec(Section):
    """What is known of one tool: its params' JSON Schema, JSON pointers to sensitive values, the fee of one call.

    `bind` says where its params repeat what an action declares.
    """

    NOT_YET_ENFORCED: ClassVar[frozenset[str]] = frozenset({"class", "timeout_ms"})
    bind: BindSection | None = None
    params_schema: Schema = None
    sensitive: Pointers = ()
    cost: Cost | None = None

    @property
    def cost_micros(self) -> int:
        """The fee in micros, 0 for none."""
        return 0 if self.cost is None else scaled(self.cost, MICROS_PLACES)


class EvidenceRule(Section):
    """How many citations a call of the tool must rest on."""

    min_items: Annotated[StrictInt, Field(ge=1, le=EVIDENCE_MAX)]


class Environments(Section):
    """Where write tools may run."""

    write: EnvironmentNames


class DryRun(Section):
    """`required`: tools that may only be tried, not run. `waives_approval`: tools that need nobody for a dry run."""

    required: Tools = ()
    waives_approval: Tools = ()
