"""The stored row of the keys of one use: one document, so that a change of any key is a change of all."""

from __future__ import annotations

import base64
from typing import Final

import orjson
from msgspec import structs

from placet.kernel.state import Row, RowKey, StateTable
from placet.keys.model import PERMIT, KeySet, StoredKey

PERMIT_KEYS: Final = RowKey(StateTable.KEY_SETS, "", PERMIT)
"""The key of the row with the permit keys. It belongs to no tenant."""
IN_USE: Final = "in_use"


def key_set_row(keys: KeySet, before: Row | None, now_us: int) -> Row:
    """Return the row that replaces `before`, or the first one."""
    row = before or Row(PERMIT_KEYS, IN_USE, now_us, b"")
    return structs.replace(row, body=orjson.dumps({"keys": [_to_json(key) for key in keys.keys]}))


def read_key_set(row: Row | None) -> KeySet:
    """Return the keys of a row; none when there is no row."""
    if row is None:
        return KeySet()
    return KeySet(
        tuple(
            StoredKey(each["kid"], each["signs_from"], each["kek"], base64.b64decode(each["encrypted"]))
            for each in orjson.loads(row.body)["keys"]
        )
    )


def _to_json(key: StoredKey) -> dict[str, object]:
    return {
        "kid": key.key_id,
        "signs_from": key.signs_from,
        "kek": key.encrypted_by,
        "encrypted": base64.b64encode(key.encrypted).decode(),
    }
