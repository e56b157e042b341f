"""Findings that are too large or too many to be kept: cut and marked, so that the rule's id and the effect stay."""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING, Any, Final

import orjson

from placet.decision.combining import APPROVAL_DETAILS, by_precedence
from placet.kernel.limits import FINDING_DETAILS_BYTES_MAX, FINDINGS_MAX

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

    from placet.decision.combining import Resolution
    from placet.kernel.model import Finding

TRUNCATED: Final = "truncated"
"""In details: the names of members that were left out."""
FINDINGS_LEFT_OUT: Final = "findings_left_out"
"""In the details of the first finding: how many others are not kept."""
_NAMES_MAX: Final = 16
_NAME_CHARS_MAX: Final = 64
_MARK_BYTES_MAX: Final = 1_024
"""The mark as JSON: names of members may be the caller's, and are as long as it likes."""


def bounded_details(details: dict[str, Any]) -> dict[str, Any]:
    """Return details of at most FINDING_DETAILS_BYTES_MAX bytes as JSON.

    Members are left out as a whole: half a value could be half a secret, which redaction would not know again. What an
    approval needs is kept first, then what is small.
    """
    if not details or _size(details) <= FINDING_DETAILS_BYTES_MAX:
        return details
    room = FINDING_DETAILS_BYTES_MAX - _MARK_BYTES_MAX
    kept: dict[str, Any] = {}
    sizes = {name: _size({name: value}) for name, value in details.items()}
    for name in sorted(details, key=lambda name: (name not in APPROVAL_DETAILS, sizes[name], name)):
        if sizes[name] <= room:
            kept[name] = details[name]
            room -= sizes[name]
    left_out = sorted(name[:_NAME_CHARS_MAX] for name in details.keys() - kept.keys())[:_NAMES_MAX]
    while _size({TRUNCATED: left_out}) > _MARK_BYTES_MAX:
        left_out.pop()
    return {**kept, TRUNCATED: left_out}


def recordable(resolution: Resolution, where: Callable[[str], str] | None = None) -> Resolution:
    """Return the resolution as it is kept: findings bounded, and for what was not believed the places of its rules."""
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
    kept = bounded_findings(findings)
    return resolution if kept is resolution.findings else replace(resolution, findings=kept)


def bounded_findings(findings: tuple[Finding, ...]) -> tuple[Finding, ...]:
    """Return at most FINDINGS_MAX findings, those that win first; the first says how many are left out."""
    if len(findings) <= FINDINGS_MAX:
        return findings
    first, *others = by_precedence(findings)[:FINDINGS_MAX]
    details: Mapping[str, Any] = {**first.details, FINDINGS_LEFT_OUT: len(findings) - FINDINGS_MAX}
    return (replace(first, details=details), *others)


def _size(value: dict[str, Any]) -> int:
    """Bytes as JSON; more than are taken when it is nested deeper than can be written."""
    try:
        return len(orjson.dumps(value))
    except orjson.JSONEncodeError:
        return FINDING_DETAILS_BYTES_MAX + 1
