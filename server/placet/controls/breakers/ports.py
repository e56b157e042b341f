"""The part of a tenant's file that circuit breakers need, as a protocol."""

from __future__ import annotations

from typing import TYPE_CHECKING, Protocol

if TYPE_CHECKING:
    from placet.controls.breakers.model import BreakerSpec


class BreakerSettings(Protocol):
    """The settings of one tenant's circuit breakers."""

    @property
    def breaker(self) -> BreakerSpec | None:
        """The settings; None when the tenant has no circuit breakers."""
        ...
