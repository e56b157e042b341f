"""What OPA answered, checked before it is believed. Hand-written: 4 us a decision, where pydantic needs 11."""

from __future__ import annotations

from typing import Any, Final

import orjson

from placet.core import rule_ids
from placet.core.limits import FINDING_DETAILS_BYTES_MAX, FINDINGS_MAX, REASON_CHARS_MAX, RULE_ID_CHARS_MAX
from placet.core.model import Effect, Finding, NoVerdict, Verdict

_EFFECTS: Final = {effect.value: effect for effect in Effect}
_DECISION_KEYS: Final = {"effect", "rule_id", "findings"}
_FINDING_KEYS: Final = {"effect", "rule_id", "reason", "details"}


class AnswerError(Exception):
    """The answer as a whole cannot be believed: `rule_id` is the `pdp.*` id, `cause` is for the log."""

    def __init__(self, rule_id: str, cause: str) -> None:
        self.rule_id = rule_id
        self.cause = cause
        super().__init__(f"{rule_id}: {cause}")


class _WrongShapeError(Exception):
    """One decision of the answer has the wrong shape."""


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
        return _read_decision(result[index], revision)
    except _WrongShapeError as error:
        return NoVerdict(rule_ids.ANSWER_INVALID, f"decision {index}: {error}")


def _read_decision(said: Any, revision: str) -> Verdict:  # noqa: ANN401 - whatever came
    if not isinstance(said, dict) or said.keys() != _DECISION_KEYS:
        raise _WrongShapeError("keys are not exactly effect, rule_id, findings")
    findings = said["findings"]
    if not isinstance(findings, list) or len(findings) > FINDINGS_MAX:
        raise _WrongShapeError(f"findings is not an array of at most {FINDINGS_MAX}")
    return Verdict(
        _effect(said["effect"]), _rule_id(said["rule_id"]), tuple(_finding(each) for each in findings), revision
    )


def _finding(said: Any) -> Finding:  # noqa: ANN401 - whatever came
    if not isinstance(said, dict) or said.keys() != _FINDING_KEYS:
        raise _WrongShapeError("a finding's keys are not exactly effect, rule_id, reason, details")
    reason, details = said["reason"], said["details"]
    if not isinstance(reason, str) or len(reason) > REASON_CHARS_MAX:
        raise _WrongShapeError("a finding's reason is not a text of bounded length")
    if not isinstance(details, dict):
        raise _WrongShapeError("a finding's details are not an object")
    if details and _size(details) > FINDING_DETAILS_BYTES_MAX:
        raise _WrongShapeError(f"a finding's details exceed {FINDING_DETAILS_BYTES_MAX} bytes")
    rule_id = _rule_id(said["rule_id"])
    if rule_id.startswith("pdp."):
        raise _WrongShapeError("a policy's rule may not name an id of Placet's own")
    return Finding(_effect(said["effect"]), rule_id, reason, details)


def _size(details: dict[str, Any]) -> int:
    try:
        return len(orjson.dumps(details))
    except orjson.JSONEncodeError as error:  # reads 1,024 levels of nesting, writes 254
        raise _WrongShapeError("a finding's details are nested too deeply to be recorded") from error


def _effect(said: Any) -> Effect:  # noqa: ANN401 - whatever came
    effect = _EFFECTS.get(said) if isinstance(said, str) else None
    if effect is None:
        raise _WrongShapeError("unknown effect")
    return effect


def _rule_id(said: Any) -> str:  # noqa: ANN401 - whatever came
    if not isinstance(said, str) or len(said) > RULE_ID_CHARS_MAX or not rule_ids.RULE_ID_PATTERN.match(said):
        raise _WrongShapeError("a rule_id is missing or malformed")
    return said
