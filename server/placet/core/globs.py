"""Patterns of tool names, as budgets, autonomy and kill switches name them: ``stripe.*``.

``*`` is any text, dots too, and ``?`` one character: a pattern that stops something must not stop short at a dot.
"""

from __future__ import annotations

import re
from functools import lru_cache
from typing import Final

_WILD: Final = re.compile(r"[*?]")
_CACHE: Final = 4_096


def is_glob(pattern: str) -> bool:
    """Whether the pattern stands for more than one name."""
    return _WILD.search(pattern) is not None


def glob_matches(pattern: str, name: str) -> bool:
    """Whether the whole name is one that the pattern stands for. Upper and lower case differ."""
    return _compiled(pattern).fullmatch(name) is not None


@lru_cache(maxsize=_CACHE)
def _compiled(pattern: str) -> re.Pattern[str]:
    words = {"*": ".*", "?": "."}
    return re.compile("".join(words.get(char) or re.escape(char) for char in pattern), re.DOTALL)
