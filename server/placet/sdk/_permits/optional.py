"""Error for packages that are not installed, which names the extra that installs them."""

from __future__ import annotations

import contextlib
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Iterator


@contextlib.contextmanager
def require_extra() -> Iterator[None]:
    """Turn a ModuleNotFoundError of the block into an ImportError that names the extra ``permits``."""
    try:
        yield
    except ModuleNotFoundError as error:
        raise ImportError(
            f"verify_permit needs {error.name}, which is not installed. Run: pip install 'placet-sdk[permits]'"
        ) from error
