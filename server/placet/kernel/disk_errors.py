"""Remedies for files that cannot be written."""

from __future__ import annotations

import errno
from typing import Final

NO_ROOM: Final = frozenset({errno.ENOSPC, errno.EDQUOT})
"""Error numbers of a full disk and of an exceeded quota."""


def remedy_for(error: OSError, otherwise: str) -> str:
    """Return the remedy for a failed write: make room when the disk or a quota is full, else `otherwise`."""
    return "make room on its disk" if error.errno in NO_ROOM else otherwise
