"""The part of a tenant's file that autonomy needs, as a protocol."""

from __future__ import annotations

from typing import TYPE_CHECKING, Protocol

if TYPE_CHECKING:
    from placet.controls.autonomy.model import Autonomy


class AutonomyDefaults(Protocol):
    """The autonomy of one tenant without overrides."""

    @property
    def autonomy_levels(self) -> Autonomy:
        """The autonomy in the file."""
        ...
