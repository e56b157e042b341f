"""What `placet` ends with. Meanings never change."""

from __future__ import annotations

from typing import Final

OK: Final = 0
CHECK_FAILED: Final = 1
"""Checked, and found wanting; or Placet refuses what was asked, or has no such thing."""
USAGE: Final = 2
"""Wrong usage or configuration."""
DENIED: Final = 3
NEEDS_APPROVAL: Final = 4
NO_DECISION: Final = 5
"""Could not decide, record or connect."""
INTERRUPTED: Final = 130
"""Ctrl-C, as shells count it."""
BROKEN_PIPE: Final = 141
"""Whoever read stdout had enough, as shells count SIGPIPE. Never 0: it was not told whether the action is allowed."""
