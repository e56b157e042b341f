"""The server that runs on a data directory of this machine, as its address file describes it."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Any, Final

import orjson

from placet.cli.doctor.check import Check, failed, passed
from placet.matching.addresses import split_address, unix_path
from placet.server.settings.judged import SHARED_KEYS, different, with_judged

if TYPE_CHECKING:
    from collections.abc import Mapping

    from placet.server.settings.model import Settings

_JUDGED: Final = "judged settings"


def own_pid(data_dir: Path, address: str) -> int | None:
    """Return the process that serves this data directory at the address; None when there is none."""
    document = _document(data_dir, address)
    return None if document is None else int(document["pid"])


def worker_checks(data_dir: Path, address: str) -> tuple[Check, ...]:
    """Check that all workers of the server accept calls. Nothing when it has none, or is not of this data directory."""
    document = _document(data_dir, address)
    if document is None or "workers" not in document:
        return ()
    detail = f"{document['workers_accepting']} of {document['workers']} accept calls"
    if document["workers_accepting"] == document["workers"]:
        return (passed("workers", detail),)
    remedy = "the server starts those that ended again; see its log for `worker ended` and `worker not restarted`"
    return (failed("workers", detail, remedy),)


def settings_of_server(settings: Settings, address: str | None) -> tuple[Check, Settings]:
    """Return a check that names the server whose settings are judged, and those settings.

    A server that runs on the data directory says which it was started with; `address` is that of the server that is
    meant. Without one they are the given settings.
    """
    document = _document(settings.data_dir, address)
    running = _settings_in(document)
    if document is None or running is None:
        where = f"the server at {address} does not use" if address else "no server runs on"
        detail = f"as given to this command: {where} {settings.data_dir.absolute()} of this machine"
        return passed(_JUDGED, detail), settings
    detail = f"those of the running server: process {document['pid']}, {document['address']}"
    if others := different(settings, running):
        detail += f"; this command was given other values of {', '.join(others)}"
    return passed(_JUDGED, detail), with_judged(settings, running)


def keys_of_server_are_shared(data_dir: Path) -> bool | None:
    """Return whether a server runs on the data directory with its permit keys in the database; None if unknown."""
    running = _settings_in(_document(data_dir, None)) or {}
    shared = running.get(SHARED_KEYS)
    return shared if isinstance(shared, bool) else None


def _document(data_dir: Path, address: str | None) -> Mapping[str, Any] | None:
    """Return what a server that runs on the data directory wrote; None without one at the address. None is any."""
    try:
        document: dict[str, Any] = orjson.loads((data_dir / "serve.json").read_bytes())
        for name in document.keys() - {"address", "settings"}:
            document[name] = int(document[name])
        same = address is None or _end_of(document["address"]) == _end_of(address)
        return document if same and Path(f"/proc/{document['pid']}").exists() else None
    except (OSError, ValueError, TypeError, KeyError, AttributeError):  # no server has written the file
        return None


def _settings_in(document: Mapping[str, Any] | None) -> Mapping[str, Any] | None:
    """Return the settings of a server from what it wrote; None if it wrote none."""
    running = document.get("settings") if document is not None else None
    return running if isinstance(running, dict) else None


def _end_of(address: str) -> str | int:
    """Return what two names of one address on this machine share: the path, or the port."""
    return unix_path(address) or split_address(address)[1]
