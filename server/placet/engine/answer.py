"""Validate the answers of OPA. Costs about 4 us a decision, as much as hand-written checks."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING, Annotated, Any, Final, Literal

import orjson
from pydantic import BaseModel, ConfigDict, Field, TypeAdapter, ValidationError

from placet.decision.finding_bounds import bounded_details
from placet.decision.obligations import OBLIGATIONS, InvalidObligationsError, obligations_by_effect
from placet.kernel import rule_ids
from placet.kernel.limits import REASON_CHARS_MAX, RULE_ID_CHARS_MAX
from placet.kernel.model import Effect, Finding, Indeterminate, Verdict
from placet.policy.rego.rule_locations import RuleLocations

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from pydantic_core import ErrorDetails

_EFFECTS: Final = {effect.value: effect for effect in Effect}
_RULE_ID: Final = "^" + rule_ids.RULE_ID_PATTERN.pattern.replace(r"\Z", "$")  # in pydantic's dialect `$` is the end
_Effect = Literal["deny", "require_approval", "allow"]
_RuleId = Annotated[str, Field(max_length=RULE_ID_CHARS_MAX, pattern=_RULE_ID)]


class _Exact(BaseModel):
    """Exactly these keys and types: pydantic converts nothing."""

    model_config = ConfigDict(strict=True, extra="forbid")


class _FindingShape(_Exact):
    effect: _Effect
    rule_id: _RuleId
    reason: Annotated[str, Field(max_length=REASON_CHARS_MAX)]
    details: dict[str, Any]


class _DecisionShape(_Exact):
    effect: _Effect
    rule_id: _RuleId
    findings: list[_FindingShape]


_DECISION: Final = TypeAdapter(_DecisionShape)
_WORD: Final = re.compile(r"[a-z_]{1,64}")
_BUILTIN: Final = re.compile(r"([a-z][a-z0-9_.]{0,63}): ")
NO_PLACES: Final = RuleLocations({})
"""No rule has a known place."""


class AnswerError(Exception):
    """The answer as a whole is invalid."""

    def __init__(self, rule_id: str, cause: str, details: Mapping[str, Any] | None = None) -> None:
        """`rule_id` is the `pdp.*` id of the deny, `cause` goes to the log, `details` to the audit record."""
        self.rule_id = rule_id
        self.cause = cause
        self.details = details or {}
        super().__init__(f"{rule_id}: {cause}")

    def indeterminate(self) -> Indeterminate:
        """Return the result of each input of the failed query."""
        return Indeterminate(self.rule_id, self.cause, self.details)


def read_answer(
    status: int, body: bytes, input_count: int, expected_revision: str, places: RuleLocations = NO_PLACES
) -> list[Verdict | Indeterminate]:
    """Return one verdict for each of the `input_count` inputs of the query.

    An empty `expected_revision` accepts any revision. `places` maps the rules to file and line. Raises AnswerError when
    the answer as a whole is invalid.
    """
    answer = _object(status, body, places)
    revision = _revision(answer)
    if expected_revision and revision != expected_revision:
        raise AnswerError(rule_ids.ANSWER_INVALID, f"revision {revision!r}, expected {expected_revision!r}")
    if "result" not in answer:
        raise AnswerError(rule_ids.UNDEFINED, "no result: data.placet.main.decisions is undefined")
    result = answer["result"]
    if not isinstance(result, dict) or not result.keys() <= {str(index) for index in range(input_count)}:
        raise AnswerError(rule_ids.ANSWER_INVALID, "result is not an object with the indexes of the inputs")
    return [_verdict(result, str(index), revision, places) for index in range(input_count)]


def _object(status: int, body: bytes, places: RuleLocations) -> dict[str, Any]:
    try:
        answer = orjson.loads(body)
    except orjson.JSONDecodeError as error:
        rule_id = rule_ids.ANSWER_INVALID if status == 200 else rule_ids.ENGINE_ERROR  # noqa: PLR2004 - HTTP OK
        raise AnswerError(rule_id, f"status {status}, body is not JSON: {error}") from error
    if status != 200:  # noqa: PLR2004 - HTTP OK
        cause = f"status {status}: {body[:2_000].decode(errors='replace')}"
        raise AnswerError(rule_ids.ENGINE_ERROR, cause, _error_details(answer, places))
    if not isinstance(answer, dict):
        raise AnswerError(rule_ids.ANSWER_INVALID, "body is not an object")
    return answer


def _error_details(answer: object, places: RuleLocations) -> dict[str, Any]:
    """Return where evaluation failed: code, builtin, file, line, rule. Omits OPA's message, which quotes the caller."""
    errors = answer.get("errors") if isinstance(answer, dict) else None
    first = errors[0] if isinstance(errors, list) and errors and isinstance(errors[0], dict) else {}
    details: dict[str, Any] = {}
    if isinstance(first.get("code"), str) and _WORD.fullmatch(first["code"]):
        details["code"] = first["code"]
    builtin = _BUILTIN.match(str(first.get("message", "")))
    if builtin is not None and details.get("code") == "eval_builtin_error":
        details["builtin"] = builtin.group(1)
    location = first.get("location")
    if isinstance(location, dict) and isinstance(location.get("file"), str) and type(location.get("row")) is int:
        details |= places.rule_at(location["file"], location["row"])
    return details


