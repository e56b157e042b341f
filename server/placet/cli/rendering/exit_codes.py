"""Exit codes of `placet`. Their meanings never change."""

from __future__ import annotations

from typing import Final

OK: Final = 0
CHECK_FAILED: Final = 1
"""A check found a problem; or Placet refused the request, or does not have the id."""
USAGE: Final = 2
"""Wrong usage or configuration."""
DENIED: Final = 3
NEEDS_APPROVAL: Final = 4
NO_DECISION: Final = 5
"""Placet could not decide, record or be reached."""
INTERRUPTED: Final = 130
"""Ctrl-C, as shells report it."""
BROKEN_PIPE: Final = 141
"""The reader closed stdout; the code that shells report for SIGPIPE. Not 0, which would mean an allow."""
