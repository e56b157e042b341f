"""What to do about a file that cannot be written."""

from __future__ import annotations

import errno
from typing import Final

NO_ROOM: Final = frozenset({errno.ENOSPC, errno.EDQUOT})


def remedy_for(error: OSError, otherwise: str) -> str:
    """The remedy: make room where the disk is full or its files are used up, else `otherwise`."""
    return "make room on its disk" if error.errno in NO_ROOM else otherwise
