"""Warnings about attributes that have a new name."""

from __future__ import annotations

import warnings


def warn_renamed(owner: object, deprecated: str, current: str) -> None:
    """Warn the code that read the attribute `deprecated` of `owner` to read `current`."""
    name = type(owner).__name__
    message = f"{name}.{deprecated} is deprecated: use {name}.{current}"
    warnings.warn(message, DeprecationWarning, stacklevel=3)  # 3: the caller of the property
