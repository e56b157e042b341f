"""A server that serves the tenants of all scenarios."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from tests.scenarios.files import write_tenants
from tests.serving import serving, settings

if TYPE_CHECKING:
    from collections.abc import Iterator

    from tests.serving import Server


@pytest.fixture(scope="session")
def scenario_server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Server]:
    chosen = settings(tmp_path_factory.mktemp("scenarios"))
    write_tenants(chosen.rego_dir)
    with serving(chosen) as server:
        yield server
