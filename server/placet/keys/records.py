"""Builds the record of a key that is created. No record has a private key, encrypted or not."""

from __future__ import annotations

from typing import TYPE_CHECKING

from placet.audit.access_records import caller_fields
from placet.audit.control_record import control_record
from placet.audit.records import RecordKind

if TYPE_CHECKING:
    from collections.abc import Sequence

    from placet.audit.records import Commitment
    from placet.commands.four_eyes import ChangeCommand
    from placet.kernel.state import Change
    from placet.keys.model import StoredKey


def key_created(
    key: StoredKey, removed: Sequence[str], command: ChangeCommand, now_us: int, changes: tuple[Change, ...]
) -> Commitment:
    """Record that a key was created. `removed` are the ids of keys that verify nothing from now on."""
    fields = {
        "key_id": key.key_id,
        "signs_from": key.signs_from,
        "removed": list(removed),
        **caller_fields(command.caller),
    }
    part = {"actor": command.actor, "reason": command.reason}
    return control_record(RecordKind.PERMIT_KEY_CREATED, "", now_us, fields, part, changes)
