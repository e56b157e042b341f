"""Find the line of policy that takes most of the time of an evaluation, by `opa eval --profile`."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Final

from placet.kernel.errors import ConfigurationError
from placet.policy.toolchain.process import run

if TYPE_CHECKING:
    from pathlib import Path

PROFILE_SECONDS_MAX: Final = 20.0
"""Time limit of one profile. Profiling makes an evaluation several times slower."""


def slowest_line(opa: Path, stage: Path, pack: str, document: bytes) -> tuple[str, int] | None:
    """Return file and line of what takes longest when the pack evaluates the input; None when it is unknown.

    `stage` is a staged copy of the policy folder.
    """
    arguments = ["eval", "--data", ".", "--stdin-input", "--profile", "--profile-sort", "total_time_ns"]
    arguments += ["--profile-limit", "1", "--format", "json", f"data.{pack}"]
    try:
        result = run(opa, arguments, cwd=stage, stdin=document, timeout_seconds=PROFILE_SECONDS_MAX)
        location = json.loads(result.stdout)["profile"][0]["location"]
    except (ConfigurationError, ValueError, LookupError):  # too slow, or OPA names no line
        return None
    is_query = not location["file"].endswith(".rego")
    return None if is_query else (location["file"], location["row"])
