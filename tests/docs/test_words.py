"""The list of words that make sentences hard to read."""

from __future__ import annotations

import importlib.util
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

if TYPE_CHECKING:
    from types import ModuleType

ROOT = Path(__file__).parents[2]


@pytest.fixture(scope="module")
def words() -> ModuleType:
    spec = importlib.util.spec_from_file_location("words", ROOT / "deploy/tools/words.py")
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


def test_no_text_of_the_project_has_one(words: ModuleType) -> None:
    assert list(words.findings(ROOT)) == []


@pytest.mark.parametrize("text", ["The hub is told of it.", "What\nbecomes  of it", "NOBODY votes"])
def test_a_word_is_found_with_its_line(words: ModuleType, text: str, tmp_path: Path) -> None:
    page = tmp_path / "docs/page.md"
    page.parent.mkdir()
    page.write_text(f"# Page\n\n{text}\n")
    [line] = words.findings(tmp_path)
    assert line.startswith("docs/page.md:3: ")
    assert "write instead" in line
