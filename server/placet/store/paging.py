"""Tokens of pages of rows: where the page before ended."""

from __future__ import annotations

import base64
import binascii
from typing import TYPE_CHECKING

import orjson

from placet.core.errors import FieldViolation, InvalidRequestError

if TYPE_CHECKING:
    from placet.core.changes import Row

Place = tuple[int, str]
"""created_at_us and id of a row."""


def next_token(last: Row) -> str:
    """The token of the page after the one that ended with the row."""
    return base64.urlsafe_b64encode(orjson.dumps((last.created_at_us, last.key.id))).decode()


def place_before(token: str) -> Place | None:
    """Where the page before ended; None for the first. InvalidRequestError when the token is none of ours."""
    if not token:
        return None
    try:
        said = orjson.loads(base64.b64decode(token.encode(), altchars=b"-_", validate=True))
    except (ValueError, binascii.Error):
        said = None
    if not isinstance(said, list) or [type(item) for item in said] != [int, str]:
        raise InvalidRequestError([FieldViolation("page_token", "is not the next_page_token of an earlier page")])
    return (said[0], said[1])
