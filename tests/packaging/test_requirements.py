"""The server asks for what it imports, and says why where it asks for more."""

from __future__ import annotations

import ast
import tomllib
from importlib import metadata
from typing import TYPE_CHECKING, Final

from packaging.requirements import Requirement
from packaging.utils import canonicalize_name

from tests.packaging.environments import ROOT

if TYPE_CHECKING:
    from collections.abc import Iterator

NOT_IMPORTED: Final = {
    "psycopg-binary": "psycopg itself imports it, so that libpq need not be there",
    "tzdata": "time zones of budgets, where the system has none",
}
"""Distributions that no module of the server imports, and what they are there for."""


def asked() -> Iterator[str]:
    """Every distribution that the project asks for by itself or by an extra of another."""
    project = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]
    for requirement in map(Requirement, project["dependencies"]):
        yield canonicalize_name(requirement.name)
        for each in map(Requirement, metadata.requires(requirement.name) or ()):
            wanted = {extra for extra in requirement.extras if each.marker and each.marker.evaluate({"extra": extra})}
            if wanted and each.marker is not None and not each.marker.evaluate({"extra": ""}):
                yield canonicalize_name(each.name)


def imported() -> set[str]:
    """Every distribution that a module of the server imports from, as far as a name tells."""
    names: set[str] = set()
    for file in (ROOT / "server").rglob("*.py"):
        for node in ast.walk(ast.parse(file.read_bytes())):
            if isinstance(node, ast.Import):
                names |= {alias.name.partition(".")[0] for alias in node.names}
            elif isinstance(node, ast.ImportFrom) and node.module is not None:
                names.add(node.module.partition(".")[0])
    found = metadata.packages_distributions()
    return {canonicalize_name(each) for name in names for each in found.get(name, ())}


def test_what_is_asked_for_is_imported_or_has_its_reason() -> None:
    assert set(asked()) - imported() == set(NOT_IMPORTED)
