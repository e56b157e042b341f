"""The deployment that the tests of a module share. Each test leaves it whole."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from tests.deployment.topology import deployed

if TYPE_CHECKING:
    from collections.abc import Iterator

    from tests.deployment.topology import Deployment


@pytest.fixture(scope="module")
def deployment(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Deployment]:
    with deployed(tmp_path_factory.mktemp("deployment")) as started:
        yield started
