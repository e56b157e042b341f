"""The folder in which several processes of one server collect their metrics."""

from __future__ import annotations

import contextlib
import os
import shutil
import sys
from pathlib import Path
from typing import TYPE_CHECKING, Final

if TYPE_CHECKING:
    from collections.abc import Iterator

FOLDER_VARIABLE: Final = "PROMETHEUS_MULTIPROC_DIR"
"""Names the folder. prometheus_client reads it once, when it is imported."""


@contextlib.contextmanager
def metrics_folder(parent: Path) -> Iterator[Path]:
    """Create a private folder below `parent` and name it in FOLDER_VARIABLE. Removes it at the end of the block.

    Also removes the folders of processes that were killed. Call it before prometheus_client is imported.
    """
    if "prometheus_client" in sys.modules:
        raise AssertionError("the folder is named before prometheus_client is imported")
    parent.mkdir(mode=0o700, parents=True, exist_ok=True)
    for left in parent.iterdir():
        if not Path("/proc", left.name).exists():
            shutil.rmtree(left, ignore_errors=True)
    folder = parent / str(os.getpid())
    shutil.rmtree(folder, ignore_errors=True)  # of an earlier process with the same id, e.g. in a container
    folder.mkdir(mode=0o700)
    os.environ[FOLDER_VARIABLE] = str(folder)
    try:
        yield folder
    finally:
        del os.environ[FOLDER_VARIABLE]
        shutil.rmtree(folder, ignore_errors=True)
