"""What is not installed is named with the extra that brings it."""

from __future__ import annotations

import contextlib
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Iterator


@contextlib.contextmanager
def require_extra() -> Iterator[None]:
    """ImportError that names the extra, when what permits need is not installed."""
    try:
        yield
    except ModuleNotFoundError as error:
        raise ImportError(
            f"permits are verified with {error.name}, which is not installed; run: pip install 'placet-sdk[permits]'"
        ) from error
