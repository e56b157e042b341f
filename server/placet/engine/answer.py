"""Validate the answers of OPA as a whole; `placet.engine.verdicts` decodes the part of each input."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING, Any, Final

import msgspec
import orjson

from placet.engine.verdicts import NO_PLACES, read_verdict
from placet.kernel import rule_ids
from placet.kernel.model import Indeterminate, Verdict

if TYPE_CHECKING:
    from collections.abc import Mapping

    from placet.policy.rego.rule_locations import RuleLocations

_HTTP_OK: Final = 200
_WORD: Final = re.compile(r"[a-z_]{1,64}")
_BUILTIN: Final = re.compile(r"([a-z][a-z0-9_.]{0,63}): ")


class _Answer(msgspec.Struct):
    """The keys of an answer that are read. OPA may add others."""

    provenance: Any = None
    result: msgspec.Raw | msgspec.UnsetType = msgspec.UNSET


_ANSWER: Final = msgspec.json.Decoder(_Answer)
_RESULT: Final = msgspec.json.Decoder(dict[str, msgspec.Raw])


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


class AnotherRevisionError(AnswerError):
    """OPA answered, but by another revision than the expected one. Its verdicts must not be used."""

    def __init__(self, revision: str, expected: str) -> None:
        self.revision = revision
        super().__init__(rule_ids.ANSWER_INVALID, f"revision {revision!r}, expected {expected!r}")


def read_answer(
    status: int, body: bytes, input_count: int, expected_revision: str, places: RuleLocations = NO_PLACES
) -> list[Verdict | Indeterminate]:
    """Return one verdict for each of the `input_count` inputs of the query.

    An empty `expected_revision` accepts any revision. `places` maps the rules to file and line. Raises AnswerError when
    the answer as a whole is invalid, AnotherRevisionError when its revision is not the expected one.
    """
    if status != _HTTP_OK:
        raise _engine_error(status, body, places)
    try:
        answer = _ANSWER.decode(body)
    except (msgspec.DecodeError, RecursionError) as error:
        raise AnswerError(rule_ids.ANSWER_INVALID, f"status {status}, body is not an answer: {error}") from error
    revision = _revision(answer.provenance)
    if expected_revision and revision != expected_revision:
        raise AnotherRevisionError(revision, expected_revision)
    if answer.result is msgspec.UNSET:
        raise AnswerError(rule_ids.UNDEFINED, "no result: data.placet.main.decisions is undefined")
    result = _result(answer.result)
    indexes = [str(index) for index in range(input_count)]
    if not result.keys() <= set(indexes):
        raise AnswerError(rule_ids.ANSWER_INVALID, "result is not an object with the indexes of the inputs")
    return [_verdict(result, index, revision, places) for index in indexes]


def _result(raw: msgspec.Raw) -> dict[str, msgspec.Raw]:
    try:
        return _RESULT.decode(raw)
    except (msgspec.DecodeError, RecursionError) as error:
        raise AnswerError(rule_ids.ANSWER_INVALID, f"result is not an object: {error}") from error


def _verdict(
    result: Mapping[str, msgspec.Raw], index: str, revision: str, places: RuleLocations
) -> Verdict | Indeterminate:
    if index not in result:
        return Indeterminate(rule_ids.UNDEFINED, f"decision {index} is undefined")
    return read_verdict(bytes(result[index]), index, revision, places)


def _engine_error(status: int, body: bytes, places: RuleLocations) -> AnswerError:
    """Return the error of an answer with another status than 200."""
    try:
        answer = orjson.loads(body)
    except orjson.JSONDecodeError as error:
        return AnswerError(rule_ids.ENGINE_ERROR, f"status {status}, body is not JSON: {error}")
    cause = f"status {status}: {body[:2_000].decode(errors='replace')}"
    return AnswerError(rule_ids.ENGINE_ERROR, cause, _error_details(answer, places))


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


def _revision(provenance: object) -> str:
    """Return the revision of the only bundle."""
    bundles = provenance.get("bundles") if isinstance(provenance, dict) else None
    if not isinstance(bundles, dict) or len(bundles) != 1:
        raise AnswerError(rule_ids.ANSWER_INVALID, "provenance does not name exactly one bundle")
    bundle = next(iter(bundles.values()))
    revision = bundle.get("revision") if isinstance(bundle, dict) else None
    if not isinstance(revision, str) or not revision:
        raise AnswerError(rule_ids.ANSWER_INVALID, "the bundle has no revision")
    return revision
