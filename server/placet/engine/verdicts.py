"""Decode OPA's answer for one input: the findings of policy, by effect and pack.

The shape is ``{"deny": [[<finding>, ...], ...], "require_approval": [...], "allow": [...]}`` with a list for each pack.
A finding is ``{"rule_id": ..., "reason": ..., "details": {...}}``. Exactly these keys and types are accepted, and
nothing is converted. The shape that policy folders of earlier releases give is accepted too: the effect, the rule_id,
and one list of `findings`, each with its effect.
"""

from __future__ import annotations

import re
from functools import lru_cache
from typing import TYPE_CHECKING, Annotated, Any, Final, Literal

import msgspec
import orjson

from placet.decision.finding_bounds import bounded_details
from placet.decision.obligations import OBLIGATIONS, InvalidObligationsError, obligations_by_effect
from placet.kernel import rule_ids
from placet.kernel.limits import REASON_CHARS_MAX, RULE_ID_CHARS_MAX
from placet.kernel.model import Effect, Finding, Indeterminate, Verdict
from placet.policy.rego.rule_locations import RuleLocations

if TYPE_CHECKING:
    from collections.abc import Sequence

NO_PLACES: Final = RuleLocations({})
"""No rule has a known place."""
_EFFECTS: Final = {effect.value: effect for effect in Effect}
_Effect = Literal["deny", "require_approval", "allow"]
_RULE_ID: Final = f"^{rule_ids.RULE_ID_PATTERN.pattern}"
_RuleId = Annotated[str, msgspec.Meta(max_length=RULE_ID_CHARS_MAX, pattern=_RULE_ID)]
_Reason = Annotated[str, msgspec.Meta(max_length=REASON_CHARS_MAX)]
_NO_DETAILS: Final = b"{}"
_SURELY_BOUNDED: Final = 256
"""Details of at most so many bytes are not measured: written again they stay small, and they cannot nest too deeply."""
_PLAIN_BYTES_MAX: Final = 1_024
"""Largest answer without details that is kept: 3 MB for all of them. Details are not kept: they may quote a request."""
_DETAILS: Final = b'"details":'
_EMPTY_DETAILS: Final = b'"details":{}'
_PLACE: Final = re.compile(r"(?P<what>.*?)(?: - at `\$\.?(?P<place>[^`]*)`)?", re.DOTALL)
_INDEXES: Final = re.compile(r"\[(\d+)\]")


class _FindingShape(msgspec.Struct, forbid_unknown_fields=True):
    rule_id: _RuleId
    reason: _Reason
    details: msgspec.Raw


class _FindingsShape(msgspec.Struct, forbid_unknown_fields=True):
    deny: list[list[_FindingShape]]
    require_approval: list[list[_FindingShape]]
    allow: list[list[_FindingShape]]


class _EarlierFindingShape(msgspec.Struct, forbid_unknown_fields=True):
    effect: _Effect
    rule_id: _RuleId
    reason: _Reason
    details: msgspec.Raw


class _EarlierShape(msgspec.Struct, forbid_unknown_fields=True):
    effect: _Effect
    rule_id: _RuleId
    findings: list[_EarlierFindingShape]


_FINDINGS: Final = msgspec.json.Decoder(_FindingsShape)
_EARLIER: Final = msgspec.json.Decoder(_EarlierShape)


class _ShapeError(Exception):
    """The answer for one input is invalid. `rules` are the ids of the rules at fault, as far as they are known."""

    def __init__(self, why: str, *rules: str) -> None:
        self.why = why
        self.rules = rules
        super().__init__(why)


@lru_cache(maxsize=1_024)
def _plain_verdict(raw: bytes, revision: str) -> Verdict | None:
    """Return the verdict of an answer without details, which most actions have in common; None for any other answer."""
    try:
        verdict = _verdict(raw, revision, NO_PLACES)
    except (InvalidObligationsError, _ShapeError):
        return None
    return None if any(finding.details for finding in verdict.findings) else verdict


def read_verdict(raw: bytes, index: str, revision: str, places: RuleLocations) -> Verdict | Indeterminate:
    """Return the verdict of one answer; Indeterminate when its shape is wrong. `places` maps rules to file and line."""
    if len(raw) <= _PLAIN_BYTES_MAX and raw.count(_DETAILS) == raw.count(_EMPTY_DETAILS):
        plain = _plain_verdict(raw, revision)
        if plain is not None:
            return plain
    try:
        return _verdict(raw, revision, places)
    except (InvalidObligationsError, _ShapeError) as error:
        rules = {"rules": list(error.rules), **_where(error.rules, places)} if error.rules else {}
        cause = f"decision {index}: {error}"
        return Indeterminate(rule_ids.ANSWER_INVALID, cause, {"why": error.why, **rules})


