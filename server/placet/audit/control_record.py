"""Builds records of changes that people make while the server runs.

The part ``control`` holds who made the change, why, and what changed.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Final

import orjson

from placet.audit.records import Commitment, RecordKind
from placet.privacy.redaction import redact_text

if TYPE_CHECKING:
    from collections.abc import Mapping

    from placet.audit.trail_break import TrailBreak
    from placet.kernel.state import Change

CONTROL: Final = "control"
"""Part of a change: actor, reason, what exactly was changed, and who requested it when two people are needed."""


def control_record(
    kind: RecordKind,
    tenant: str,
    now_us: int,
    fields: Mapping[str, Any],
    part: Mapping[str, Any],
    changes: tuple[Change, ...],
    subject: str = "",
) -> Commitment:
    """Return a record of this kind. `part` becomes the part ``control``; `subject` is the id that can be watched."""
    parts = {CONTROL: orjson.dumps(part)}
    return Commitment(kind, tenant, now_us, fields, parts, subject=subject, changes=changes)


def trail_restarted(broken: TrailBreak, actor: str, reason: str, now_us: int) -> Commitment:
    """Return the record that a person accepts a database that lacks what was signed before."""
    fields = {
        "found": broken.kind.value,
        "lost_writer": broken.writer,
        "expected_sequence": broken.expected_sequence,
        "expected_head": broken.expected_head,
        "found_sequence": broken.found_sequence,
    }
    part = {"actor": actor, "reason": redact_text(reason)}
    return control_record(RecordKind.TRAIL_RESTARTED, "", now_us, fields, part, ())


def clock_accepted(newest_us: int, actor: str, reason: str, now_us: int) -> Commitment:
    """Return the record that a person confirms the machine's clock although the newest record is later."""
    fields = {"newest_recorded_at_us": newest_us, "behind_seconds": (newest_us - now_us) // 1_000_000}
    part = {"actor": actor, "reason": redact_text(reason)}
    return control_record(RecordKind.CLOCK_ACCEPTED, "", now_us, fields, part, ())
