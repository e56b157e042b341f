"""What pydantic found wrong with an `agent_policy`, in the words of the person who wrote the file."""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from decimal import Decimal
from typing import TYPE_CHECKING, Any, Final

from pydantic import ValidationError

from placet.kernel.diagnostics import DocumentDiagnostic, Place, did_you_mean
from placet.tenants.agent_policy import AgentPolicy
from placet.tenants.budget_sections import BudgetEntry, BudgetMatch, SpendLimits
from placet.tenants.control_sections import AutonomySection, BreakerSection, LimitsSection, RuleSection, WorkflowLimits
from placet.tenants.fields import FAULTS_ERROR, Section
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
"""In the path of a section: any key, or any index."""
SECTIONS: Final[Mapping[tuple[str, ...], type[Section]]] = {
    (): AgentPolicy,
    ("approvals", ANY): Approval,
    ("autonomy",): AutonomySection,
    ("autonomy", "approval"): Quorum,
    ("autonomy", "rules", ANY): RuleSection,
    ("budgets", ANY): BudgetEntry,
    ("budgets", ANY, "approval"): Quorum,
    ("budgets", ANY, "match"): BudgetMatch,
    ("dry_run",): DryRun,
    ("environments",): Environments,
    ("evidence", ANY): EvidenceRule,
    ("limits",): LimitsSection,
    ("limits", "breaker"): BreakerSection,
    ("limits", "workflows", ANY): WorkflowLimits,
    ("pii",): PiiSection,
    ("spend_limits",): SpendLimits,
    ("tools", ANY): ToolSpec,
    ("tools", ANY, "bind"): BindSection,
}
"""Where which section stands."""
REFERRED_TO: Final = frozenset({"allowed_tools", "write_tools", "approver_groups", "currency"})
"""Keys that others are checked against: while one of them is wrong, those checks say nothing."""
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


def agent_policy_faults(error: ValidationError) -> tuple[DocumentDiagnostic, ...]:
    """List what is wrong, each with its path inside the agent_policy and how to mend it."""
    faults: list[DocumentDiagnostic] = []
    for detail in error.errors(include_url=False):
        if detail["type"] == FAULTS_ERROR:
            outside = detail["loc"]
            faults.extend(DocumentDiagnostic((*outside, *f.path), f.what, f.remedy) for f in detail["ctx"]["faults"])
        else:
            faults.append(_fault(detail))
    return tuple(faults)


def faults_beside(said: Mapping[str, Any], faults: Sequence[DocumentDiagnostic]) -> tuple[DocumentDiagnostic, ...]:
    """What does not fit together in the rest, where `faults` are of single values, which hide it: looked at alone."""
    keys = {str(fault.path[0]) if fault.path else "" for fault in faults}
    if keys & REFERRED_TO or not keys <= said.keys() & (AgentPolicy.model_fields.keys() | AgentPolicy.NOT_YET_ENFORCED):
        return ()
    rest = dict(said)
    for fault in faults:
        _leave_out(rest, fault.path)
    try:
        AgentPolicy.model_validate(rest)
    except ValidationError as error:
        return tuple(fault for fault in agent_policy_faults(error) if fault not in faults)
    return ()


def _leave_out(rest: dict[str, Any], path: Place) -> None:
    """Take out the entry that is wrong; a list as a whole, since places in it are told by number."""
    key, *below = path
    section = rest.pop(str(key), None)
    if below and isinstance(section, Mapping):
        rest[str(key)] = {name: value for name, value in section.items() if name != below[0]}


def _fault(detail: ErrorDetails) -> DocumentDiagnostic:
    kind = detail["type"]
    if kind == "extra_forbidden":
        return _unknown_key(detail["loc"])
    path = tuple(part for part in detail["loc"] if part != "[key]")
    if kind in {"enum", "literal_error"}:
        expected = _WORDS.findall(detail["ctx"]["expected"])
        return DocumentDiagnostic(
            path, f"{_shown(detail['input'])} is not known", did_you_mean(str(detail["input"]), expected)
        )
    if kind == "value_error":
        return DocumentDiagnostic(path, str(detail["ctx"]["error"]))
    should = _SHOULD.get(kind) or detail["msg"].removeprefix("Input ").lower()
    return DocumentDiagnostic(path, should if kind == "missing" else f"{should}, not {_shown(detail['input'])}")


def _unknown_key(path: Place) -> DocumentDiagnostic:
    *parents, key = path
    section = _section(tuple(parents))
    if key in section.NOT_YET_ENFORCED:
        return DocumentDiagnostic(path, NOT_ENFORCED_YET, "remove it: Placet takes no key that it does not enforce")
    return DocumentDiagnostic(path, "unknown key", did_you_mean(str(key), section.model_fields))


def _section(path: Place) -> type[Section]:
    return next(
        section
        for place, section in SECTIONS.items()
        if len(place) == len(path) and all(part in {ANY, said} for part, said in zip(place, path, strict=True))
    )


def _shown(value: object) -> str:
    """Describe a value briefly."""
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
