"""Types of fields that several parts of the settings have."""

from __future__ import annotations

from typing import Annotated

from pydantic import BeforeValidator


def _reject_boolean(value: object) -> object:
    if isinstance(value, bool):
        raise ValueError("must be a whole number")  # noqa: TRY004 - pydantic turns ValueError into its own
    return value


Count = Annotated[int, BeforeValidator(_reject_boolean)]
"""A whole number."""
