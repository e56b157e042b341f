"""Run a program to its end: an argument list, an almost empty environment, a time limit, no shell."""

from __future__ import annotations

import os
import subprocess
import tempfile
from dataclasses import dataclass
from typing import TYPE_CHECKING, Final

from placet.kernel.errors import ConfigurationError

if TYPE_CHECKING:
    from collections.abc import Sequence
    from pathlib import Path

COMMAND_TIMEOUT_SECONDS: Final = 60.0
"""One run of `opa check`, `opa build` and the like; a thousand rules take less than one second."""
_ENVIRONMENT: Final = {"LANG": "C.UTF-8", "PATH": "/usr/bin:/bin", "REGAL_DISABLE_VERSION_CHECK": "1"}


@dataclass(frozen=True, slots=True)
class ProcessResult:
    """How a program ended. `stdout` and `stderr` are decoded; what is no UTF-8 is replaced."""

    code: int
    stdout: str
    stderr: str


def run(
    program: Path,
    arguments: Sequence[str],
    *,
    cwd: Path | None = None,
    stdin: bytes = b"",
    timeout_seconds: float = COMMAND_TIMEOUT_SECONDS,
) -> ProcessResult:
    """Run `program` and wait for it. Raises ConfigurationError when it cannot be started or does not end in time."""
    command = [str(program), *arguments]
    try:
        done = subprocess.run(  # noqa: S603 # an argument list of our own; the program is the configured one
            command,
            cwd=cwd,
            input=stdin,
            capture_output=True,
            timeout=timeout_seconds,
            check=False,
            env={**_ENVIRONMENT, "HOME": tempfile.gettempdir()},
        )
    except subprocess.TimeoutExpired as error:
        what = f"{program.name} {arguments[0]}"
        raise ConfigurationError(
            f"{program}: `{what}` did not end within {timeout_seconds:g} s; is the machine busy?"
        ) from error
    except OSError as error:
        raise ConfigurationError(f"{program}: cannot be run: {error.strerror}; run `placet tools install`") from error
    return ProcessResult(done.returncode, _text(done.stdout), _text(done.stderr))


def _text(output: bytes) -> str:
    return output.decode(errors="replace")


def is_executable(path: Path) -> bool:
    """Whether there is a program at `path` that this user may run."""
    return path.is_file() and os.access(path, os.X_OK)
