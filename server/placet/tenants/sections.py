"""The sections of a tenant's file about tools and approvals."""

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
    """Replace the words `required` and `not_required` by the values that they mean.

    Raises ValueError for any other value that is not a mapping.
    """
    words: Mapping[object, object] = {"required": {}, "not_required": None}
    if isinstance(value, Mapping | Approval):
        return value
    if isinstance(value, str) and value in words:
        return words[value]
    hint = f"; {did_you_mean(value, ('required', 'not_required'))}" if isinstance(value, str) else ""
    raise ValueError(f"should be required, not_required, or a mapping with quorum and approver_roles{hint}")


class Quorum(Section):
    """Who must approve: `quorum` different people, each with one of `approver_roles` (empty: any approver)."""

    quorum: Annotated[StrictInt, Field(ge=1, le=QUORUM_MAX)] = 1
    approver_roles: Roles = ()

    def requirement(self) -> ApprovalRequirement:
        """Return the requirement of a decision."""
        return ApprovalRequirement(self.quorum, tuple(sorted(self.approver_roles)))


class Approval(Quorum):
    """Who must approve, and in what time. With `distinct_roles` each vote comes from another role (maker-checker)."""

    expires_after_seconds: Annotated[StrictInt, Field(ge=1, le=APPROVAL_TTL_SECONDS_MAX)] = APPROVAL_TTL_SECONDS_DEFAULT
    distinct_roles: StrictBool = False

    @model_validator(mode="after")
    def _enough_roles(self) -> Approval:
        if self.distinct_roles and self.quorum > len(self.approver_roles):
            roles = len(self.approver_roles)
            what = f"{self.quorum} people of different roles must approve, but there are {roles} approver_roles"
            refuse([DocumentDiagnostic(("quorum",), what, "name as many roles, or lower the quorum")])
        return self


def approval_data(approval: Approval | None) -> dict[str, Any]:
    """Return an entry of `approvals` as policy reads it. None, the word not_required, requires no approval."""
    values = approval or Approval()
    return {
        "required": approval is not None,
        "quorum": values.quorum,
        "approver_roles": sorted(values.approver_roles),
        "distinct_roles": values.distinct_roles,
        "expires_after_seconds": values.expires_after_seconds,
    }


class PiiSection(Section):
    """The handling of personal data."""

    NOT_YET_ENFORCED: ClassVar[frozenset[str]] = frozenset({"log_retention_days"})
    redact: StrictBool = True
    """Whether sensitive values, by pointer or by detector, are redacted before they are recorded or logged."""


def _overlap(one: str, other: str) -> bool:
    """Return whether two JSON pointers are equal, or one points into the value of the other."""
    return f"{one}/".startswith(f"{other}/") or f"{other}/".startswith(f"{one}/")


class BindSection(Section):
    """JSON pointers to the params of a tool that must equal the fields that an action declares."""

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
        """Refuse pointers that overlap: one value cannot be two fields, so every call would be denied."""
        diagnostics: list[DocumentDiagnostic] = []
        earlier: dict[str, str] = {}
        for name, pointer in self.as_data().items():
            if pointer.startswith("/"):
                other = next((key for key, value in earlier.items() if _overlap(value, pointer)), "")
                if other:
                    what = f"{pointer} overlaps with the pointer of {other}, so every call would be denied"
                    diagnostics.append(DocumentDiagnostic((name,), what, "bind each field to its own value"))
                earlier[name] = pointer
        refuse(diagnostics)
        return self

    def binding(self) -> Binding:
        """Return the section as a value."""
        return Binding(**self.as_data())

    def as_data(self) -> dict[str, Any]:
        """Return the keys that the file sets."""
        return self.model_dump(exclude_none=True)


class ToolSpec(Section):
    """The settings of one tool."""

    NOT_YET_ENFORCED: ClassVar[frozenset[str]] = frozenset({"class", "timeout_ms"})
    bind: BindSection | None = None
    """The params that must equal the fields that an action declares."""
    params_schema: Schema = None
    """The JSON Schema of the params."""
    sensitive: Pointers = ()
    """JSON pointers to sensitive values in the params."""
    cost: Cost | None = None
    """The fee of one call, in units of the tenant's currency."""

    @property
    def cost_micros(self) -> int:
        """The fee of one call in micros; 0 for none."""
        return 0 if self.cost is None else scaled(self.cost, MICROS_PLACES)


class EvidenceRule(Section):
    """How many citations a call of the tool needs."""

    min_items: Annotated[StrictInt, Field(ge=1, le=EVIDENCE_MAX)]


class Environments(Section):
    """Where write tools may run."""

    write: EnvironmentNames


class DryRun(Section):
    """The rules for dry runs."""

    required: Tools = ()
    """Tools that may only be called as a dry run."""
    waives_approval: Tools = ()
    """Tools whose dry runs need no approval."""
