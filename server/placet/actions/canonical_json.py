"""Strict parsing and canonical JSON (RFC 8785) of callers' objects. Parsed once, so policy sees exactly what runs.

Source: RFC 8785 (JCS), RFC 7493 (I-JSON).
"""

from __future__ import annotations

import hashlib
import json
import math
from typing import TYPE_CHECKING, Any, Final, TypeAlias

import orjson

from placet.kernel.limits import PARAMS_BYTES_MAX, PARAMS_DEPTH_MAX, SAFE_INTEGER_MAX
from placet.privacy.redaction import redact_text

if TYPE_CHECKING:
    from collections.abc import Callable

    from placet.kernel.steps import Steps

_Place: TypeAlias = "tuple[_Place, str | int] | None"
"""A place in a value: the enclosing place, and the key or index within it. None for the whole value."""
_STEP_CHARS_MAX: Final = 64
"""Characters of a key that an error quotes: enough to find it, too few to leak a secret."""
_BMP_END: Final = "\uffff"
"""Up to this character UTF-8 and UTF-16 sort alike."""
_PLAIN_POWER_MAX: Final = 20
_PLAIN_POWER_MIN: Final = -6
"""ECMAScript writes numbers beyond these two powers of ten with an exponent."""
_TOO_LARGE: Final = f"integer beyond ±{SAFE_INTEGER_MAX}; send it as a string"


class NotCanonicalError(ValueError):
    """The text is not a JSON object that Placet accepts.

    `place` is a JSON pointer, empty for the whole text; `what` says what is wrong.
    """

    def __init__(self, place: str, what: str) -> None:
        self.place = place
        self.what = what
        super().__init__(f"at {place}: {what}" if place else what)


class _Duplicated(dict[str, Any]):
    """An object with a duplicate key. The decoder does not know the place, so the later walk reports it."""


