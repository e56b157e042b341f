"""What OPA answered, checked before it is believed: about 4 us a decision, as much as the same written by hand."""

from __future__ import annotations

from typing import Annotated, Any, Final, Literal

import orjson
from pydantic import BaseModel, ConfigDict, Field, TypeAdapter, ValidationError

from placet.core import rule_ids
from placet.core.limits import FINDING_DETAILS_BYTES_MAX, FINDINGS_MAX, REASON_CHARS_MAX, RULE_ID_CHARS_MAX
from placet.core.model import Effect, Finding, NoVerdict, Verdict

_EFFECTS: Final = {effect.value: effect for effect in Effect}
_RULE_ID: Final = "^" + rule_ids.RULE_ID_PATTERN.pattern.replace(r"\Z", "$")  # in pydantic's dialect `$` is the end
_Effect = Literal["deny", "require_approval", "allow"]
_RuleId = Annotated[str, Field(max_length=RULE_ID_CHARS_MAX, pattern=_RULE_ID)]


class _Exact(BaseModel):
    """Just these keys, just these types: nothing is converted."""

    model_config = ConfigDict(strict=True, extra="forbid")


class _FindingShape(_Exact):
    effect: _Effect
    rule_id: _RuleId
    reason: Annotated[str, Field(max_length=REASON_CHARS_MAX)]
    details: dict[str, Any]


class _DecisionShape(_Exact):
    effect: _Effect
    rule_id: _RuleId
    findings: Annotated[list[_FindingShape], Field(max_length=FINDINGS_MAX)]


_DECISION: Final = TypeAdapter(_DecisionShape)


class AnswerError(Exception):
    """The answer as a whole cannot be believed: `rule_id` is the `pdp.*` id, `cause` is for the log."""

    def __init__(self, rule_id: str, cause: str) -> None:
        self.rule_id = rule_id
        self.cause = cause
        super().__init__(f"{rule_id}: {cause}")


def read_answer(status: int, body: bytes, asked: int, expected_revision: str) -> list[Verdict | NoVerdict]:
    """One verdict for each of the `asked` inputs. AnswerError when the answer as a whole cannot be believed.

    An empty `expected_revision` takes any revision that is named.
    """
    answer = _object(status, body)
    revision = _revision(answer)
    if expected_revision and revision != expected_revision:
        raise AnswerError(rule_ids.ANSWER_INVALID, f"revision {revision!r}, expected {expected_revision!r}")
    if "result" not in answer:
        raise AnswerError(rule_ids.UNDEFINED, "no result: data.placet.main.decisions is undefined")
    result = answer["result"]
    if not isinstance(result, dict) or not result.keys() <= {str(index) for index in range(asked)}:
        raise AnswerError(rule_ids.ANSWER_INVALID, "result is not an object of the inputs asked about")
    return [_verdict(result, str(index), revision) for index in range(asked)]


def _object(status: int, body: bytes) -> dict[str, Any]:
    try:
        answer = orjson.loads(body)
    except orjson.JSONDecodeError as error:
        rule_id = rule_ids.ANSWER_INVALID if status == 200 else rule_ids.ENGINE_ERROR  # noqa: PLR2004 - HTTP OK
        raise AnswerError(rule_id, f"status {status}, body is not JSON: {error}") from error
    if status != 200:  # noqa: PLR2004 - HTTP OK
        raise AnswerError(rule_ids.ENGINE_ERROR, f"status {status}: {body[:2_000].decode(errors='replace')}")
    if not isinstance(answer, dict):
        raise AnswerError(rule_ids.ANSWER_INVALID, "body is not an object")
    return answer


def _revision(answer: dict[str, Any]) -> str:
    """The revision of the one bundle."""
    provenance = answer.get("provenance")
    bundles = provenance.get("bundles") if isinstance(provenance, dict) else None
    if not isinstance(bundles, dict) or len(bundles) != 1:
        raise AnswerError(rule_ids.ANSWER_INVALID, "provenance does not name exactly one bundle")
    bundle = next(iter(bundles.values()))
    revision = bundle.get("revision") if isinstance(bundle, dict) else None
    if not isinstance(revision, str) or not revision:
        raise AnswerError(rule_ids.ANSWER_INVALID, "the bundle has no revision")
    return revision


def _verdict(result: dict[str, Any], index: str, revision: str) -> Verdict | NoVerdict:
    if index not in result:
        return NoVerdict(rule_ids.UNDEFINED, f"decision {index} is undefined")
    try:
        said = _DECISION.validate_python(result[index])
    except ValidationError as error:
        first = error.errors(include_url=False, include_input=False)[0]
        return NoVerdict(rule_ids.ANSWER_INVALID, f"decision {index}: {first['loc']}: {first['msg']}")
    for finding in said.findings:
        if rule_ids.is_placets_own(finding.rule_id):
            return NoVerdict(rule_ids.ANSWER_INVALID, f"decision {index}: a rule names an id of Placet's own")
        if finding.details and _unrecordable(finding.details):
            what = f"decision {index}: a finding's details exceed {FINDING_DETAILS_BYTES_MAX} bytes, or are too deep"
            return NoVerdict(rule_ids.ANSWER_INVALID, what)
    findings = tuple(Finding(_EFFECTS[each.effect], each.rule_id, each.reason, each.details) for each in said.findings)
    return Verdict(_EFFECTS[said.effect], said.rule_id, findings, revision)


def _unrecordable(details: dict[str, Any]) -> bool:
    try:
        return len(orjson.dumps(details)) > FINDING_DETAILS_BYTES_MAX
    except orjson.JSONEncodeError:  # it reads deeper than it writes
        return True
