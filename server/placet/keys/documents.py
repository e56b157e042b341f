"""The stored row of the keys of one use: one document, so that a change of any key is a change of all."""

from __future__ import annotations

import base64
from typing import Annotated, Final

import msgspec.json
import orjson
from msgspec import Meta, Struct, structs

from placet.kernel.errors import ConfigurationError
from placet.kernel.state import Row, RowKey, StateTable
from placet.keys.model import PERMIT, REPLACE_ALL, KeySet, StoredKey

PERMIT_KEYS: Final = RowKey(StateTable.KEY_SETS, "", PERMIT)
"""The key of the row with the permit keys. It belongs to no tenant."""
IN_USE: Final = "in_use"
_SECOND_MAX: Final = 253_402_300_799
"""The last second of the year 9999, which is the last that every list can show."""


def key_set_row(keys: KeySet, before: Row | None, now_us: int) -> Row:
    """Return the row that replaces `before`, or the first one."""
    row = before or Row(PERMIT_KEYS, IN_USE, now_us, b"")
    body: dict[str, object] = {"keys": [_to_json(key) for key in keys.keys]}
    if keys.withdrawn_at:
        body["withdrawn_at"] = keys.withdrawn_at
    return structs.replace(row, body=orjson.dumps(body))


def read_key_set(row: Row | None) -> KeySet:
    """Return the keys of a row; none when there is no row. Raises ConfigurationError when Placet did not write it."""
    if row is None:
        return KeySet()
    try:
        stored = msgspec.json.decode(row.body, type=_Document)
        return KeySet(tuple(map(_from_document, stored.keys)), stored.withdrawn_at)
    except ValueError as error:  # also msgspec's and base64's
        raise ConfigurationError(
            "the permit keys in the database were changed by another program; run `placet audit verify --state`, then "
            f"restore a backup, or {REPLACE_ALL}"
        ) from error


_Second = Annotated[int, Meta(ge=0, le=_SECOND_MAX)]


class _KeyDocument(Struct, frozen=True):
    kid: str
    signs_from: _Second
    kek: str
    encrypted: str


class _Document(Struct, frozen=True):
    keys: tuple[_KeyDocument, ...]
    withdrawn_at: _Second = 0


def _from_document(key: _KeyDocument) -> StoredKey:
    return StoredKey(key.kid, key.signs_from, key.kek, base64.b64decode(key.encrypted))


def _to_json(key: StoredKey) -> dict[str, object]:
    return {
        "kid": key.key_id,
        "signs_from": key.signs_from,
        "kek": key.encrypted_by,
        "encrypted": base64.b64encode(key.encrypted).decode(),
    }
