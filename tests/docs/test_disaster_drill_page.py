"""The commands of docs/how-to/disaster-drill.md, typed one after the other in a shell."""

from __future__ import annotations

import contextlib
import os
import re
import signal
import subprocess

import pytest

from tests.docs.blocks import ROOT, blocks
from tests.docs.tables import DOCS

PAGE = DOCS / "how-to/disaster-drill.md"
SECONDS_MAX = 280
"""Some thirty commands on a busy machine."""
FAILS = re.compile(r"^(?P<command>.*\S) +# exit code (?P<code>\d)$")


def typed(text: str) -> str:
    """Return the lines as a script, which ends with 99 when a command ends otherwise than the page says."""
    lines = []
    for line in text.replace("\\\n", " ").splitlines():
        found = FAILS.match(line)
        lines.append(f"if {found['command']}; then exit 99; else [ $? -eq {found['code']} ]; fi" if found else line)
    return "\n".join(["set -euo pipefail", *lines, ""])


@pytest.fixture(scope="module")
def drill() -> subprocess.CompletedProcess[str]:
    script = typed("".join(block.text for block in blocks(PAGE) if block.language == "sh"))
    inherited = {name: value for name, value in os.environ.items() if not name.startswith("PLACET_")}
    path = f"{ROOT / '.tools/bin'}:{ROOT / '.venv/bin'}:{os.environ['PATH']}"
    environment = {**inherited, "PATH": path, "TMPDIR": "/tmp"}  # noqa: S108 - a short path, for the socket
    shell = subprocess.Popen(
        ["bash", "-c", script],
        cwd=ROOT,
        env=environment,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
        start_new_session=True,
    )
    try:
        out, errors = shell.communicate(timeout=SECONDS_MAX)
    finally:
        with contextlib.suppress(ProcessLookupError):
            os.killpg(shell.pid, signal.SIGKILL)  # a server that a failed drill left
    return subprocess.CompletedProcess(script, shell.returncode, out, errors)


@pytest.mark.timeout(SECONDS_MAX + 20)
def test_every_command_ends_as_the_page_says(drill: subprocess.CompletedProcess[str]) -> None:
    assert drill.returncode == 0, f"{drill.stdout}\n{drill.stderr}"


def test_the_lost_tail_is_found_by_the_checkpoint_that_was_kept_elsewhere(
    drill: subprocess.CompletedProcess[str],
) -> None:
    verified = [line for line in drill.stdout.splitlines() if line.startswith("ok: records ")]
    assert len(verified) == 2, "the restored trail, and the continued one"
    assert "kept_checkpoint_mismatch" in drill.stdout
    assert "kept_checkpoint_mismatch" in PAGE.read_text()


def test_a_wrong_exit_code_fails_the_drill() -> None:
    for command, code in (("false", 0), ("true", 99), ("exit 3", 1)):
        script = typed(f"({command}) # exit code 1\n")
        assert subprocess.run(["bash", "-c", script], check=False).returncode == code
