"""Obligations: what policy has the caller do when it acts on a decision.

The details of a finding may hold `obligations`: a list of objects such as ``{"id": "redact_output", "fields":
["email"]}``. Every key but `id` is a parameter. A decision has the obligations of the findings whose effect is its own.
"""

from __future__ import annotations

import re
from typing import TYPE_CHECKING, Any, Final

import orjson

from placet.kernel.limits import OBLIGATION_ID_CHARS_MAX, OBLIGATIONS_BYTES_MAX, OBLIGATIONS_MAX, PARAMS_DEPTH_MAX
from placet.kernel.model import Obligation
from placet.kernel.nesting import nests_at_most

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping, Sequence

    from placet.kernel.model import Effect, Finding

OBLIGATIONS: Final = "obligations"
"""The key of a finding's details that Placet reads."""
OBLIGATION_ID: Final = "id"
"""The key of an obligation that names it."""
ID_RULE: Final = f"lower-case letters, digits and _, a letter first, at most {OBLIGATION_ID_CHARS_MAX}"
_ID: Final = re.compile(rf"[a-z][a-z0-9_]{{0,{OBLIGATION_ID_CHARS_MAX - 1}}}\Z")


class InvalidObligationsError(Exception):
    """The obligations of a verdict cannot be delivered. `rules` name them; `why` quotes no value of a request."""

    def __init__(self, rules: Iterable[str], why: str) -> None:
        self.rules = tuple(rules)
        self.why = why
        super().__init__(f"{', '.join(self.rules)}: {why}")


def obligations_by_effect(findings: Sequence[Finding]) -> dict[Effect, tuple[Obligation, ...]]:
    """Return the obligations of the findings by effect, each once, sorted by id.

    Raises InvalidObligationsError when an obligation has no valid shape, or when an effect has more obligations than a
    decision can hold.
    """
    by_effect: dict[Effect, list[Finding]] = {}
    for finding in findings:
        if OBLIGATIONS in finding.details:
            by_effect.setdefault(finding.effect, []).append(finding)
    return {effect: _merged(group) for effect, group in by_effect.items()}


def parsed_obligations(value: object) -> tuple[Obligation, ...]:
    """Return the obligations that a JSON value lists. Raises ValueError that says where the value is wrong."""
    if not isinstance(value, list):
        raise ValueError("details.obligations must be a list of objects with an id")  # noqa: TRY004 - one kind of error
    return tuple(_parsed(item, index) for index, item in enumerate(value))


def distinct_obligations(obligations: Iterable[Obligation]) -> tuple[Obligation, ...]:
    """Return each obligation once, sorted by id. Raises ValueError when they are more than a decision can hold."""
    distinct = dict(sorted({(obligation.id, _json(obligation)): obligation for obligation in obligations}.items()))
    if len(distinct) > OBLIGATIONS_MAX:
        raise ValueError(f"a decision can have {OBLIGATIONS_MAX} obligations, details.obligations list {len(distinct)}")
    size = sum(len(text) + 1 for _, text in distinct) + 1
    if size > OBLIGATIONS_BYTES_MAX:
        raise ValueError(f"details.obligations can have {OBLIGATIONS_BYTES_MAX} bytes as JSON, and have {size}")
    return tuple(distinct.values())


def _merged(findings: Sequence[Finding]) -> tuple[Obligation, ...]:
    obligations: list[Obligation] = []
    for finding in findings:
        try:
            obligations += parsed_obligations(finding.details[OBLIGATIONS])
        except ValueError as error:
            raise InvalidObligationsError([finding.rule_id], str(error)) from error
    try:
        return distinct_obligations(obligations)
    except ValueError as error:
        raise InvalidObligationsError(sorted({finding.rule_id for finding in findings}), str(error)) from error


def _parsed(item: object, index: int) -> Obligation:
    place = f"details.obligations.{index}"
    if not isinstance(item, dict):
        raise ValueError(f"{place} must be an object with an id")  # noqa: TRY004 - one kind of error
    obligation_id = item.get(OBLIGATION_ID)
    if not isinstance(obligation_id, str) or not _ID.match(obligation_id):
        raise ValueError(f"{place}.{OBLIGATION_ID} must be a name: {ID_RULE}")
    if not nests_at_most(item, PARAMS_DEPTH_MAX):
        raise ValueError(f"{place} must have at most {PARAMS_DEPTH_MAX} levels of nesting")
    return Obligation(obligation_id, {key: value for key, value in item.items() if key != OBLIGATION_ID})


def _json(obligation: Obligation) -> bytes:
    document: Mapping[str, Any] = {OBLIGATION_ID: obligation.id, **obligation.details}
    return orjson.dumps(document, option=orjson.OPT_SORT_KEYS)
