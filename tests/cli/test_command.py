"""The command itself: help, usage errors, exit codes, start time."""

from __future__ import annotations

import re
import subprocess
import sys
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

import placet
from placet.cli import main as command
from placet.cli.rendering import exit_codes
from placet.cli.rendering.failures import REMEDIES, explain
from placet.kernel.errors import ConfigurationError, Diagnostic, LedgerUnavailableError, PolicyInvalidError
from placet.sdk import failures

if TYPE_CHECKING:
    from tests.cli.conftest import Placet

SERVER = Path(placet.__file__).parents[1]
HEAVY = ("placet.server.build", "sqlalchemy", "alembic", "uvloop", "cryptography", "structlog")


def run(*arguments: str, stdin: str = "") -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [sys.executable, "-W", "error", "-m", "placet", *arguments],
        env={"PYTHONPATH": str(SERVER)}, input=stdin, capture_output=True, text=True, timeout=60, check=False,
    )  # fmt: skip


def test_version(placet: Placet) -> None:
    ran = placet("--version")
    assert (ran.code, ran.out, ran.err) == (0, "placet 0.1.0\n", "")


def test_help_names_every_command(placet: Placet) -> None:
    ran = placet("--help")
    assert ran.code == 0
    for name, entry in command.COMMANDS.items():
        assert re.search(rf"^│ {name} +{entry.help.split(maxsplit=1)[0]}", ran.out, re.MULTILINE)
    assert "Exit codes: 0 success" in ran.out


def leaf_commands() -> list[tuple[str, ...]]:
    commands: list[tuple[str, ...]] = []
    for name in command.COMMANDS:
        below = getattr(command.load_command(name), "commands", None)
        commands += [(name, each) for each in below] if below else [(name,)]
    return commands


@pytest.mark.parametrize("path", leaf_commands(), ids=" ".join)
def test_every_command_has_help(placet: Placet, path: tuple[str, ...]) -> None:
    ran = placet(*path, "--help")
    assert ran.code == 0
    assert "completion" not in ran.out
    if path[0] != "policy":
        assert "Example: placet " + " ".join(path) in " ".join(ran.out.split())


def test_no_command_shows_the_help(placet: Placet) -> None:
    for group in ((), ("audit",)):
        ran = placet(*group)
        assert ran.code == exit_codes.USAGE
        assert (ran.out + ran.err).count("Usage: placet") == 1
    assert placet("-h").out == placet("--help").out


@pytest.mark.parametrize(
    ("arguments", "complaint"),
    [
        (["authorise"], "No such command 'authorise'. Did you mean 'authorize'? See placet --help"),
        (["serve", "--lisen", "x"], "No such option: --lisen"),
        (["authorize", "--agent", "a", "--tool", "t"], "Missing option '--tenant'; see placet authorize --help"),
        (["authorize", "--timeout", "soon"], "Invalid value for '--timeout'"),
        (["audit", "decisions", "--tenant", "t", "--effect", "maybe"], "Invalid value for '--effect'"),
        (["audit", "decisions", "--tenant", "t", "--limit", "0"], "Invalid value for '--limit'"),
        (["audit", "show", "--tenant", "t"], "Missing argument 'DECISION_ID'"),
        (["serve", "extra"], "Got unexpected extra argument"),
        (["--nonsense"], "No such option: --nonsense"),
    ],
)
def test_wrong_usage_is_one_line_and_2(placet: Placet, arguments: list[str], complaint: str) -> None:
    ran = placet(*arguments)
    assert (ran.code, ran.out) == (exit_codes.USAGE, "")
    assert ran.complaint.startswith(complaint)
    assert "--help" in ran.complaint


def test_expected_errors_are_explained() -> None:
    assert explain(ConfigurationError("x: y")) == (exit_codes.USAGE, ["x: y"])
    assert explain(PolicyInvalidError([Diagnostic("a.rego:1", "bad", "mend")])) == (
        exit_codes.USAGE,
        ["a.rego:1: bad (mend)"],
    )
    assert explain(LedgerUnavailableError("disk full")) == (
        exit_codes.NO_DECISION,
        ["disk full; see the server's log"],
    )
    assert explain(PermissionError(13, "Permission denied", "/x")) == (
        exit_codes.USAGE,
        ["/x: Permission denied; check the path and its permissions"],
    )


def test_unexpected_errors_propagate(monkeypatch: pytest.MonkeyPatch) -> None:
    assert explain(RuntimeError("a mistake of ours")) is None

    def fail(*_: object, **__: object) -> None:
        raise ZeroDivisionError

    monkeypatch.setattr(command, "app", fail)
    with pytest.raises(ZeroDivisionError):
        command.main([])


def test_every_failure_has_a_remedy() -> None:
    """A remedy of the CLI's own, or a sentence of the server that names one."""
    by_server = {failures.INVALID_ARGUMENT, failures.NOT_NOW, failures.OUTCOME_DIFFERS}
    assert set(REMEDIES) | by_server == set(failures.REASONS)
    assert not set(REMEDIES) & by_server


def test_interrupted(monkeypatch: pytest.MonkeyPatch) -> None:
    def interrupted(*_: object, **__: object) -> None:
        raise KeyboardInterrupt

    monkeypatch.setattr(command, "app", interrupted)
    assert command.main([]) == exit_codes.INTERRUPTED


def test_as_a_process() -> None:
    ran = run("authorize", "--tenant", "t")
    assert ran.returncode == exit_codes.USAGE
    assert re.fullmatch(r"placet: Missing option .*; see placet authorize --help\n", ran.stderr)


@pytest.mark.parametrize("output", ["table", "json"])
def test_a_closed_stdout(output: str) -> None:
    """As in `placet ... | head -0`: no traceback, no error line, and not exit code 0."""
    process = subprocess.Popen(
        [sys.executable, "-W", "error", "-m", "placet", "serve", "--print-settings", "-o", output],
        env={"PYTHONPATH": str(SERVER)}, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True,
    )  # fmt: skip
    assert process.stdout is not None
    process.stdout.close()
    _, err = process.communicate(timeout=60)
    assert (process.returncode, err) == (exit_codes.BROKEN_PIPE, "")


@pytest.mark.parametrize("arguments", [["--help"], ["authorize", "--help"], ["audit", "decisions", "--help"]])
def test_help_imports_no_heavy_module(arguments: list[str]) -> None:
    code = (
        "import sys; from placet.cli.main import main; main(sys.argv[1:]); "
        f"loaded = [n for n in {HEAVY!r} if n in sys.modules]; assert not loaded, loaded"
    )
    ran = subprocess.run(
        [sys.executable, "-c", code, *arguments],
        env={"PYTHONPATH": str(SERVER)}, capture_output=True, text=True, timeout=60, check=False,
    )  # fmt: skip
    assert ran.returncode == 0, ran.stderr
