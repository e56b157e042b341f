"""The life of a server of several processes: from the settings to the exit code."""

from __future__ import annotations

import contextlib
import functools
from typing import TYPE_CHECKING

from placet.telemetry.metrics_folder import metrics_folder

if TYPE_CHECKING:
    from placet.server.settings.model import Settings


def run(settings: Settings) -> int:
    """Serve with several workers until a signal, and return the exit code. Like `placet.server.lifecycle.run`."""
    with contextlib.ExitStack() as stack:
        folder = None
        if settings.metrics_listen:
            settings.require_data_dir()
            folder = stack.enter_context(metrics_folder(settings.data_dir.absolute() / "metrics"))
        from placet.server.lifecycle import run as run_process  # noqa: PLC0415 - imports prometheus_client
        from placet.workers.supervised import open_supervised  # noqa: PLC0415 - likewise

        return run_process(settings, functools.partial(open_supervised, metrics_dir=folder))
