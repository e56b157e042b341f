"""The part of a tenant's file that outcomes need, as a protocol."""

from __future__ import annotations

from typing import TYPE_CHECKING, Protocol

if TYPE_CHECKING:
    from placet.budgets.give_backs import GiveBackBounds
    from placet.controls.breakers.model import BreakerSpec


class OutcomeSettings(Protocol):
    """The settings of one tenant's outcomes."""

    @property
    def breaker(self) -> BreakerSpec | None:
        """The settings of circuit breakers; None when the tenant has none."""
        ...

    @property
    def executors_report(self) -> bool:
        """Whether only executors and the holders of permits may report."""
        ...

    @property
    def give_backs(self) -> GiveBackBounds | None:
        """The bounds of give-backs; None for those of the server."""
        ...
