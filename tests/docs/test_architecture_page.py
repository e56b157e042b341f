"""docs/architecture.md lists every package with the line of its docstring, and draws the layers of the contract."""

from __future__ import annotations

import ast
import re
import tomllib

from tests.docs.blocks import ROOT
from tests.docs.tables import DOCS, by_name

PAGE = DOCS / "architecture.md"
PACKAGES = ROOT / "server/placet"
UNLISTED = {"", "v1", "storage/migrations", "storage/migrations/versions"}


def docstrings() -> dict[str, str]:
    """Package -> the first line of its docstring."""
    found = {}
    for init in PACKAGES.rglob("__init__.py"):
        name = init.parent.relative_to(PACKAGES).as_posix().removeprefix(".")
        if name not in UNLISTED:
            found[name] = str(ast.get_docstring(ast.parse(init.read_text()))).splitlines()[0]
    return found


def test_every_package_has_its_row_and_its_sentence() -> None:
    assert {name: row[0] for name, row in by_name(PAGE, "Packages").items()} == docstrings()


def test_the_picture_draws_the_layers_of_the_contract() -> None:
    contracts = tomllib.loads((ROOT / "pyproject.toml").read_text())["tool"]["importlinter"]["contracts"]
    [layers] = [contract["layers"] for contract in contracts if contract["name"] == "Imports go inward"]
    picture = PAGE.read_text().split("```")[1].strip("\n").partition("\n\n")[0]
    assert [re.split(r"\s{2,}", line.strip())[0] for line in picture.splitlines()] == layers
