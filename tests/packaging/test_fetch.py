"""Where the pinned tools come from; the official download is played by a server on loopback."""

from __future__ import annotations

import hashlib
import http.server
import threading
from typing import TYPE_CHECKING, Any

import pytest

from placet.policy.toolchain.tool_sources import OPA, asset
from tests.packaging.environments import ROOT
from tests.support.deploy_tools import load_tool

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

PROGRAM = b"\x7fELF the program"


@pytest.fixture
def fetch(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Any:
    """deploy/tools/fetch.py with a .tools of its own and an empty PATH."""
    module = load_tool("fetch", monkeypatch)
    (tmp_path / "path").mkdir()
    (tmp_path / "tools").mkdir()
    monkeypatch.setattr(module, "TOOLS", tmp_path / "tools")
    monkeypatch.setenv("PATH", str(tmp_path / "path"))
    monkeypatch.setattr(module, "RELEASES", "http://127.0.0.1:9")  # the discard port: nobody listens
    return module


@pytest.fixture
def official(fetch: Any, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Path]:
    """The folder that the official site publishes for this version."""
    site = tmp_path / "site"
    folder = site / f"open-policy-agent/opa/releases/download/v{fetch.OPA_VERSION}"
    folder.mkdir(parents=True)

    class Site(http.server.SimpleHTTPRequestHandler):
        def __init__(self, *arguments: Any) -> None:
            super().__init__(*arguments, directory=str(site))

        def log_message(self, *_: object) -> None:
            """Say nothing."""

    with http.server.ThreadingHTTPServer(("127.0.0.1", 0), Site) as server:
        thread = threading.Thread(target=server.serve_forever)
        thread.start()
        monkeypatch.setattr(fetch, "RELEASES", f"http://127.0.0.1:{server.server_port}")
        yield folder
        server.shutdown()
        thread.join(10)


def publish(folder: Path, name: str, digest: str) -> None:
    (folder / name).write_bytes(PROGRAM)
    (folder / f"{name}.sha256").write_text(f"{digest}  {name}\n")


def put_on_path(folder: Path, name: str, says: str) -> Path:
    program = folder / "path" / name
    program.write_text(f"#!/bin/sh\necho '{says}'\n")
    program.chmod(0o755)
    return program


def test_the_opa_on_path_is_taken_when_it_is_that_version(
    fetch: Any, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    mine = put_on_path(tmp_path, "opa", f"Version: {fetch.OPA_VERSION}")
    assert fetch.main(["opa"]) == 0
    assert capsys.readouterr().out == f"setup: opa {fetch.OPA_VERSION}: copied from {mine}\n"
    assert (tmp_path / "tools/bin/opa").read_bytes() == mine.read_bytes()


def test_nothing_is_said_or_done_the_second_time(
    fetch: Any, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    mine = put_on_path(tmp_path, "opa", f"Version: {fetch.OPA_VERSION}")
    fetch.main(["opa"])
    mine.unlink()
    capsys.readouterr()
    assert fetch.main(["opa"]) == 0
    assert capsys.readouterr() == ("", "")


def test_another_version_on_path_is_not_taken(fetch: Any, official: Path, tmp_path: Path) -> None:
    put_on_path(tmp_path, "opa", "Version: 1.17.0")
    publish(official, asset(OPA), hashlib.sha256(PROGRAM).hexdigest())
    assert fetch.main(["opa"]) == 0
    assert (tmp_path / "tools/bin/opa").read_bytes() == PROGRAM


def test_containers_get_no_dynamically_linked_opa(fetch: Any, official: Path, tmp_path: Path) -> None:
    put_on_path(tmp_path, "opa", f"Version: {fetch.OPA_VERSION}")  # a script: no static binary
    publish(official, asset(OPA, linux=True), hashlib.sha256(PROGRAM).hexdigest())
    assert fetch.main(["opa-static"]) == 0
    assert fetch.path_of(fetch.OPA_STATIC).read_bytes() == PROGRAM


def test_a_download_with_another_checksum_is_refused(
    fetch: Any, official: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    publish(official, asset(OPA), "0" * 64)
    put_on_path(tmp_path, "go", "must not be asked")
    assert fetch.main(["opa"]) == 1
    assert "Not installed" in capsys.readouterr().err
    assert not (tmp_path / "tools/bin").exists()
    assert not fetch.path_of(OPA).exists()


@pytest.mark.parametrize("tool", ["opa", "opa-static", "regal", "ghz"])
def test_with_no_way_left_the_remedy_is_told(fetch: Any, tool: str, capsys: pytest.CaptureFixture[str]) -> None:
    assert fetch.main([tool]) == 1
    said = capsys.readouterr().err
    assert said.count("\n") == 1
    assert "Remedy: " in said
    assert tool in said


def test_an_unknown_tool_is_a_wrong_usage(fetch: Any, capsys: pytest.CaptureFixture[str]) -> None:
    assert fetch.main(["oppa"]) == 2
    assert "usage: " in capsys.readouterr().err


def test_static_binaries_are_told_from_others(fetch: Any) -> None:
    assert not fetch.is_static(ROOT / "Makefile")
    assert fetch.is_static(ROOT / f".tools/opa-static-{fetch.OPA_VERSION}/opa")
    assert not fetch.is_static(ROOT / ".venv/bin/python")
