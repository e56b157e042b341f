"""Mounts small file systems, for tests of full and read-only disks."""

from __future__ import annotations

import subprocess
from typing import TYPE_CHECKING

import pytest

if TYPE_CHECKING:
    from pathlib import Path


def mount(*arguments: str | Path) -> None:
    done = subprocess.run(["mount", *arguments], capture_output=True, text=True, check=False)
    if done.returncode:
        pytest.fail(f"cannot mount a small file system: {done.stderr.strip()}. Remedy: run the tests as root")
