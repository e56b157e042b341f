"""The stored rows of kill switches.

The id of a switch is a digest of scope, tenant and value: setting the same switch twice gives one row.
"""

from __future__ import annotations

import hashlib
from typing import TYPE_CHECKING, Final

import orjson
from msgspec import structs

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
    """Return the id of the switch: ``ks_`` and 16 hex digits."""
    digest = hashlib.sha256(orjson.dumps([scope, tenant, value])).hexdigest()
    return SWITCH_PREFIX + digest[:_ID_CHARS]


def switch_key(tenant: str, kill_switch_id: str) -> RowKey:
    """Return the key of the switch's row. `tenant` is "" for a switch that belongs to no tenant."""
    return RowKey(StateTable.KILL_SWITCHES, tenant, kill_switch_id)


def switch_row(before: Row | None, switch: KillSwitch, status: str) -> Row:
    """Return the row to put. It is due at `expires_at_us` while set. `before` is the row as it was read, if any."""
    row = before or Row(switch_key(switch.tenant, switch.switch_id), status, switch.set_at_us, b"")
    due_at_us = switch.expires_at_us if status == SET else 0
    return structs.replace(row, status=status, body=orjson.dumps(switch.to_json()), due_at_us=due_at_us)


def read_switch(row: Row) -> KillSwitch:
    """Return the switch of a row."""
    return KillSwitch.from_json(orjson.loads(row.body))
