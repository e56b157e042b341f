"""Runs `placet` in a process of its own, with the environment of the test servers."""

from __future__ import annotations

import subprocess
import sys

from tests.faults.serving import environment


def placet(*words: object) -> subprocess.CompletedProcess[str]:
    command = [sys.executable, "-m", "placet", *map(str, words)]
    return subprocess.run(command, env=environment(), capture_output=True, text=True, check=False, timeout=60)
