"""docs/reference/access.md has the table of access as the server checks it, and its roles."""

from __future__ import annotations

from typing import TYPE_CHECKING

from placet.identity.model import MAY_HOLD_EVERY_TENANT, Role, UserAssertion
from tests.docs.tables import DOCS, by_name
from tests.support.deploy_tools import load_tool

if TYPE_CHECKING:
    import pytest

PAGE = DOCS / "reference/access.md"


def test_the_page_has_the_table_of_the_server(monkeypatch: pytest.MonkeyPatch) -> None:
    written = load_tool("access_page", monkeypatch).page()
    assert PAGE.read_text() == written, "run `python deploy/tools/access_page.py`"


def test_every_role_has_its_row_and_no_other() -> None:
    tenants = {role: "named, or `*`" if role in MAY_HOLD_EVERY_TENANT else "named" for role in Role}
    assert {name: row[1] for name, row in by_name(PAGE, "Roles").items()} == tenants


def test_every_way_to_name_a_user_has_its_row_and_no_other() -> None:
    assert by_name(PAGE, "Users and agents").keys() == set(UserAssertion)
