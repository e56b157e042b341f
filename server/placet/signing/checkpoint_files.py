"""Checkpoints in JSON files, for storage outside the database."""

from __future__ import annotations

import base64
from typing import TYPE_CHECKING, Any

import orjson

from placet.audit.chain import Checkpoint, parse_checkpoint
from placet.kernel.errors import ConfigurationError

if TYPE_CHECKING:
    from collections.abc import Sequence

    from placet.audit.verification.verify_trail import PinnedCheckpoint


def dump_pinned_checkpoints(newest: Sequence[tuple[Any, Any, Any, Any]], where: str) -> bytes:
    """Return rows of audit_checkpoints as JSON, for `load_pinned_checkpoints`. `where` names the database in the error.

    Raises ConfigurationError when there is no row.
    """
    if not newest:
        raise ConfigurationError(
            f"{where}: no checkpoint was signed yet; the server signs one each minute and when it stops"
        )
    checkpoints = [
        {"checkpoint": orjson.Fragment(body), "signature": base64.b64encode(signature).decode()}
        for _, _, body, signature in newest
    ]
    return orjson.dumps({"checkpoints": checkpoints}, option=orjson.OPT_INDENT_2) + b"\n"


def load_pinned_checkpoints(text: bytes) -> list[PinnedCheckpoint]:
    """Return the checkpoints that `dump_pinned_checkpoints` wrote.

    Raises ConfigurationError when they cannot be read.
    """
    try:
        return [_parse_entry(entry) for entry in orjson.loads(text)["checkpoints"]]
    except (KeyError, TypeError, ValueError) as error:
        raise ConfigurationError(
            "the kept checkpoints cannot be read; give the file that was exported, unchanged"
        ) from error


def _parse_entry(entry: dict[str, Any]) -> tuple[Checkpoint, bytes]:
    body = orjson.dumps(entry["checkpoint"], option=orjson.OPT_SORT_KEYS)
    return parse_checkpoint(body), base64.b64decode(entry["signature"], validate=True)
