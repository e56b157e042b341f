"""Turns the errors of pydantic about a tenant's file into diagnostics for the person who wrote the file."""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from decimal import Decimal
from typing import TYPE_CHECKING, Any, Final

from pydantic import ValidationError

from placet.kernel.diagnostics import DocumentDiagnostic, Place, did_you_mean
from placet.tenants.agent_sections import AgentSection, DelegationSection
from placet.tenants.budget_sections import BudgetEntry, BudgetMatch, SpendLimits
from placet.tenants.control_sections import (
    AutonomySection,
    BreakerSection,
    GiveBacksSection,
    LimitsSection,
    RuleSection,
    WorkflowLimits,
)
from placet.tenants.fields import DIAGNOSTICS_ERROR, Section
from placet.tenants.policy import TenantPolicy
from placet.tenants.sections import (
    Approval,
    BindSection,
    DryRun,
    Environments,
    EvidenceRule,
    PiiSection,
    Quorum,
    ToolSpec,
)

if TYPE_CHECKING:
    from pydantic_core import ErrorDetails

NOT_ENFORCED_YET: Final = "not enforced yet"
SHOWN_CHARS_MAX: Final = 40
ANY: Final = "*"
"""In the path of a section: matches any key or index."""
SECTIONS: Final[Mapping[tuple[str, ...], type[Section]]] = {
    (): TenantPolicy,
    ("agents", ANY): AgentSection,
    ("approvals", ANY): Approval,
    ("autonomy",): AutonomySection,
    ("autonomy", "approval"): Quorum,
    ("autonomy", "rules", ANY): RuleSection,
    ("budgets", ANY): BudgetEntry,
    ("budgets", ANY, "approval"): Quorum,
    ("budgets", ANY, "match"): BudgetMatch,
    ("delegation",): DelegationSection,
    ("dry_run",): DryRun,
    ("environments",): Environments,
    ("evidence", ANY): EvidenceRule,
    ("limits",): LimitsSection,
    ("limits", "breaker"): BreakerSection,
    ("limits", "give_backs"): GiveBacksSection,
    ("limits", "workflows", ANY): WorkflowLimits,
    ("pii",): PiiSection,
    ("spend_limits",): SpendLimits,
    ("tools", ANY): ToolSpec,
    ("tools", ANY, "bind"): BindSection,
}
"""Path -> the section at that path."""
REFERRED_TO: Final = frozenset({"allowed_tools", "write_tools", "approver_groups", "currency"})
"""Keys that other keys are checked against. While one of them is invalid, those checks are not made."""
_WORDS: Final = re.compile(r"'([^']*)'")
_SHOULD: Final = {
    "bool_type": "should be true or false",
    "dict_type": "should be a mapping",
    "int_type": "should be a whole number",
    "mapping_type": "should be a mapping",
    "missing": "is missing",
    "model_type": "should be a mapping",
    "string_type": "should be text",
    "tuple_type": "should be a list",
}


def document_diagnostics(error: ValidationError) -> tuple[DocumentDiagnostic, ...]:
    """Return what is wrong, each with its path inside the agent_policy and with a remedy."""
    diagnostics: list[DocumentDiagnostic] = []
    for detail in error.errors(include_url=False):
        if detail["type"] == DIAGNOSTICS_ERROR:
            prefix = detail["loc"]
            diagnostics.extend(
                DocumentDiagnostic((*prefix, *inner.path), inner.what, inner.remedy)
                for inner in detail["ctx"]["diagnostics"]
            )
        else:
            diagnostics.append(_diagnostic(detail))
    return tuple(diagnostics)


def hidden_diagnostics(
    document: Mapping[str, Any], diagnostics: Sequence[DocumentDiagnostic]
) -> tuple[DocumentDiagnostic, ...]:
    """Return contradictions in the rest of the document.

    `diagnostics` are those of single values. Pydantic does not run the checks between keys while a value is invalid, so
    this validates the document without the invalid entries.
    """
    keys = {str(diagnostic.path[0]) if diagnostic.path else "" for diagnostic in diagnostics}
    known = TenantPolicy.model_fields.keys() | TenantPolicy.NOT_YET_ENFORCED
    if keys & REFERRED_TO or not keys <= document.keys() & known:
        return ()
    rest = dict(document)
    for diagnostic in diagnostics:
        _leave_out(rest, diagnostic.path)
    try:
        TenantPolicy.model_validate(rest)
    except ValidationError as error:
        return tuple(diagnostic for diagnostic in document_diagnostics(error) if diagnostic not in diagnostics)
    return ()


def _leave_out(rest: dict[str, Any], path: Place) -> None:
    """Remove the invalid entry. A list is removed as a whole, because its items are found by index."""
    key, *below = path
    section = rest.pop(str(key), None)
    if below and isinstance(section, Mapping):
        rest[str(key)] = {name: value for name, value in section.items() if name != below[0]}


def _diagnostic(detail: ErrorDetails) -> DocumentDiagnostic:
    kind = detail["type"]
    if kind == "extra_forbidden":
        return _unknown_key(detail["loc"])
    path = tuple(part for part in detail["loc"] if part != "[key]")
    if kind in {"enum", "literal_error"}:
        expected = _WORDS.findall(detail["ctx"]["expected"])
        given = detail["input"]
        if not isinstance(given, str):
            return DocumentDiagnostic(path, f"should be a word, not {_shown(given)}", did_you_mean("", expected))
        return DocumentDiagnostic(path, f"{_shown(given)} is not known", did_you_mean(given, expected))
    if kind == "value_error":
        return DocumentDiagnostic(path, str(detail["ctx"]["error"]))
    should = _SHOULD.get(kind) or detail["msg"].removeprefix("Input ").lower()
    return DocumentDiagnostic(path, should if kind == "missing" else f"{should}, not {_shown(detail['input'])}")


def _unknown_key(path: Place) -> DocumentDiagnostic:
    *parents, key = path
    section = _section(tuple(parents))
    if key in section.NOT_YET_ENFORCED:
        return DocumentDiagnostic(path, NOT_ENFORCED_YET, "remove it: Placet accepts only keys that it enforces")
    return DocumentDiagnostic(path, "unknown key", did_you_mean(str(key), section.model_fields))


def _section(path: Place) -> type[Section]:
    return next(
        section
        for section_path, section in SECTIONS.items()
        if len(section_path) == len(path)
        and all(expected in {ANY, part} for expected, part in zip(section_path, path, strict=True))
    )


def _shown(value: object) -> str:
    """Return a short description of a value, for an error text."""
    if value is None:
        return "nothing"
    if isinstance(value, bool):
        return str(value).lower()
    if isinstance(value, int | Decimal | float):
        return f"the number {value}"
    if isinstance(value, Mapping):
        return "a mapping"
    if isinstance(value, list | tuple):
        return "a list"
    text = str(value)
    return f'"{text[:SHOWN_CHARS_MAX]}"' + ("..." if len(text) > SHOWN_CHARS_MAX else "")
