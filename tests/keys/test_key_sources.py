"""The key-encryption key from a file and from a command."""

from __future__ import annotations

import sys
import time
from typing import TYPE_CHECKING

import psutil
import pytest

from placet.kernel.errors import ConfigurationError
from placet.signing.key_sources import read_key_file, run_key_command
from tests.faults.serving import eventually

if TYPE_CHECKING:
    from pathlib import Path

SETTING = "permit_key_encryption_command"
SECRET = "s3cret-0utput"  # noqa: S105 - what must never be shown


def script(folder: Path, text: str) -> str:
    """Return a command that runs a Python text."""
    path = folder / "kms.py"
    path.write_text(text)
    return f"{sys.executable} '{path}'"


def test_a_file_is_read(tmp_path: Path) -> None:
    path = tmp_path / "kek"
    path.write_text("text\n")
    path.chmod(0o640)
    assert read_key_file("setting", path) == "text\n"


@pytest.mark.parametrize("mode", [0o604, 0o602, 0o644, 0o601])
def test_a_file_that_every_user_may_read_is_refused(tmp_path: Path, mode: int) -> None:
    path = tmp_path / "kek"
    path.write_text(SECRET)
    path.chmod(mode)
    with pytest.raises(ConfigurationError, match=rf"^permit_key_encryption_file: {path} is open to all users .*chmod"):
        read_key_file("permit_key_encryption_file", path)


def test_a_file_that_is_missing(tmp_path: Path) -> None:
    with pytest.raises(
        ConfigurationError, match=r"^setting: cannot read .*: No such file or directory; check the path"
    ):
        read_key_file("setting", tmp_path / "kek")


def test_a_command_is_run_without_a_shell(tmp_path: Path) -> None:
    command = script(tmp_path, "import sys; print(sys.argv[1:])")
    assert run_key_command(SETTING, f"{command} 'a b' '$HOME' ; x") == "['a b', '$HOME', ';', 'x']\n"


def test_a_command_that_fails_is_not_quoted(tmp_path: Path, capfd: pytest.CaptureFixture[str]) -> None:
    command = script(tmp_path, f"import sys; print({SECRET!r}); print({SECRET!r}, file=sys.stderr); sys.exit(3)")
    with pytest.raises(
        ConfigurationError, match=rf"^{SETTING}: .* failed with exit status 3; run the command"
    ) as error:
        run_key_command(SETTING, command)
    assert SECRET not in f"{error.value}{error.value.__cause__}{''.join(capfd.readouterr())}"


def test_a_command_that_is_missing() -> None:
    with pytest.raises(ConfigurationError, match=rf"^{SETTING}: cannot run no-such-program: No such file"):
        run_key_command(SETTING, "no-such-program decrypt")


def test_a_command_that_hangs_is_ended_with_what_it_started(tmp_path: Path) -> None:
    """Also when it has ended itself, and a child of it holds the output open."""
    started = tmp_path / "pid"
    command = script(
        tmp_path,
        "import subprocess, sys\n"
        "child = subprocess.Popen([sys.executable, '-c', 'import time; time.sleep(600)'])\n"
        f"open({str(started)!r}, 'w').write(str(child.pid))\n",
    )
    begun = time.monotonic()
    with pytest.raises(ConfigurationError, match=rf"^{SETTING}: .* did not end within 5 s; run the command yourself"):
        run_key_command(SETTING, command, seconds=5)
    assert time.monotonic() - begun < 60
    child = int(started.read_text())
    eventually(lambda: not _runs(child), 30)


def _runs(pid: int) -> bool:
    try:
        return psutil.Process(pid).status() != psutil.STATUS_ZOMBIE
    except psutil.NoSuchProcess:
        return False


def test_a_command_without_end_of_output_is_cut(tmp_path: Path) -> None:
    assert len(run_key_command(SETTING, script(tmp_path, "print('x' * 1_000_000)"))) < 20_000
