"""Fixtures: the command in this process and an empty folder, and a scripted server."""

from __future__ import annotations

import os
import sys
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import orjson
import pytest

from placet.cli.main import main
from tests.cli.data_dirs import append
from tests.sdk.scripted_server import ScriptedServer

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator
    from pathlib import Path


@dataclass(frozen=True)
class Ran:
    """The result of a command."""

    code: int
    out: str
    err: str

    @property
    def document(self) -> Any:
        return orjson.loads(self.out)

    @property
    def complaint(self) -> str:
        """The only line on stderr, without the name of the program."""
        assert self.err.startswith("placet: ")
        assert self.err.count("\n") == 1, self.err
        return self.err.removeprefix("placet: ").rstrip("\n")


class Placet:
    """Runs `placet` with arguments."""

    def __init__(self, capsys: pytest.CaptureFixture[str]) -> None:
        self._capsys = capsys

    def __call__(self, *arguments: str | Path) -> Ran:
        code = main([str(each) for each in arguments])
        captured = self._capsys.readouterr()
        assert "Traceback" not in captured.err
        return Ran(code, captured.out, captured.err)


@pytest.fixture(autouse=True)
def empty_folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    folder = tmp_path / "here"
    folder.mkdir()
    monkeypatch.chdir(folder)
    for name in list(os.environ):
        if name.upper().startswith("PLACET_"):
            monkeypatch.delenv(name)
    return folder


@pytest.fixture
def data_dir(empty_folder: Path) -> Path:
    """The default data directory, with five records."""
    made = empty_folder / ".placet"
    made.mkdir()
    append(made, 5)
    return made


@pytest.fixture
def placet(capsys: pytest.CaptureFixture[str]) -> Placet:
    return Placet(capsys)


@pytest.fixture
def server(monkeypatch: pytest.MonkeyPatch) -> Iterator[ScriptedServer]:
    scripted = ScriptedServer().start()
    monkeypatch.setenv("PLACET_ADDRESS", scripted.address)
    yield scripted
    scripted.stop()


@pytest.fixture
def terminal(monkeypatch: pytest.MonkeyPatch) -> Callable[[int], None]:
    """Makes standard output a terminal of so many columns."""

    def become(columns: int) -> None:
        monkeypatch.setattr(sys.stdout, "isatty", lambda: True)
        monkeypatch.setenv("TERM", "xterm-256color")
        monkeypatch.setenv("COLUMNS", str(columns))
        monkeypatch.delenv("NO_COLOR", raising=False)

    return become
