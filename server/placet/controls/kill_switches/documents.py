"""Kill switches as they are kept. A switch's id follows from what it covers: setting the same twice is one switch."""

from __future__ import annotations

import hashlib
from dataclasses import replace
from typing import TYPE_CHECKING, Final

import orjson

from placet.controls.kill_switches.model import KillSwitch
from placet.kernel.state import Row, RowKey, StateTable

if TYPE_CHECKING:
    from placet.controls.kill_switches.model import KillScope

SET: Final = "set"
CLEARED: Final = "cleared"
EXPIRED: Final = "expired"
SWITCH_PREFIX: Final = "ks_"
_ID_CHARS: Final = 16


def switch_id(scope: KillScope, tenant: str, value: str) -> str:
    """The id of the switch that covers this: ``ks_`` and 16 hex digits."""
    digest = hashlib.sha256(orjson.dumps([scope, tenant, value])).hexdigest()
    return SWITCH_PREFIX + digest[:_ID_CHARS]


def switch_key(tenant: str, kill_switch_id: str) -> RowKey:
    """Where a switch stands; `tenant` "" for one that belongs to none."""
    return RowKey(StateTable.KILL_SWITCHES, tenant, kill_switch_id)


def switch_row(before: Row | None, switch: KillSwitch, status: str) -> Row:
    """The row to put; `before` is it as read, None when there is none yet."""
    row = before or Row(switch_key(switch.tenant, switch.switch_id), status, switch.set_at_us, b"")
    due_at_us = switch.expires_at_us if status == SET else 0
    return replace(row, status=status, body=orjson.dumps(switch.to_json()), due_at_us=due_at_us)


def read_switch(row: Row) -> KillSwitch:
    """The switch that a row holds."""
    return KillSwitch.from_json(orjson.loads(row.body))
