"""Ports to the tenants' files of the served policy.

A capability states the part of a file that it needs as a protocol and reads the files through these ports. So it does
not import the package `tenants`.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Protocol, TypeVar

if TYPE_CHECKING:
    from collections.abc import Mapping

File_co = TypeVar("File_co", covariant=True)


class TenantFiles(Protocol[File_co]):
    """The tenants' files of one policy revision."""

    @property
    def agent_policies(self) -> Mapping[str, File_co]:
        """The files by tenant."""
        ...


class CurrentFiles(Protocol[File_co]):
    """Source of the tenants' files of the served revision."""

    def current(self) -> TenantFiles[File_co] | None:
        """Return the files, or None before a policy was loaded."""
        ...


def files_of(source: CurrentFiles[File_co]) -> Mapping[str, File_co]:
    """Return the served files by tenant; empty before a policy was loaded."""
    served = source.current()
    return served.agent_policies if served is not None else {}
