"""Encodes cursors of watch streams: URL-safe base64 of a JSON object, writer -> sequence."""

from __future__ import annotations

import base64
from typing import TYPE_CHECKING

import orjson

from placet.kernel.errors import FieldViolation, InvalidRequestError
from placet.kernel.limits import SAFE_INTEGER_MAX

if TYPE_CHECKING:
    from placet.kernel.state import Cursor


def cursor_text(cursor: Cursor) -> str:
    """Return the cursor as text."""
    return base64.urlsafe_b64encode(orjson.dumps(dict(cursor), option=orjson.OPT_SORT_KEYS)).decode()


def read_cursor(text: str) -> Cursor | None:
    """Return the cursor that a text encodes; None for an empty text. InvalidRequestError if the text is invalid."""
    if not text:
        return None
    try:
        cursor = orjson.loads(base64.b64decode(text.encode(), altchars=b"-_", validate=True))
    except ValueError:
        cursor = None
    if not isinstance(cursor, dict) or not all(
        type(sequence) is int and 0 <= sequence <= SAFE_INTEGER_MAX for sequence in cursor.values()
    ):
        raise InvalidRequestError(
            [
                FieldViolation(
                    "cursor",
                    "is not a cursor; send the cursor of an earlier message of the stream, or none",
                )
            ]
        )
    return cursor
