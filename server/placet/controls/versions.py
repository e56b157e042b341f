"""The version of all kill switches and levels of autonomy of a tenant, or of those of none.

Each change of one of them moves it in the same commit; each decision expects it to be what it was when it looked. So
what is decided by switches that were changed meanwhile is not committed.
"""

from __future__ import annotations

from typing import Final

from placet.kernel.state import PutIfVersion, Row, RowKey, StateTable

VERSION_ID: Final = "version"
CURRENT: Final = "current"

NO_TENANT: Final = ""
"""The tenant of what holds for all of them."""


def version_key(tenant: str) -> RowKey:
    """Where the version of the tenant's controls stands; "" for those that belong to no tenant."""
    return RowKey(StateTable.CONTROL_VERSIONS, tenant, VERSION_ID)


def bump(row: Row | None, tenant: str, now_us: int) -> PutIfVersion:
    """The change that moves it; `row` is it as read, None when there is none yet."""
    if row is None:
        row = Row(version_key(tenant), CURRENT, now_us, b"{}")
    return PutIfVersion(row)
