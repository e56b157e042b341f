"""The file in the data directory that names the address of a running server, and how it was set up."""

from __future__ import annotations

import os
from typing import TYPE_CHECKING

import orjson

from placet.kernel.disk_errors import remedy_for
from placet.kernel.errors import ConfigurationError

if TYPE_CHECKING:
    import contextlib
    from collections.abc import Mapping
    from pathlib import Path

    from placet.server.observer import ServerObserver


def write_address_file(
    stack: contextlib.AsyncExitStack, path: Path, address: str, observer: ServerObserver, **more: object
) -> None:
    """Write ``{"address", "pid"}`` and `more` atomically, and remove the file when the stack closes.

    Raises ConfigurationError when the file cannot be written.
    """
    try:
        _write(path, address, more)
    except OSError as error:
        remedy = remedy_for(error, "remove what is there, and let Placet's user own its folder")
        raise ConfigurationError(f"{path}: cannot be written ({error.strerror}); {remedy}") from error
    stack.callback(_remove, path, observer)


def rewrite_address_file(path: Path, address: str, observer: ServerObserver, **more: object) -> None:
    """Replace `more` in the file. A failure is logged: the file is for people and `placet doctor`."""
    try:
        _write(path, address, more)
    except OSError as error:
        observer.error(error)


def _write(path: Path, address: str, more: Mapping[str, object]) -> None:
    draft = path.with_suffix(".new")
    draft.write_bytes(orjson.dumps({"address": address, "pid": os.getpid(), **more}))
    draft.replace(path)


def _remove(path: Path, observer: ServerObserver) -> None:
    """Remove the file. A failure is logged and does not fail the stop."""
    try:
        path.unlink(missing_ok=True)
    except OSError as error:
        observer.error(error)
