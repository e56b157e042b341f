"""The tenants' files that belong to the served policy, as a capability sees them: by the part of a file it needs."""

from __future__ import annotations

from typing import TYPE_CHECKING, Protocol, TypeVar

if TYPE_CHECKING:
    from collections.abc import Mapping

File_co = TypeVar("File_co", covariant=True)


class TenantFiles(Protocol[File_co]):
    """One revision's files."""

    @property
    def agent_policies(self) -> Mapping[str, File_co]:
        """Tenant -> its file."""
        ...


class CurrentFiles(Protocol[File_co]):
    """Where the files come from that belong to the served revision."""

    def current(self) -> TenantFiles[File_co] | None:
        """The files; None before a policy was loaded."""
        ...


def files_of(source: CurrentFiles[File_co]) -> Mapping[str, File_co]:
    """Tenant -> its file; empty before a policy was loaded."""
    served = source.current()
    return served.agent_policies if served is not None else {}
