"""The list of words that make sentences hard to read."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from tests.support.deploy_tools import load_tool

ROOT = Path(__file__).parents[2]


@pytest.fixture
def words(monkeypatch: pytest.MonkeyPatch) -> Any:
    return load_tool("words", monkeypatch)


def test_no_text_of_the_project_has_one(words: Any) -> None:
    assert list(words.findings(ROOT)) == []


@pytest.mark.parametrize("text", ["The hub is told of it.", "What\nbecomes  of it", "NOBODY votes"])
def test_a_word_is_found_with_its_line(words: Any, text: str, tmp_path: Path) -> None:
    page = tmp_path / "docs/page.md"
    page.parent.mkdir()
    page.write_text(f"# Page\n\n{text}\n")
    [line] = words.findings(tmp_path)
    assert line.startswith("docs/page.md:3: ")
    assert "write instead" in line
