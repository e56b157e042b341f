"""What pydantic found wrong with an `agent_policy`, in the words of the person who wrote the file."""

from __future__ import annotations

from collections.abc import Mapping
from decimal import Decimal
from typing import TYPE_CHECKING, Final

from placet.core.agent_policy import (
    FAULTS_ERROR,
    AgentPolicy,
    Approval,
    DryRun,
    Environments,
    EvidenceRule,
    Pii,
    Section,
    ToolSpec,
)
from placet.core.faults import Fault, Place, did_you_mean

if TYPE_CHECKING:
    from pydantic import ValidationError
    from pydantic_core import ErrorDetails

NOT_ENFORCED_YET: Final = "not enforced yet"
SHOWN_CHARS_MAX: Final = 40
_ANY: Final = "*"
_SECTIONS: Final[Mapping[tuple[str, ...], type[Section]]] = {
    (): AgentPolicy,
    ("approvals", _ANY): Approval,
    ("dry_run",): DryRun,
    ("environments",): Environments,
    ("evidence", _ANY): EvidenceRule,
    ("pii",): Pii,
    ("tools", _ANY): ToolSpec,
}
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


def agent_policy_faults(error: ValidationError) -> tuple[Fault, ...]:
    """List what is wrong, each with its path inside the agent_policy and how to mend it."""
    faults: list[Fault] = []
    for detail in error.errors(include_url=False):
        if detail["type"] == FAULTS_ERROR:
            faults.extend(detail["ctx"]["faults"])
        else:
            faults.append(_fault(detail))
    return tuple(faults)


def _fault(detail: ErrorDetails) -> Fault:
    kind = detail["type"]
    if kind == "extra_forbidden":
        return _unknown_key(detail["loc"])
    path = tuple(part for part in detail["loc"] if part != "[key]")
    if kind == "literal_error":
        expected = ("read_only", "read_write")
        return Fault(path, f"{_shown(detail['input'])} is not known", did_you_mean(str(detail["input"]), expected))
    if kind == "value_error":
        return Fault(path, str(detail["ctx"]["error"]))
    should = _SHOULD.get(kind) or detail["msg"].removeprefix("Input ").lower()
    return Fault(path, should if kind == "missing" else f"{should}, not {_shown(detail['input'])}")


def _unknown_key(path: Place) -> Fault:
    *parents, key = path
    section = _section(tuple(parents))
    if key in section.LATER:
        return Fault(path, NOT_ENFORCED_YET, "remove it: Placet takes no key that it does not enforce")
    return Fault(path, "unknown key", did_you_mean(str(key), section.model_fields))


def _section(path: Place) -> type[Section]:
    generic = (path[0], _ANY) if len(path) > 1 else path
    return next(section for place, section in _SECTIONS.items() if place == generic)


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
