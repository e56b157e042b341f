"""Access tokens: random credentials that Placet creates and stores as a hash."""

from __future__ import annotations

from typing import Final

TOKEN_PREFIX: Final = "placet_"  # noqa: S105 - secret scanners find tokens by it
