"""Put a bundle into a folder in one step, so that no reader sees half of it."""

from __future__ import annotations

import os
import tempfile
from pathlib import Path


def put_bundle(path: Path, content: bytes) -> None:
    """Write the file durably, and replace an earlier one by a rename. Raises OSError."""
    handle, draft = tempfile.mkstemp(prefix=f".{path.name}.", dir=path.parent)
    try:
        with os.fdopen(handle, "wb") as file:
            file.write(content)
            file.flush()
            os.fsync(file.fileno())
            os.fchmod(file.fileno(), 0o644)
        Path(draft).replace(path)
    except BaseException:
        Path(draft).unlink(missing_ok=True)
        raise
    folder = os.open(path.parent, os.O_RDONLY)
    try:
        os.fsync(folder)
    finally:
        os.close(folder)
