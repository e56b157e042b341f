"""What kill switches need of a tenant's file."""

from __future__ import annotations

from typing import TYPE_CHECKING, Protocol

if TYPE_CHECKING:
    from collections.abc import Collection


class ToolCatalogue(Protocol):
    """The tools of one tenant."""

    @property
    def known_tools(self) -> Collection[str]:
        """The tools that the file lists."""
        ...


class SeenTenants(Protocol):
    """What is held in memory of the tenants that were decided for."""

    def tenants(self) -> Collection[str]:
        """Tenants that were decided for since the start."""
        ...
