"""Fixtures of the tests that break things."""

from __future__ import annotations

import contextlib
from typing import TYPE_CHECKING, Any

import pytest

from tests.faults.serving import Server, policy_copy, serving

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator
    from pathlib import Path


@pytest.fixture
def rego_dir(tmp_path: Path) -> Path:
    """A copy of the shipped policies for the test to change."""
    return policy_copy(tmp_path)


@pytest.fixture
def serve(tmp_path: Path, rego_dir: Path) -> Iterator[Callable[..., Server]]:
    """Start servers by settings; the same data directory each time unless another is named."""
    with contextlib.ExitStack() as stack:

        def start(**flags: Any) -> Server:
            return stack.enter_context(serving(tmp_path, rego_dir, **flags))

        yield start


@pytest.fixture
def server(serve: Callable[..., Server]) -> Server:
    """A server with the default settings."""
    return serve()
