"""The stored rows of autonomy overrides: levels that people set while the server runs."""

from __future__ import annotations

import hashlib
from dataclasses import dataclass
from typing import Final

import orjson
from msgspec import structs

from placet.controls.autonomy.model import AutonomyRule
from placet.kernel.state import Row, RowKey, StateTable

SET: Final = "set"
REMOVED: Final = "removed"
_ID_CHARS: Final = 32


@dataclass(frozen=True, slots=True)
class AutonomyOverride:
    """A rule that replaces the file's rule with the same key."""

    rule: AutonomyRule
    actor: str
    reason: str
    set_at_us: int


def override_key(tenant: str, rule: AutonomyRule) -> RowKey:
    """Return the key of the override for the rule's workflow, tool and agent. It is the same for all spellings."""
    digest = hashlib.sha256(orjson.dumps(rule.key)).hexdigest()
    return RowKey(StateTable.AUTONOMY, tenant, f"aut_{digest[:_ID_CHARS]}")


def override_row(before: Row | None, tenant: str, override: AutonomyOverride, status: str) -> Row:
    """Return the row to put. `before` is the row as it was read, if any."""
    body = {
        **override.rule.to_json(),
        "actor": override.actor,
        "reason": override.reason,
        "set_at_us": override.set_at_us,
    }
    row = before or Row(override_key(tenant, override.rule), status, override.set_at_us, b"")
    return structs.replace(row, status=status, body=orjson.dumps(body))


def read_override(row: Row) -> AutonomyOverride:
    """Return the override of a row."""
    body = orjson.loads(row.body)
    return AutonomyOverride(AutonomyRule.from_json(body), body["actor"], body["reason"], body["set_at_us"])
