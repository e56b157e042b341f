"""The command, run in process in an empty folder, and a scripted server for it to ask."""

from __future__ import annotations

import os
import socket
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import orjson
import pytest

from placet.cli.main import main
from tests.sdk.scripted_server import ScriptedServer

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path


@dataclass(frozen=True)
class Ran:
    """What a command left behind."""

    code: int
    out: str
    err: str

    @property
    def document(self) -> Any:
        return orjson.loads(self.out)

    @property
    def complaint(self) -> str:
        """The one line on stderr, beginning with the program's name."""
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
def placet(capsys: pytest.CaptureFixture[str]) -> Placet:
    return Placet(capsys)


@pytest.fixture
def server(monkeypatch: pytest.MonkeyPatch) -> Iterator[ScriptedServer]:
    scripted = ScriptedServer().start()
    monkeypatch.setenv("PLACET_ADDRESS", scripted.address)
    yield scripted
    scripted.stop()


@pytest.fixture
def nobody() -> Iterator[str]:
    """An address at which nobody listens, and nobody else can."""
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        yield f"127.0.0.1:{taken.getsockname()[1]}"
