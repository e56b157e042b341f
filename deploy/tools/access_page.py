"""Writes the table of calls and roles into docs/reference/access.md, from the table that the server checks."""

from __future__ import annotations

import re
import sys
from pathlib import Path
from typing import Final

ROOT: Final = Path(__file__).parents[2]
sys.path.insert(0, str(ROOT / "server"))

from placet.identity.access import ACCESS, Access, TenantUse  # noqa: E402 - after the path is set
from placet.identity.model import Role  # noqa: E402 - likewise

PAGE: Final = ROOT / "docs/reference/access.md"
_TABLE: Final = re.compile(r"^\| call \|.*?\n(?!\|)", re.MULTILINE | re.DOTALL)
_TENANTS: Final = {
    TenantUse.REQUIRED: "required",
    TenantUse.OPTIONAL: "optional",
    TenantUse.EVERY: "every",
    TenantUse.NONE: "none",
}


def table() -> str:
    """Return the table."""
    lines = ["| call | roles | tenant | person |", "| --- | --- | --- | --- |"]
    lines += [_row(name.replace(".", "/"), access) for name, access in ACCESS.items()]
    return "\n".join(lines) + "\n"


def _row(call: str, access: Access) -> str:
    roles = ", ".join(f"`{role}`" for role in Role if role in access.roles)
    if access.roles == set(Role):
        roles = "every role"
    person = f"`{access.person}`" if access.person else ""
    return f"| `{call}` | {roles} | {_TENANTS[access.tenant]} | {person} |".replace("|  |", "| |")


def page() -> str:
    """Return the page with the table as it should be. ValueError if the page has no table."""
    text = PAGE.read_text()
    if not _TABLE.search(text):
        raise ValueError(f"{PAGE}: has no table of calls")
    return _TABLE.sub(lambda _: table(), text, count=1)


if __name__ == "__main__":
    PAGE.write_text(page())
