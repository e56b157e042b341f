"""Fixtures of the tests that inject faults."""

from __future__ import annotations

import contextlib
import subprocess
from typing import TYPE_CHECKING, Any

import pytest

from tests.faults.distribution import Published
from tests.faults.serving import Server, policy_copy, serving
from tests.storage.mounting import mount

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator
    from pathlib import Path

PATIENT_MS = 5_000
"""A time-out of OPA that only a frozen OPA exceeds: load on the machine must not look like a fault."""


@pytest.fixture
def rego_dir(tmp_path: Path) -> Path:
    """A copy of the shipped policies that the test may change."""
    return policy_copy(tmp_path)


@pytest.fixture
def serve(tmp_path: Path, rego_dir: Path) -> Iterator[Callable[..., Server]]:
    """A function that starts a server with settings, on the same data directory unless another is given."""
    with contextlib.ExitStack() as stack:

        def start(**flags: Any) -> Server:
            return stack.enter_context(serving(tmp_path, rego_dir, **{"opa_timeout_ms": PATIENT_MS, **flags}))

        yield start


@pytest.fixture
def server(serve: Callable[..., Server]) -> Server:
    """A server with a time-out for busy machines."""
    return serve()


@pytest.fixture
def published(tmp_path: Path) -> Iterator[Published]:
    """A bundle server, with the files of its publisher."""
    with Published(tmp_path) as it:
        yield it


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
