"""Cuts findings that are too large or too many to be recorded. The rule_id and the effect always stay."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Final

import orjson
from msgspec.structs import replace

from placet.decision.combining import APPROVAL_DETAILS, by_precedence
from placet.kernel.limits import FINDING_DETAILS_BYTES_MAX, FINDINGS_MAX

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

    from placet.decision.combining import Resolution
    from placet.kernel.model import Finding

TRUNCATED: Final = "truncated"
"""The key of details that lists the members that were left out."""
FINDINGS_LEFT_OUT: Final = "findings_left_out"
"""The key of the first finding's details that says how many findings were left out."""
_NAMES_MAX: Final = 16
_NAME_CHARS_MAX: Final = 64
_MARK_BYTES_MAX: Final = 1_024
"""The largest TRUNCATED list as JSON. The names may come from the caller, who can make them as long as it likes."""


def bounded_details(details: dict[str, Any]) -> dict[str, Any]:
    """Return details of at most FINDING_DETAILS_BYTES_MAX bytes as JSON.

    Members are left out as a whole: half a value could be half a secret, which redaction would not recognise. Members
    that an approval needs are kept first, then the smallest.
    """
    if not details or _size(details) <= FINDING_DETAILS_BYTES_MAX:
        return details
    room = FINDING_DETAILS_BYTES_MAX - _MARK_BYTES_MAX
    bounded: dict[str, Any] = {}
    sizes = {name: _size({name: value}) for name, value in details.items()}
    for name in sorted(details, key=lambda name: (name not in APPROVAL_DETAILS, sizes[name], name)):
        if sizes[name] <= room:
            bounded[name] = details[name]
            room -= sizes[name]
    left_out = sorted(name[:_NAME_CHARS_MAX] for name in details.keys() - bounded.keys())[:_NAMES_MAX]
    while _size({TRUNCATED: left_out}) > _MARK_BYTES_MAX:
        left_out.pop()
    return {**bounded, TRUNCATED: left_out}


def recordable(resolution: Resolution, where: Callable[[str], str] | None = None) -> Resolution:
    """Return the resolution as it is recorded: with bounded findings.

    For an invalid verdict the details also say `where` the rules at fault are, as ``file:line``.
    """
    findings = resolution.findings
    rules = (
        findings[0].details.get("rules")
        if resolution.invalid_verdict_detail and findings and where is not None
        else None
    )
    if rules and where is not None:
        places = {rule: where(rule) for rule in rules[:_NAMES_MAX]}
        details = {**findings[0].details, "where": {rule: place for rule, place in places.items() if place}}
        findings = (replace(findings[0], details=details), *findings[1:])
    bounded = bounded_findings(findings)
    return resolution if bounded is resolution.findings else replace(resolution, findings=bounded)


def bounded_findings(findings: tuple[Finding, ...]) -> tuple[Finding, ...]:
    """Return at most FINDINGS_MAX findings, the winning ones first. The first says how many are left out."""
    if len(findings) <= FINDINGS_MAX:
        return findings
    first, *others = by_precedence(findings)[:FINDINGS_MAX]
    details: Mapping[str, Any] = {**first.details, FINDINGS_LEFT_OUT: len(findings) - FINDINGS_MAX}
    return (replace(first, details=details), *others)


def _size(value: dict[str, Any]) -> int:
    """Return the bytes of the value as JSON; more than the limit when it is nested too deeply to be written."""
    try:
        return len(orjson.dumps(value))
    except orjson.JSONEncodeError:
        return FINDING_DETAILS_BYTES_MAX + 1
