"""Reads the key-encryption key: from a file, or from what a command prints."""

from __future__ import annotations

import contextlib
import os
import shlex
import signal
import stat
import subprocess
from typing import TYPE_CHECKING, Final

from placet.kernel.errors import ConfigurationError

if TYPE_CHECKING:
    from pathlib import Path

COMMAND_SECONDS_MAX: Final = 15.0
"""How long a command may take. A call of a key management service takes one or two seconds."""
_OUTPUT_BYTES_MAX: Final = 16_384
_OTHERS: Final = stat.S_IRWXO


def read_key_file(setting: str, path: Path) -> str:
    """Return the text of a file. ConfigurationError when all users may read or write it."""
    try:
        mode = path.stat().st_mode
        if mode & _OTHERS:
            raise ConfigurationError(
                f"{setting}: {path} is open to all users (mode {stat.S_IMODE(mode):04o}); run `chmod o-rwx {path}`; "
                "replace the key if it may have been read"
            )
        return path.read_bytes()[:_OUTPUT_BYTES_MAX].decode(errors="replace")
    except OSError as error:
        raise ConfigurationError(f"{setting}: cannot read {path}: {error.strerror}; check the path") from error


def run_key_command(setting: str, command: str, seconds: float = COMMAND_SECONDS_MAX) -> str:
    """Return what the command prints. Its words are split as a shell does, but no shell runs it.

    What it prints is never logged, on stderr neither. ConfigurationError when it fails or takes too long; then all
    processes of its group are ended.
    """
    words = shlex.split(command)
    name = words[0]
    try:
        child = subprocess.Popen(  # noqa: S603 - the operator's own setting
            words,
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.DEVNULL,
            start_new_session=True,
        )
    except OSError as error:
        raise ConfigurationError(f"{setting}: cannot run {name}: {error.strerror}; check the command") from error
    try:
        output, _ = child.communicate(timeout=seconds)
    except subprocess.TimeoutExpired:
        with contextlib.suppress(ProcessLookupError):
            os.killpg(child.pid, signal.SIGKILL)  # also what it started
        raise ConfigurationError(
            f"{setting}: {name} did not end within {seconds:g} s; run the command yourself to see what it waits for"
        ) from None
    finally:
        child.kill()
        child.wait()
        if child.stdout is not None:
            child.stdout.close()
    if child.returncode:
        raise ConfigurationError(
            f"{setting}: {name} failed with exit status {child.returncode}; run the command yourself to see why"
        )
    return output[:_OUTPUT_BYTES_MAX].decode(errors="replace")
