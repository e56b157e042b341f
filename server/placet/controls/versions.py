"""The version of a tenant's controls: one row for all its kill switches and autonomy overrides.

Each change of a control bumps the version in the same commit. Each decision requires the version that it read. So a
decision that used controls which have changed since is not committed.
"""

from __future__ import annotations

from typing import Final

from placet.kernel.state import PutIfVersion, Row, RowKey, StateTable

VERSION_ID: Final = "version"
CURRENT: Final = "current"

NO_TENANT: Final = ""
"""The tenant of controls that apply to all tenants."""


def version_key(tenant: str) -> RowKey:
    """Return the key of the version row. Tenant "" is for controls that belong to no tenant."""
    return RowKey(StateTable.CONTROL_VERSIONS, tenant, VERSION_ID)


def bump(row: Row | None, tenant: str, now_us: int) -> PutIfVersion:
    """Return the change that bumps the version. `row` is the version row as it was read, if any."""
    if row is None:
        row = Row(version_key(tenant), CURRENT, now_us, b"{}")
    return PutIfVersion(row)