def _verdict(raw: bytes, revision: str, places: RuleLocations) -> Verdict:
    """Return the verdict. Raises _ShapeError and InvalidObligationsError."""
    try:
        shape = _FINDINGS.decode(raw)
    except (msgspec.DecodeError, RecursionError) as error:
        return _earlier_verdict(raw, revision, places, error)
    findings = [
        *(_finding(Effect.DENY, found) for pack in shape.deny for found in pack),
        *(_finding(Effect.REQUIRE_APPROVAL, found) for pack in shape.require_approval for found in pack),
        *(_finding(Effect.ALLOW, found) for pack in shape.allow for found in pack),
    ]
    if not findings:
        return Verdict(Effect.DENY, rule_ids.NO_RULE_MATCHED, (), revision)
    effect = findings[0].effect
    rule_id = min(finding.rule_id for finding in findings if finding.effect is effect)
    return _bounded(effect, rule_id, findings, revision)


def _earlier_verdict(raw: bytes, revision: str, places: RuleLocations, error: Exception) -> Verdict:
    """Return the verdict of an answer of the earlier shape; raises a _ShapeError for `error` when it has another."""
    if b'"findings":' not in raw:
        raise _shape_error(raw, error, places) from error
    try:
        shape = _EARLIER.decode(raw)
    except (msgspec.DecodeError, RecursionError) as mistake:
        raise _shape_error(raw, mistake, places) from mistake
    findings = [_finding(_EFFECTS[found.effect], found) for found in shape.findings]
    return _bounded(_EFFECTS[shape.effect], shape.rule_id, findings, revision)


def _finding(effect: Effect, shape: _FindingShape | _EarlierFindingShape) -> Finding:
    """Return the finding with all its details."""
    if rule_ids.is_reserved(shape.rule_id):
        raise _ShapeError("a rule uses an id that is reserved for Placet", shape.rule_id)
    details = bytes(shape.details)
    if details == _NO_DETAILS:
        return Finding(effect, shape.rule_id, shape.reason)
    try:
        value = orjson.loads(details)
    except orjson.JSONDecodeError as error:
        raise _ShapeError(f"details: {error.msg}", shape.rule_id) from error
    if not isinstance(value, dict):
        raise _ShapeError("details: not an object", shape.rule_id)
    if len(details) > _SURELY_BOUNDED and OBLIGATIONS not in value:
        value = bounded_details(value)
    return Finding(effect, shape.rule_id, shape.reason, value)


def _bounded(effect: Effect, rule_id: str, findings: Sequence[Finding], revision: str) -> Verdict:
    """Return the verdict with bounded details. Obligations are read before, as the bounds may cut them."""
    obliging = [finding for finding in findings if OBLIGATIONS in finding.details]
    if not obliging:
        return Verdict(effect, rule_id, tuple(findings), revision)
    obligations = obligations_by_effect(obliging)
    bounded = tuple(
        Finding(finding.effect, finding.rule_id, finding.reason, bounded_details(dict(finding.details)))
        for finding in findings
    )
    return Verdict(effect, rule_id, bounded, revision, obligations)


def _where(rules: Sequence[str], places: RuleLocations) -> dict[str, Any]:
    """Return the known places of the rules as ``{"where": {rule_id: place}}``; empty when none is known."""
    where = {rule: places.location_of(rule) for rule in rules if places.location_of(rule)}
    return {"where": where} if where else {}


def _shape_error(raw: bytes, error: Exception, places: RuleLocations) -> _ShapeError:
    """Return what is wrong with the shape, and the rule at fault when its place is known."""
    match = _PLACE.fullmatch(str(error))
    place, what = (match["place"] or "", match["what"]) if match else ("", str(error))
    why = f"{place}: {what}" if place else what
    rule_id = _rule_id_at(raw, place)
    return _ShapeError(why, rule_id) if rule_id and places.location_of(rule_id) else _ShapeError(why)


def _rule_id_at(raw: bytes, place: str) -> str:
    """Return the rule_id of the finding at a place such as ``deny[0][1].reason``; "" when there is none."""
    try:
        value = orjson.loads(raw)
    except orjson.JSONDecodeError:
        return ""
    node = value.get(place.partition("[")[0]) if isinstance(value, dict) else None
    for index in _INDEXES.findall(place):
        node = node[int(index)] if isinstance(node, list) and int(index) < len(node) else node
    rule_id = node.get("rule_id") if isinstance(node, dict) else None
    return rule_id if isinstance(rule_id, str) else ""
