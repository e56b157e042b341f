"""Why Placet refuses what people and callers ask of its state. Ids never change meaning and are never reused."""

from __future__ import annotations

from typing import Final

NOTHING_WAS_ALLOWED: Final = "NOTHING_WAS_ALLOWED"

REFUSALS: Final = {
    NOTHING_WAS_ALLOWED: "the decision allowed nothing, so there is no outcome to report",
}
"""One sentence for people to each id."""
