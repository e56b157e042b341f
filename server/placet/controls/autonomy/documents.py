"""Levels of autonomy that were set while the server ran, as they are kept."""

from __future__ import annotations

import hashlib
from dataclasses import dataclass, replace
from typing import Final

import orjson

from placet.controls.autonomy.model import AutonomyRule
from placet.kernel.state import Row, RowKey, StateTable

SET: Final = "set"
REMOVED: Final = "removed"
_ID_CHARS: Final = 32


@dataclass(frozen=True, slots=True)
class AutonomyOverride:
    """A rule with who set it, why and when. It takes the place of the file's rule for the same."""

    rule: AutonomyRule
    actor: str
    reason: str
    set_at_us: int


def override_key(tenant: str, rule: AutonomyRule) -> RowKey:
    """Where the override for the rule's workflow, tool and agent stands, however they are spelled."""
    digest = hashlib.sha256(orjson.dumps(rule.key)).hexdigest()
    return RowKey(StateTable.AUTONOMY, tenant, f"aut_{digest[:_ID_CHARS]}")


def override_row(before: Row | None, tenant: str, override: AutonomyOverride, status: str) -> Row:
    """The row to put; `before` is it as read, None when there is none yet."""
    said = {
        **override.rule.to_json(),
        "actor": override.actor,
        "reason": override.reason,
        "set_at_us": override.set_at_us,
    }
    row = before or Row(override_key(tenant, override.rule), status, override.set_at_us, b"")
    return replace(row, status=status, body=orjson.dumps(said))


def read_override(row: Row) -> AutonomyOverride:
    """The override that a row holds."""
    said = orjson.loads(row.body)
    return AutonomyOverride(AutonomyRule.from_json(said), said["actor"], said["reason"], said["set_at_us"])
