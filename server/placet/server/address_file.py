"""The file in the data directory that names the address of a running server."""

from __future__ import annotations

import os
from typing import TYPE_CHECKING

import orjson

from placet.kernel.disk_errors import remedy_for
from placet.kernel.errors import ConfigurationError

if TYPE_CHECKING:
    import contextlib
    from pathlib import Path

    from placet.server.observer import ServerObserver


def write_address_file(stack: contextlib.AsyncExitStack, path: Path, address: str, observer: ServerObserver) -> None:
    """Write ``{"address", "pid"}`` atomically, and remove the file when the stack closes.

    Raises ConfigurationError when the file cannot be written.
    """
    draft = path.with_suffix(".new")
    try:
        draft.write_bytes(orjson.dumps({"address": address, "pid": os.getpid()}))
        draft.replace(path)
    except OSError as error:
        remedy = remedy_for(error, "remove what is there, and let Placet's user own its folder")
        raise ConfigurationError(f"{path}: cannot be written ({error.strerror}); {remedy}") from error
    stack.callback(_remove, path, observer)


def _remove(path: Path, observer: ServerObserver) -> None:
    """Remove the file. A failure is logged and does not fail the stop."""
    try:
        path.unlink(missing_ok=True)
    except OSError as error:
        observer.error(error)
