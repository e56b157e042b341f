"""Checks the types of what callers give, where they give it: a mistake in a program shows in its own line."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any


def require(owner: object, kind: type | tuple[type, ...], *names: str, hint: str = "") -> None:
    """TypeError when one of these attributes is of another type. A bool is no int."""
    for name in names:
        value: Any = getattr(owner, name)
        if not _is(value, kind):
            wanted = " or ".join(_NAMES.get(each, each.__name__) for each in _kinds(kind))
            what = f"{type(owner).__name__}.{name} must be {wanted}, not {type(value).__name__}"
            raise TypeError(f"{what}: {hint}" if hint else what)


def require_each(owner: object, kind: type, *names: str) -> None:
    """TypeError when one of these attributes is no list of that type. One that can be read once becomes a tuple."""
    for name in names:
        values: Any = getattr(owner, name)
        where = f"{type(owner).__name__}.{name}"
        if isinstance(values, str | bytes) or not isinstance(values, Iterable):
            raise TypeError(f"{where} must be a list of {_NAMES.get(kind, kind.__name__)}, not {type(values).__name__}")
        if not isinstance(values, list | tuple):
            values = tuple(values)
            object.__setattr__(owner, name, values)
        for index, value in enumerate(values):
            if not isinstance(value, kind):
                wanted = _NAMES.get(kind, kind.__name__)
                raise TypeError(f"{where}[{index}] must be {wanted}, not {type(value).__name__}")


_NAMES = {str: "text", int: "an int", bool: "True or False", type(None): "None"}


def _kinds(kind: type | tuple[type, ...]) -> tuple[type, ...]:
    return kind if isinstance(kind, tuple) else (kind,)


def _is(value: object, kind: type | tuple[type, ...]) -> bool:
    if isinstance(value, bool):
        return bool in _kinds(kind)
    return isinstance(value, kind)
