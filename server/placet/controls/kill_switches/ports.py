"""What kill switches need of tenants' files and of the cached controls, as protocols."""

from __future__ import annotations

from typing import TYPE_CHECKING, Protocol

if TYPE_CHECKING:
    from collections.abc import Collection


class ToolCatalogue(Protocol):
    """The tools of one tenant."""

    @property
    def known_tools(self) -> Collection[str]:
        """The tools in the tenant's file."""
        ...


class SeenTenants(Protocol):
    """The tenants that this server has decided for."""

    def tenants(self) -> Collection[str]:
        """Return the tenants that were decided for since the start."""
        ...
