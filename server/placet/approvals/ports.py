"""The part of a tenant's file that approvals need, as a protocol."""

from __future__ import annotations

from typing import TYPE_CHECKING, Protocol

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence


class ApproverDirectory(Protocol):
    """The people who may approve for one tenant."""

    @property
    def approver_groups(self) -> Mapping[str, Sequence[str]]:
        """Role -> the people who have it; empty when the file has no groups."""
        ...
