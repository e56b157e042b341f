"""Checks that a checkpoint is kept where the server cannot write, and is still part of the trail."""

from __future__ import annotations

import time
from typing import TYPE_CHECKING, Final

from placet.audit.chain import parse_checkpoint
from placet.cli.doctor.check import Check, failed, passed
from placet.cli.doctor.machine import device_of
from placet.signing.checkpoint_files import load_pinned_checkpoints

if TYPE_CHECKING:
    from pathlib import Path

    from placet.server.settings.model import Settings

DAYS_MAX: Final = 7
"""How old the newest kept checkpoint may be: what was recorded since can be lost without a sign."""
_DAY_US: Final = 86_400_000_000
_NAME: Final = "kept checkpoint"
_REMEDY: Final = (
    "run `placet audit checkpoint` regularly, keep its output where the server cannot write, and name the newest with "
    "--kept-checkpoint"
)


def kept_checkpoint_check(settings: Settings, kept: Path | None) -> Check:
    """Check the file: on another file system, of the last days, and of this trail.

    Raises ConfigurationError or OSError when it or the database cannot be read.
    """
    if kept is None:
        return failed(_NAME, "none is named: who takes the key and the database can replace the trail", _REMEDY)
    checkpoints = [checkpoint for checkpoint, _ in load_pinned_checkpoints(kept.read_bytes())]
    if not checkpoints:
        return failed(_NAME, f"{kept}: holds no checkpoint", _REMEDY)
    if device_of(kept) == device_of(settings.data_dir):
        return failed(_NAME, f"{kept}: is on the same file system as {settings.data_dir}, and is lost with it", _REMEDY)
    found = settings.database.find_trail([(each.writer, each.sequence) for each in checkpoints], ()).checkpoints
    for each in checkpoints:
        body = found.get((each.writer, each.sequence))
        if body is None or parse_checkpoint(body) != each:
            detail = f"{kept}: record {each.sequence} of {each.writer} was signed, and the database does not hold it"
            return failed(
                _NAME, detail, f"run `placet audit verify --checkpoint {kept}`, and restore the newest backup"
            )
    age_days = (time.time() * 1_000_000 - max(each.signed_at_us for each in checkpoints)) / _DAY_US
    if age_days > DAYS_MAX:
        return failed(_NAME, f"{kept}: was signed {age_days:.0f} days ago; what followed could be replaced", _REMEDY)
    return passed(_NAME, f"{kept}: is part of the trail, signed {age_days:.0f} days ago")
