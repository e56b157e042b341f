"""Fixtures of the races: replicas on PostgreSQL or one server on SQLite, and figures that are printed after the run."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from tests.races.fleet import Fleet
from tests.races.tenant import races_rego

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from tests.postgres import Postgres

FIGURES = pytest.StashKey[list[str]]()


@pytest.fixture(scope="session")
def pair(tmp_path_factory: pytest.TempPathFactory, postgres_server: Postgres) -> Iterator[Fleet]:
    """Two replicas on one database, for tests that do not stop them."""
    url, folder = postgres_server.url(postgres_server.new_database()), tmp_path_factory.mktemp("pair")
    with Fleet(folder, races_rego(folder), {"a": url, "b": url}) as made:
        yield made


@pytest.fixture
def figure(request: pytest.FixtureRequest) -> Callable[[str], None]:
    """A function that prints a measurement after the run."""
    return lambda text: request.config.stash.setdefault(FIGURES, []).append(f"{request.node.name}: {text}")


def pytest_terminal_summary(terminalreporter: pytest.TerminalReporter, config: pytest.Config) -> None:
    for line in config.stash.get(FIGURES, []):
        terminalreporter.write_line(line)
