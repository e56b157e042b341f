"""Structured logs on stderr. Sensitive values are redacted from every text."""

from __future__ import annotations

import json
import logging
import sys
import threading
from typing import TYPE_CHECKING, Any, Final

import structlog

from placet.kernel.printable import visible_lines
from placet.privacy.redaction import redact_text

if TYPE_CHECKING:
    from collections.abc import MutableMapping

LEVELS: Final = {"debug": logging.DEBUG, "info": logging.INFO, "warning": logging.WARNING, "error": logging.ERROR}


def configure(level: str, form: str) -> structlog.stdlib.BoundLogger:
    """Configure logging to stderr and return the logger. `form` is ``json`` (one object per line) or ``text``."""
    in_text = [_indent_exception] if form == "text" else []
    renderer = structlog.processors.JSONRenderer() if form == "json" else structlog.dev.ConsoleRenderer(colors=False)
    structlog.configure(
        processors=[
            structlog.processors.add_log_level,
            structlog.processors.TimeStamper(fmt="iso", utc=True),
            structlog.processors.format_exc_info,
            _redact,
            *in_text,
            renderer,
        ],
        wrapper_class=structlog.make_filtering_bound_logger(LEVELS[level]),
        logger_factory=lambda *_: _Lines(),
        cache_logger_on_first_use=True,
    )
    logger: structlog.stdlib.BoundLogger = structlog.get_logger("placet")
    return logger


class _Lines:
    """Writes whole lines to stderr, from any thread.

    Answers must not depend on the log: a line that cannot be written (a full disk, a closed pipe) is only counted. The
    next line that can be written is preceded by the count.
    """

    def __init__(self) -> None:
        self._writing = threading.Lock()
        self._lost = 0

    def msg(self, line: str) -> None:
        with self._writing:
            try:
                if self._lost:
                    self._write(json.dumps({"event": "log lines lost", "level": "error", "lines": self._lost}))
                    self._lost = 0
                self._write(line)
            except (OSError, ValueError):  # ValueError: closed
                self._lost += 1

    debug = info = warning = error = critical = exception = msg

    @staticmethod
    def _write(line: str) -> None:
        sys.stderr.write(f"{line}\n")
        sys.stderr.flush()


def _indent_exception(_logger: object, _method: str, event: MutableMapping[str, Any]) -> MutableMapping[str, Any]:
    """Indent an exception: its text may come from a caller, and must not look like a line of the log."""
    if text := event.get("exception"):
        event["exception"] = "\n".join(f"    {line}" for line in visible_lines(text))
    return event


def _redact(_logger: object, _method: str, event: MutableMapping[str, Any]) -> MutableMapping[str, Any]:
    """Redact every text of an event except its time and level."""
    for key, value in event.items():
        if isinstance(value, str) and key not in {"timestamp", "level"}:
            event[key] = redact_text(value)
    return event
