"""What approvals need of a tenant's file."""

from __future__ import annotations

from typing import TYPE_CHECKING, Protocol

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence


class ApproverDirectory(Protocol):
    """Who may approve for one tenant."""

    @property
    def approver_groups(self) -> Mapping[str, Sequence[str]]:
        """Role -> the people who have it; empty when the file names none."""
        ...
