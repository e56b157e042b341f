"""The field types of a tenant's file (names, lists, numbers), and `Section`, the base class of its sections."""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping
from decimal import Decimal
from typing import TYPE_CHECKING, Annotated, Any, ClassVar, Final

from pydantic import AfterValidator, BaseModel, ConfigDict, Field, PlainValidator, StrictInt, StrictStr
from pydantic_core import PydanticCustomError

from placet.kernel.limits import (
    APPROVER_GROUP_MAX,
    DESTINATION_BYTES_MAX,
    GLOB_STARS_MAX,
    LABEL_BYTES_MAX,
    PRINCIPAL_BYTES_MAX,
    SAFE_INTEGER_MAX,
    SHORT_LABEL_BYTES_MAX,
    TOOL_CHARS_MAX,
)
from placet.kernel.money import EXPONENTS, scaled
from placet.matching.globs import glob_error
from placet.matching.names import name_error, same_name
from placet.matching.separated_globs import wildcards
from placet.privacy.value_walk import ANY_MEMBER

if TYPE_CHECKING:
    from placet.kernel.diagnostics import DocumentDiagnostic

RESERVED_TOOL_PREFIX: Final = "placet."
"""Prefix of Placet's own tools, such as the canary. Tenants cannot use them."""
MICROS_PLACES: Final = 6
"""Decimal places of a cost in micros."""
PER_MILLE_PLACES: Final = 3
"""Decimal places of a share in thousandths."""
DIAGNOSTICS_ERROR: Final = "agent_policy_diagnostics"
"""The pydantic error type whose context holds `diagnostics` with their paths."""


def text_of(max_bytes: int) -> AfterValidator:
    """Return a validator for texts of 1 to `max_bytes` bytes."""

    def check(value: str) -> str:
        if not value or len(value.encode()) > max_bytes:
            raise ValueError(f"should be text of 1 to {max_bytes} bytes")
        return value

    return AfterValidator(check)


def _name(value: str) -> str:
    if error := name_error(value):
        raise ValueError(error)
    return value


def _tool_name(value: str) -> str:
    if not re.fullmatch(rf"[A-Za-z0-9._:/-]{{1,{TOOL_CHARS_MAX}}}", value):
        raise ValueError(f"should be a tool's name: 1 to {TOOL_CHARS_MAX} characters of A-Z a-z 0-9 . _ : / -")
    if value.startswith(RESERVED_TOOL_PREFIX):
        raise ValueError(f"tools whose names begin with {RESERVED_TOOL_PREFIX!r} are reserved for Placet")
    return value


def distinct(values: tuple[str, ...]) -> tuple[str, ...]:
    """Return the values. Raises ValueError when one is listed twice."""
    repeated = next((value for index, value in enumerate(values) if value in values[:index]), None)
    if repeated is not None:
        raise ValueError(f"{repeated} is listed twice")
    return values


def _distinct_names(values: tuple[str, ...]) -> tuple[str, ...]:
    repeated = next(
        (name for index, name in enumerate(values) if any(same_name(name, earlier) for earlier in values[:index])), None
    )
    if repeated is not None:
        raise ValueError(f"{repeated} is listed twice; names that differ only in spelling or case are the same")
    return values


def _not_empty(values: tuple[str, ...]) -> tuple[str, ...]:
    if not values:
        raise ValueError("should name at least one; leave the key out when there is no restriction")
    return values


def at_least_one(values: tuple[str, ...]) -> tuple[str, ...]:
    """Return the values. Raises ValueError when there are none."""
    if not values:
        raise ValueError("should name at least one")
    return values


def _pointer(value: str) -> str:
    if not re.fullmatch(r"(/([^/~]|~[01])*)+", value):
        raise ValueError('should be a JSON pointer into params, such as "/customer/email" or "/items/*/iban"')
    return value


def _plain_pointer(value: str) -> str:
    if ANY_MEMBER in value.split("/"):
        raise ValueError("should point to one value; * is not allowed here")
    return _pointer(value)


def _tool_glob(value: str) -> str:
    if not re.fullmatch(rf"[A-Za-z0-9._:/*?-]{{1,{TOOL_CHARS_MAX}}}", value):
        raise ValueError("should be a tool's name, in which * matches any text and ? one character")
    if error := glob_error(value):
        raise ValueError(error)
    return value


def _destination(value: str) -> str:
    stars = wildcards(value)
    if stars > GLOB_STARS_MAX:
        raise ValueError(f"has {stars} * and **; at most {GLOB_STARS_MAX} are accepted")
    return value


def _currency(value: str) -> str:
    if value not in EXPONENTS:
        raise ValueError(f"{value} is not an ISO 4217 currency; write a code such as USD")
    return value


def _currency_or_pointer(value: str) -> str:
    return _plain_pointer(value) if value.startswith("/") else _currency(value)


