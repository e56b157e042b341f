"""Cursors of watch streams on the wire: URL-safe base64 of JSON, writer -> sequence."""

from __future__ import annotations

import base64
from typing import TYPE_CHECKING

import orjson

from placet.kernel.errors import FieldViolation, InvalidRequestError
from placet.kernel.limits import SAFE_INTEGER_MAX

if TYPE_CHECKING:
    from placet.kernel.state import Cursor


def cursor_text(cursor: Cursor) -> str:
    """The cursor as it is sent."""
    return base64.urlsafe_b64encode(orjson.dumps(dict(cursor), option=orjson.OPT_SORT_KEYS)).decode()


def read_cursor(text: str) -> Cursor | None:
    """The cursor that was sent; None for none. InvalidRequestError when it is none of ours."""
    if not text:
        return None
    try:
        said = orjson.loads(base64.b64decode(text.encode(), altchars=b"-_", validate=True))
    except ValueError:
        said = None
    if not isinstance(said, dict) or not all(
        type(sequence) is int and 0 <= sequence <= SAFE_INTEGER_MAX for sequence in said.values()
    ):
        raise InvalidRequestError([FieldViolation("cursor", "is not the cursor of an earlier message")])
    return said
