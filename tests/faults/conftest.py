"""Fixtures of the tests that break things."""

from __future__ import annotations

import contextlib
import subprocess
from typing import TYPE_CHECKING, Any

import pytest

from tests.faults.serving import Server, policy_copy, serving
from tests.storage.mounting import mount

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator
    from pathlib import Path

PATIENT_MS = 5_000
"""A time-out of OPA that only a frozen one exceeds: a busy machine must not look like a fault."""


@pytest.fixture
def rego_dir(tmp_path: Path) -> Path:
    """A copy of the shipped policies for the test to change."""
    return policy_copy(tmp_path)


@pytest.fixture
def serve(tmp_path: Path, rego_dir: Path) -> Iterator[Callable[..., Server]]:
    """Start servers by settings; the same data directory each time unless another is named."""
    with contextlib.ExitStack() as stack:

        def start(**flags: Any) -> Server:
            return stack.enter_context(serving(tmp_path, rego_dir, **{"opa_timeout_ms": PATIENT_MS, **flags}))

        yield start


@pytest.fixture
def server(serve: Callable[..., Server]) -> Server:
    """A server that has time for a busy machine."""
    return serve()


@pytest.fixture
def small_disk(tmp_path: Path) -> Iterator[Path]:
    """A file system of a few megabytes."""
    folder = tmp_path / "small"
    folder.mkdir()
    mount("-t", "tmpfs", "-o", "size=8m", "placet-test", folder)
    try:
        yield folder
    finally:
        subprocess.run(["umount", "--lazy", folder], check=True)
