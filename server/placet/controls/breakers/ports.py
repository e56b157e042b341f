"""What circuit breakers need of a tenant's file."""

from __future__ import annotations

from typing import TYPE_CHECKING, Protocol

if TYPE_CHECKING:
    from placet.controls.breakers.model import BreakerSpec


class BreakerSettings(Protocol):
    """The circuit breakers of one tenant."""

    @property
    def breaker(self) -> BreakerSpec | None:
        """What opens them; None when the tenant has none."""
        ...
