"""The server that runs on a data directory of this machine, as its address file describes it."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Any

import orjson

from placet.cli.doctor.check import Check, failed, passed
from placet.matching.addresses import split_address

if TYPE_CHECKING:
    from collections.abc import Mapping


def own_pid(data_dir: Path, port: int) -> int | None:
    """Return the process that serves this data directory on the port; None when there is none."""
    document = _document(data_dir, port)
    return None if document is None else int(document["pid"])


def worker_checks(data_dir: Path, address: str) -> tuple[Check, ...]:
    """Check that all workers of the server accept calls. Nothing when it has none, or is not of this data directory."""
    document = _document(data_dir, split_address(address)[1])
    if document is None or "workers" not in document:
        return ()
    detail = f"{document['workers_accepting']} of {document['workers']} accept calls"
    if document["workers_accepting"] == document["workers"]:
        return (passed("workers", detail),)
    remedy = "the server starts those that ended again; see its log for `worker ended` and `worker not restarted`"
    return (failed("workers", detail, remedy),)


def _document(data_dir: Path, port: int) -> Mapping[str, Any] | None:
    try:
        document: dict[str, Any] = orjson.loads((data_dir / "serve.json").read_bytes())
        for name in document.keys() - {"address"}:
            document[name] = int(document[name])
        same_port = split_address(document["address"])[1] == port
        return document if same_port and Path(f"/proc/{document['pid']}").exists() else None
    except (OSError, ValueError, TypeError, KeyError, AttributeError):  # no server has written the file
        return None
