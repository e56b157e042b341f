"""Type checks for the constructors of dataclasses, so that the traceback shows the line with the mistake."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any, Final

_TYPE_NAMES: Final = {str: "text", int: "an int", bool: "True or False", type(None): "None"}


def require_type(owner: object, kind: type | tuple[type, ...], *names: str, hint: str = "") -> None:
    """Raise TypeError if one of these attributes has another type. A bool does not count as an int."""
    for name in names:
        value: Any = getattr(owner, name)
        if not _has_type(value, kind):
            expected = " or ".join(map(_type_name, _types(kind)))
            description = f"{type(owner).__name__}.{name} must be {expected}, not {type(value).__name__}"
            raise TypeError(f"{description}: {hint}" if hint else description)


def require_each_type(owner: object, kind: type, *names: str) -> None:
    """Raise TypeError if one of these attributes is not a list of that type. An iterator is replaced by a tuple."""
    for name in names:
        values: Any = getattr(owner, name)
        path = f"{type(owner).__name__}.{name}"
        if isinstance(values, str | bytes) or not isinstance(values, Iterable):
            raise TypeError(f"{path} must be a list of {_type_name(kind)}, not {type(values).__name__}")
        if not isinstance(values, list | tuple):
            values = tuple(values)
            object.__setattr__(owner, name, values)
        for index, value in enumerate(values):
            if not isinstance(value, kind):
                raise TypeError(f"{path}[{index}] must be {_type_name(kind)}, not {type(value).__name__}")


def _types(kind: type | tuple[type, ...]) -> tuple[type, ...]:
    return kind if isinstance(kind, tuple) else (kind,)


def _type_name(kind: type) -> str:
    return _TYPE_NAMES.get(kind, kind.__name__)


def _has_type(value: object, kind: type | tuple[type, ...]) -> bool:
    if isinstance(value, bool):
        return bool in _types(kind)
    return isinstance(value, kind)
