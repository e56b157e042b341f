"""Tokens of pages: where the page before ended."""

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
    """The token of the page after the one that ended with the row."""
    return write_token((last.created_at_us, last.key.id))


def place_before(token: str) -> Place | None:
    """Where the page of rows before ended; None for the first. InvalidRequestError when the token is none of ours."""
    said = read_token(token, (int, str))
    return (said[0], said[1]) if said is not None else None


def write_token(place: Sequence[int | str]) -> str:
    """The token of the page after the one that ended at the place."""
    return base64.urlsafe_b64encode(orjson.dumps(place)).decode()


def read_token(token: str, types: Sequence[type]) -> list[Any] | None:
    """A place whose members have the types; None for the first page. InvalidRequestError when the token is none."""
    if not token:
        return None
    try:
        said = orjson.loads(base64.b64decode(token.encode(), altchars=b"-_", validate=True))
    except (ValueError, binascii.Error):
        said = None
    if not isinstance(said, list) or [type(item) for item in said] != list(types) or not all(map(_storable, said)):
        raise InvalidRequestError([FieldViolation("page_token", "is not the next_page_token of an earlier page")])
    return said


def _storable(item: int | str) -> bool:
    """Whether a database can look for it."""
    return abs(item) <= _INTEGER_MAX if isinstance(item, int) else "\0" not in item
