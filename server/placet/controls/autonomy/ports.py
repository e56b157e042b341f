"""What levels of autonomy need of a tenant's file."""

from __future__ import annotations

from typing import TYPE_CHECKING, Protocol

if TYPE_CHECKING:
    from placet.controls.autonomy.model import Autonomy


class AutonomyDefaults(Protocol):
    """The levels of one tenant's agents before people set others."""

    @property
    def autonomy_levels(self) -> Autonomy:
        """The levels of the file."""
        ...
