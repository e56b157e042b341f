"""`placet tools install` without a network and without Go."""

from __future__ import annotations

from typing import TYPE_CHECKING

from placet.cli.commands.server import tools
from placet.cli.rendering import exit_codes
from placet.policy.toolchain.tool_sources import UnreachableError

if TYPE_CHECKING:
    from pathlib import Path

    import pytest

    from placet.policy.toolchain.tool_sources import Tool
    from tests.cli.conftest import Placet


def test_the_failed_download_is_explained_for_each_tool(
    placet: Placet, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def unreachable(tool: Tool, *_: object) -> str:
        raise UnreachableError(f"HTTP Error 403 of {tool.name}")

    monkeypatch.setattr(tools, "download", unreachable)
    monkeypatch.setenv("PATH", str(tmp_path))
    ran = placet("tools", "install", "--dir", tmp_path / "bin")
    assert (ran.code, ran.out) == (exit_codes.USAGE, "")
    lines = ran.err.splitlines()
    assert len(lines) == 2
    for name, line in zip(("opa", "regal"), lines, strict=True):
        assert line.startswith(f"placet: {name} ")
        assert f"the official release could not be downloaded (HTTP Error 403 of {name})" in line
        assert line.index("could not be downloaded") < line.index("HTTPS_PROXY") < line.index("install Go")