def _revision(answer: dict[str, Any]) -> str:
    """Return the revision of the only bundle."""
    provenance = answer.get("provenance")
    bundles = provenance.get("bundles") if isinstance(provenance, dict) else None
    if not isinstance(bundles, dict) or len(bundles) != 1:
        raise AnswerError(rule_ids.ANSWER_INVALID, "provenance does not name exactly one bundle")
    bundle = next(iter(bundles.values()))
    revision = bundle.get("revision") if isinstance(bundle, dict) else None
    if not isinstance(revision, str) or not revision:
        raise AnswerError(rule_ids.ANSWER_INVALID, "the bundle has no revision")
    return revision


def _verdict(result: dict[str, Any], index: str, revision: str, places: RuleLocations) -> Verdict | Indeterminate:
    if index not in result:
        return Indeterminate(rule_ids.UNDEFINED, f"decision {index} is undefined")
    try:
        decision = _DECISION.validate_python(result[index])
    except ValidationError as error:
        first = error.errors(include_url=False, include_input=False)[0]
        cause = f"decision {index}: {first['loc']}: {first['msg']}"
        return Indeterminate(rule_ids.ANSWER_INVALID, cause, _shape_details(result[index], first, places))
    for finding in decision.findings:
        if rule_ids.is_reserved(finding.rule_id):
            why = "a rule uses an id that is reserved for Placet"
            return Indeterminate(
                rule_ids.ANSWER_INVALID, f"decision {index}: {why}", {"why": why, "rules": [finding.rule_id]}
            )
    try:
        obligations = obligations_by_effect(_unbounded(decision.findings))
    except InvalidObligationsError as error:
        return Indeterminate(
            rule_ids.ANSWER_INVALID,
            f"decision {index}: {error}",
            {"why": error.why, "rules": list(error.rules), **_where(error.rules, places)},
        )
    findings = tuple(
        Finding(_EFFECTS[finding.effect], finding.rule_id, finding.reason, bounded_details(finding.details))
        for finding in decision.findings
    )
    return Verdict(_EFFECTS[decision.effect], decision.rule_id, findings, revision, obligations)


def _unbounded(findings: Sequence[_FindingShape]) -> list[Finding]:
    """Return the findings with obligations and all their details: `bounded_details` may cut obligations."""
    return [
        Finding(_EFFECTS[finding.effect], finding.rule_id, finding.reason, finding.details)
        for finding in findings
        if OBLIGATIONS in finding.details
    ]


def _where(rules: Sequence[str], places: RuleLocations) -> dict[str, Any]:
    """Return the known places of the rules as ``{"where": {rule_id: place}}``; empty when none is known."""
    where = {rule: places.location_of(rule) for rule in rules if places.location_of(rule)}
    return {"where": where} if where else {}


def _shape_details(decision: object, error: ErrorDetails, places: RuleLocations) -> dict[str, Any]:
    """Return what is wrong with the shape, and the rule with its place when they are known."""
    place = error["loc"]
    details: dict[str, Any] = {"why": f"{'.'.join(str(part) for part in place[:3])}: {error['msg']}"}
    if isinstance(decision, dict) and place[:1] == ("findings",) and len(place) > 1 and isinstance(place[1], int):
        finding = decision["findings"][place[1]]
        rule_id = finding.get("rule_id") if isinstance(finding, dict) else None
        if isinstance(rule_id, str) and places.location_of(rule_id):
            details |= {"rules": [rule_id], "where": {rule_id: places.location_of(rule_id)}}
    return details
