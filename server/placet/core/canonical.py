"""Canonical JSON (RFC 8785) of what callers say: parsed strictly once, so that what policy sees is what runs.

Source: RFC 8785 (JCS), RFC 7493 (I-JSON).
"""

from __future__ import annotations

import hashlib
import json
import math
from typing import Any, Final

import orjson
import rfc8785

from placet.core.limits import PARAMS_BYTES_MAX, PARAMS_DEPTH_MAX, SAFE_INTEGER_MAX


class NotCanonicalError(ValueError):
    """A text is not the JSON object that Placet accepts. `place` is a JSON pointer, "" for the whole."""

    def __init__(self, place: str, what: str) -> None:
        self.place = place
        self.what = what
        super().__init__(f"at {place}: {what}" if place else what)


class _Duplicated(dict[str, Any]):
    """An object in which a key stood twice; found again by the walk, which knows the place."""


def _object(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    members = dict(pairs)
    return members if len(members) == len(pairs) else _Duplicated(members)


def _constant(name: str) -> Any:  # noqa: ANN401 - the signature json.JSONDecoder wants
    raise NotCanonicalError("", f"{name} is not JSON; leave the member out or send null")


_DECODER: Final = json.JSONDecoder(object_pairs_hook=_object, parse_constant=_constant)


def parse_object(text: str) -> dict[str, Any]:
    """Parse the text of a JSON object strictly; NotCanonicalError names the place of what is not I-JSON.

    At most PARAMS_BYTES_MAX bytes of UTF-8.
    """
    try:
        size = len(text.encode())
    except UnicodeEncodeError as error:
        raise NotCanonicalError("", "holds a lone surrogate, which is not Unicode text") from error
    if size > PARAMS_BYTES_MAX:
        raise NotCanonicalError("", f"is {size} bytes; at most {PARAMS_BYTES_MAX} are accepted")
    try:
        value = _DECODER.decode(text)
    except json.JSONDecodeError as error:
        raise NotCanonicalError("", f"is not JSON: {error.msg} at character {error.pos}") from error
    except RecursionError as error:
        raise NotCanonicalError("", f"is nested deeper than {PARAMS_DEPTH_MAX} levels") from error
    except NotCanonicalError:
        raise
    except ValueError as error:  # an integer of thousands of digits
        raise NotCanonicalError("", f"holds an integer beyond ±{SAFE_INTEGER_MAX}") from error
    if not isinstance(value, dict):
        raise NotCanonicalError("", f"must be a JSON object, not {_kind(value)}")
    return value


def canonical(value: dict[str, Any]) -> bytes:
    """RFC 8785 bytes of a parsed object; NotCanonicalError names the place of what has no canonical form."""
    if _walk(value, (), 1):
        return rfc8785.dumps(value)
    # Same bytes, 20 times as fast, wherever keys are ASCII and numbers are integers.
    return orjson.dumps(value, option=orjson.OPT_SORT_KEYS)


def digest(canonical_bytes: bytes) -> str:
    """SHA-256 in lower-case hex."""
    return hashlib.sha256(canonical_bytes).hexdigest()


def _walk(value: Any, path: tuple[str | int, ...], depth: int) -> bool:  # noqa: ANN401 - any JSON value
    """Check a value; True when only the full canonicaliser gives its canonical form."""
    kind = type(value)
    if kind is str:
        _check_text(value, path)
        return False
    if kind is bool or value is None:
        return False
    if kind is int or kind is float:
        return _check_number(value, path)
    if depth > PARAMS_DEPTH_MAX:
        raise NotCanonicalError(_pointer(path[:8]), f"is nested deeper than {PARAMS_DEPTH_MAX} levels")
    exotic = False
    if kind is list:
        for index, item in enumerate(value):
            exotic |= _walk(item, (*path, index), depth + 1)
        return exotic
    if kind is _Duplicated:
        raise NotCanonicalError(_pointer(path), "an object has the same key twice; keys must be distinct")
    for key, item in value.items():
        _check_text(key, path)
        exotic |= not key.isascii()
        exotic |= _walk(item, (*path, key), depth + 1)
    return exotic


def _check_number(number: float, path: tuple[str | int, ...]) -> bool:
    if isinstance(number, float):
        if not math.isfinite(number):
            raise NotCanonicalError(_pointer(path), "number out of the range of a double; send it as a string")
        return True
    if not -SAFE_INTEGER_MAX <= number <= SAFE_INTEGER_MAX:
        raise NotCanonicalError(_pointer(path), f"integer beyond ±{SAFE_INTEGER_MAX}; send it as a string")
    return False


def _check_text(text: str, path: tuple[str | int, ...]) -> None:
    if text.isascii():
        return
    try:
        text.encode()
    except UnicodeEncodeError as error:
        raise NotCanonicalError(_pointer(path), "text holds a lone surrogate, which is not Unicode text") from error


def _pointer(path: tuple[str | int, ...]) -> str:
    """JSON pointer (RFC 6901) of a place, with what cannot be printed replaced."""
    steps = (str(step).replace("~", "~0").replace("/", "~1") for step in path)
    return "".join("/" + step for step in steps).encode(errors="replace").decode()


def _kind(value: Any) -> str:  # noqa: ANN401 - any JSON value
    names = {list: "an array", str: "a string", bool: "a boolean", type(None): "null"}
    return names.get(type(value), "a number")
