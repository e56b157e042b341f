"""The code that the contributors' pages name exists."""

from __future__ import annotations

import importlib
import re
from typing import TYPE_CHECKING

import pytest

from tests.docs.tables import DOCS

if TYPE_CHECKING:
    from pathlib import Path

PAGES = [DOCS / "architecture.md", DOCS / "why.md", DOCS / "concepts/decision-flow.md"]
NAME = re.compile(r"`(placet(?:\.\w+)+)`")


def exists(name: str) -> bool:
    """Whether `name` is a module, or an attribute of one."""
    parts = name.split(".")
    for end in range(len(parts), 0, -1):
        try:
            found: object = importlib.import_module(".".join(parts[:end]))
        except ModuleNotFoundError:
            continue
        for part in parts[end:]:
            found = getattr(found, part, None)
        return found is not None
    return False


@pytest.mark.parametrize("page", PAGES, ids=lambda page: page.name)
def test_code_that_a_page_names_exists(page: Path) -> None:
    assert [name for name in NAME.findall(page.read_text()) if not exists(name)] == []