def _positive(value: object) -> Decimal:
    if isinstance(value, bool) or not isinstance(value, int | Decimal):
        raise ValueError("should be a number, such as 2.00")  # noqa: TRY004 # pydantic handles only ValueError
    number = Decimal(value)
    if not number.is_finite() or number <= 0:
        raise ValueError("should be above 0")
    return number


def _cost(value: Decimal) -> Decimal:
    scaled(value, MICROS_PLACES)
    return value


def _share(value: Decimal) -> Decimal:
    if value > 1:
        raise ValueError("should be a share of 1, such as 0.8")
    scaled(value, PER_MILLE_PLACES)
    return value


_EXACT: Final = frozenset({str, bool, int, Decimal})


def _exact(value: object) -> object:
    """Return the value. Raises ValueError when the JSON data of policy cannot hold it exactly."""
    if type(value) in _EXACT:  # most values are texts
        return value
    if isinstance(value, Mapping):
        return {key: _exact(item) for key, item in value.items()}
    if isinstance(value, list):
        return [_exact(item) for item in value]
    if value is None or isinstance(value, str | bool | int | Decimal):
        return value
    raise ValueError(
        f"{type(value).__name__} is not allowed; use whole numbers, decimals, text, true, false, lists, maps"
    )


def _schema(value: object) -> object:
    if not isinstance(value, Mapping):
        raise ValueError("should be a JSON Schema, which is a mapping")  # noqa: TRY004 # pydantic handles only ValueError
    return _exact(value)


ToolName = Annotated[StrictStr, AfterValidator(_tool_name)]
Tools = Annotated[tuple[ToolName, ...], AfterValidator(distinct)]
Label = Annotated[StrictStr, text_of(LABEL_BYTES_MAX), AfterValidator(_name)]
"""A role or workflow."""
Principal = Annotated[StrictStr, text_of(PRINCIPAL_BYTES_MAX), AfterValidator(_name)]
"""A person or agent."""
Roles = Annotated[tuple[Label, ...], AfterValidator(distinct), AfterValidator(_distinct_names)]
EnvironmentNames = Annotated[
    tuple[Annotated[StrictStr, text_of(SHORT_LABEL_BYTES_MAX)], ...],
    AfterValidator(distinct),
    AfterValidator(_not_empty),
]
DestinationGlobs = Annotated[
    tuple[Annotated[StrictStr, text_of(DESTINATION_BYTES_MAX), AfterValidator(_destination)], ...],
    AfterValidator(distinct),
    AfterValidator(_not_empty),
]
Pointers = Annotated[tuple[Annotated[StrictStr, AfterValidator(_pointer)], ...], AfterValidator(distinct)]
JsonValue = Annotated[Any, AfterValidator(_exact)]
Schema = Annotated[Any, AfterValidator(_schema)]


Workflows = Annotated[
    tuple[Label, ...],
    AfterValidator(distinct),
    AfterValidator(_not_empty),
]
Persons = Annotated[
    tuple[Principal, ...],
    Field(max_length=APPROVER_GROUP_MAX),
    AfterValidator(distinct),
    AfterValidator(at_least_one),
]
ToolGlob = Annotated[StrictStr, AfterValidator(_tool_glob)]
ToolGlobs = Annotated[tuple[ToolGlob, ...], AfterValidator(distinct), AfterValidator(_not_empty)]
Pointer = Annotated[StrictStr, AfterValidator(_plain_pointer)]
Currency = Annotated[StrictStr, AfterValidator(_currency)]
CurrencyOrPointer = Annotated[StrictStr, AfterValidator(_currency_or_pointer)]
"""A currency code, or a JSON pointer to one in the params."""
Positive = Annotated[Decimal, PlainValidator(_positive)]
"""A whole number or decimal above 0, exactly as written."""
Cost = Annotated[Positive, AfterValidator(_cost)]
"""A cost above 0 in units of its currency, with at most 6 decimal places (micros)."""
Share = Annotated[Positive, AfterValidator(_share)]
"""A number above 0 and at most 1, with at most 3 decimal places (thousandths)."""
Count = Annotated[StrictInt, Field(ge=1, le=SAFE_INTEGER_MAX)]


class Section(BaseModel):
    """The base class of the sections of a tenant's file."""

    model_config = ConfigDict(frozen=True, extra="forbid", hide_input_in_errors=True)
    NOT_YET_ENFORCED: ClassVar[frozenset[str]] = frozenset()
    """Known keys that are refused, because Placet does not enforce them yet."""


def refuse(diagnostics: Iterable[DocumentDiagnostic]) -> None:
    """Raise the diagnostics of a section, if any. For model validators; the paths start at the section."""
    errors = tuple(diagnostics)
    if errors:
        summary = "; ".join(f"{error.place}: {error.what}" for error in errors)
        raise PydanticCustomError(DIAGNOSTICS_ERROR, "{summary}", {"summary": summary, "diagnostics": errors})
