"""Page tokens: they hold where the previous page ended."""

from __future__ import annotations

import base64
import binascii
from typing import TYPE_CHECKING, Any, Final

import orjson

from placet.kernel.errors import FieldViolation, InvalidRequestError

if TYPE_CHECKING:
    from collections.abc import Sequence

    from placet.kernel.state import Row

Place = tuple[int, str]
"""created_at_us and id of a row."""
_INTEGER_MAX: Final = 2**63 - 1


def next_token(last: Row) -> str:
    """Return the token of the page after the row."""
    return write_token((last.created_at_us, last.key.id))


def place_before(token: str) -> Place | None:
    """Return where the previous page of rows ended, or None for the first page.

    Raises InvalidRequestError when the token is not one of ours.
    """
    place = read_token(token, (int, str))
    return (place[0], place[1]) if place is not None else None


def write_token(place: Sequence[int | str]) -> str:
    """Return the token of the page after the place."""
    return base64.urlsafe_b64encode(orjson.dumps(place)).decode()


def read_token(token: str, types: Sequence[type]) -> list[Any] | None:
    """Return the place in a token, whose members must have the types; None for the first page.

    Raises InvalidRequestError when the token is not one of ours.
    """
    if not token:
        return None
    try:
        place = orjson.loads(base64.b64decode(token.encode(), altchars=b"-_", validate=True))
    except (ValueError, binascii.Error):
        place = None
    if not isinstance(place, list) or [type(item) for item in place] != list(types) or not all(map(_storable, place)):
        raise InvalidRequestError([FieldViolation("page_token", "is not the next_page_token of an earlier page")])
    return place


def _storable(item: int | str) -> bool:
    """Return whether a database can store, and so find, the value."""
    return abs(item) <= _INTEGER_MAX if isinstance(item, int) else "\0" not in item