def _object(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    members = dict(pairs)
    return members if len(members) == len(pairs) else _Duplicated(members)


_DECODER: Final = json.JSONDecoder(object_pairs_hook=_object)


def parse_object(text: str) -> dict[str, Any]:
    """Parse the text of a JSON object strictly. `text` is at most PARAMS_BYTES_MAX bytes of UTF-8.

    Raises NotCanonicalError, which names the place of what is not I-JSON. Numbers that are not finite pass; `canonical`
    rejects them with their place.
    """
    try:
        size = len(text) if text.isascii() else len(text.encode())
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
    """Return the RFC 8785 bytes of a parsed object.

    Raises NotCanonicalError, which names the place of what has no canonical form.
    """
    return _written(value, exotic=_check_object(value, None, 1))


def canonical_text(text: str) -> bytes:
    """Return the RFC 8785 bytes of the text of a JSON object. `text` is at most PARAMS_BYTES_MAX bytes of UTF-8.

    Raises NotCanonicalError. The same as `canonical(parse_object(text))`; ordinary texts take 2 us instead of 7.
    """
    written = _without_duplicates(text)
    return canonical(parse_object(text)) if written is None else written


def _without_duplicates(text: str) -> bytes | None:
    """Return the canonical bytes of a text of integers and texts without duplicate keys; None when that is not certain.

    orjson keeps the last of duplicate members and does not tell. But then the canonical form has fewer characters than
    the text, blanks aside: nothing in a text of integers, literals and strings becomes longer in its canonical form.
    """
    try:
        value = orjson.loads(text)
        if type(value) is not dict or _check_object(value, None, 1):
            return None
    except (orjson.JSONDecodeError, NotCanonicalError):  # `parse_object` and `canonical` say what is wrong, and where
        return None
    written = orjson.dumps(value, option=orjson.OPT_SORT_KEYS)
    blanks = text.count(" ") + text.count("\n") + text.count("\t") + text.count("\r")
    size = len(text) if text.isascii() else len(text.encode())
    return written if size - blanks == len(written) - written.count(b" ") else None


def canonicalising(value: dict[str, Any]) -> Steps[bytes]:
    """As `canonical`, in steps of some milliseconds for the largest object."""
    exotic = _check_object(value, None, 1)
    yield
    if exotic:
        value = _rewritten(value)
        yield
        return orjson.dumps(value)
    return _written(value, exotic=False)


def _written(value: dict[str, Any], *, exotic: bool) -> bytes:
    return orjson.dumps(_rewritten(value)) if exotic else orjson.dumps(value, option=orjson.OPT_SORT_KEYS)


def digest(canonical_bytes: bytes) -> str:
    """Return the SHA-256 in lower-case hex."""
    return hashlib.sha256(canonical_bytes).hexdigest()


def _check_object(members: dict[str, Any], place: _Place, depth: int) -> bool:
    """Check an object. True when orjson's output is not canonical as it is: with floats, or keys beyond the BMP."""
    if depth > PARAMS_DEPTH_MAX:
        raise NotCanonicalError(_pointer(place, 8), f"is nested deeper than {PARAMS_DEPTH_MAX} levels")
    if type(members) is _Duplicated:
        raise NotCanonicalError(_pointer(place), "an object has the same key twice; keys must be distinct")
    exotic = False
    for key, item in members.items():
        if not key.isascii():
            _check_text(key, place)
            exotic |= max(key) > _BMP_END
        kind = type(item)
        if kind is int:
            if not -SAFE_INTEGER_MAX <= item <= SAFE_INTEGER_MAX:
                raise NotCanonicalError(_pointer((place, key)), _TOO_LARGE)
        elif kind in _NESTED:
            exotic |= _NESTED[kind](item, (place, key), depth + 1)
    return exotic


def _check_list(items: list[Any], place: _Place, depth: int) -> bool:
    """As `_check_object`, for an array."""
    if depth > PARAMS_DEPTH_MAX:
        raise NotCanonicalError(_pointer(place, 8), f"is nested deeper than {PARAMS_DEPTH_MAX} levels")
    exotic = False
    for index, item in enumerate(items):
        kind = type(item)
        if kind is int:
            if not -SAFE_INTEGER_MAX <= item <= SAFE_INTEGER_MAX:
                raise NotCanonicalError(_pointer((place, index)), _TOO_LARGE)
        elif kind in _NESTED:
            exotic |= _NESTED[kind](item, (place, index), depth + 1)
    return exotic


def _not_finite(number: float) -> str:
    if math.isnan(number):
        return "NaN is not JSON; leave the member out or send null"
    name = "Infinity" if number > 0 else "-Infinity"
    return f"{name} is not JSON: the number is out of the range of a double; send it as a string"


def _check_float(number: float, place: _Place, _depth: int = 0) -> bool:
    if not math.isfinite(number):
        raise NotCanonicalError(_pointer(place), _not_finite(number))
    return True


def _check_text(text: str, place: _Place, _depth: int = 0) -> bool:
    if not text.isascii():
        try:
            text.encode()
        except UnicodeEncodeError as error:
            raise NotCanonicalError(
                _pointer(place), "text holds a lone surrogate, which is not Unicode text"
            ) from error
    return False


_NESTED: Final[dict[type, Callable[[Any, _Place, int], bool]]] = {
    dict: _check_object,
    _Duplicated: _check_object,
    list: _check_list,
    float: _check_float,
    str: _check_text,
}
"""The checks by type. Other types are skipped without a call, because calls are most of the cost."""


def _rewritten(value: Any) -> Any:  # noqa: ANN401 - any JSON value
    """Return the value so that orjson writes it canonically: keys in UTF-16 order, floats as ECMAScript writes them."""
    kind = type(value)
    if kind is dict:
        keys = sorted(value, key=None if all(map(str.isascii, value)) else _utf16)
        return {key: _rewritten(item) if type(item := value[key]) in _REWRITTEN else item for key in keys}
    if kind is list:
        return [_rewritten(item) if type(item) in _REWRITTEN else item for item in value]
    return _number(value)


_REWRITTEN: Final = frozenset({dict, list, float})


def _utf16(key: str) -> bytes:
    return key.encode("utf-16-be")


def _number(number: float) -> float | orjson.Fragment:
    """Return a float as ECMAScript's Number::toString writes it (ECMA-262, 6.1.6.1.20).

    Python's `repr` gives the shortest digits, as ECMAScript requires.
    """
    if number.is_integer() and -SAFE_INTEGER_MAX <= number <= SAFE_INTEGER_MAX:
        return int(number)
    text = repr(number)
    if "e" not in text:
        return number if not text.endswith(".0") else orjson.Fragment(text[:-2])
    mantissa, _, exponent = text.partition("e")
    power = int(exponent)
    sign, digits = ("-", mantissa[1:]) if mantissa.startswith("-") else ("", mantissa)
    digits = digits.replace(".", "")
    if 0 < power <= _PLAIN_POWER_MAX:
        return orjson.Fragment(f"{sign}{digits.ljust(power + 1, '0')}")
    if _PLAIN_POWER_MIN <= power < 0:
        return orjson.Fragment(f"{sign}0.{digits.rjust(len(digits) - power - 1, '0')}")
    point = f"{digits[0]}.{digits[1:]}" if len(digits) > 1 else digits
    return orjson.Fragment(f"{sign}{point}e{power:+d}")


def _pointer(place: _Place, steps_max: int = PARAMS_DEPTH_MAX) -> str:
    """Return the JSON pointer (RFC 6901) of a place. Long keys are cut, and sensitive values in keys are redacted."""
    steps: list[str] = []
    while place is not None:
        place, step = place
        name = redact_text(step[:_STEP_CHARS_MAX]) if isinstance(step, str) else str(step)
        steps.append(name.replace("~", "~0").replace("/", "~1"))
    return "".join("/" + step for step in steps[::-1][:steps_max]).encode(errors="replace").decode()


def _kind(value: Any) -> str:  # noqa: ANN401 - any JSON value
    names = {list: "an array", str: "a string", bool: "a boolean", type(None): "null"}
    return names.get(type(value), "a number")
