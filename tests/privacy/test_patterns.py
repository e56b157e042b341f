"""Patterns match alike on every Python that Placet runs on."""

from __future__ import annotations

import re
from pathlib import Path

_POSSESSIVE_GROUP = re.compile(r"\)(?:[*+?]|\{+[0-9]*,?[0-9]*\}+)\+")


def test_no_pattern_repeats_a_group_possessively() -> None:
    """Before Python 3.11.5 ``(?:ab?){0,4}+`` misses matches (gh-106052); write ``(?>(?:ab?){0,4})``."""
    sources = {path: path.read_text() for path in Path("server").rglob("*.py")}
    assert all(map(_POSSESSIVE_GROUP.search, (r"(?:ab?){0,4}+", r"(?:ab?)++", r"(?:a){{2}}+")))
    assert [str(path) for path, text in sources.items() if _POSSESSIVE_GROUP.search(text)] == []
