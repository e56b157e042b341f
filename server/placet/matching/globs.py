"""Patterns of tool names, as budgets, autonomy and kill switches name them: ``stripe.*``.

``*`` is any text, dots too, and ``?`` one character: a pattern that stops something must not stop short at a dot.

Patterns and names are text of callers, so matching never backtracks: each part between two ``*`` is looked for once,
from where the part before it ended, and the first place is kept. That is enough, because a later place leaves less text
for the parts that follow. One match costs at most len(name) * len(pattern) comparisons of characters.
"""

from __future__ import annotations

import re
from functools import lru_cache
from typing import Final, NamedTuple

from placet.kernel.limits import GLOB_STARS_MAX

_WILD: Final = re.compile(r"[*?]")
_CACHE: Final = 4_096


class _Parts(NamedTuple):
    """What a pattern has between its ``*``. Expressions without repetition, so that none of them can backtrack."""

    head: re.Pattern[str]
    middle: tuple[re.Pattern[str], ...]
    tail: re.Pattern[str] | None
    tail_chars: int
    """`tail` is None for a pattern without ``*``, whose head is all of it."""


def is_glob(pattern: str) -> bool:
    """Whether the pattern stands for more than one name."""
    return _WILD.search(pattern) is not None


def glob_fault(pattern: str) -> str:
    """What is wrong with a new pattern, "" for nothing. Stored ones with more ``*`` are matched all the same."""
    stars = pattern.count("*")
    return f"has {stars} *; at most {GLOB_STARS_MAX} are accepted" if stars > GLOB_STARS_MAX else ""


def glob_matches(pattern: str, name: str) -> bool:
    """Whether the whole name is one that the pattern stands for. Upper and lower case differ."""
    parts = _parts(pattern)
    if parts.tail is None:
        return parts.head.fullmatch(name) is not None
    found = parts.head.match(name)
    tail_at = len(name) - parts.tail_chars
    if found is None or tail_at < found.end() or parts.tail.match(name, tail_at) is None:
        return False
    at = found.end()
    for part in parts.middle:
        found = part.search(name, at, tail_at)
        if found is None:
            return False
        at = found.end()
    return True


@lru_cache(maxsize=_CACHE)
def _parts(pattern: str) -> _Parts:
    head, *others = pattern.split("*")
    if not others:
        return _Parts(_expression(head), (), None, 0)
    *middle, tail = others
    return _Parts(_expression(head), tuple(map(_expression, filter(None, middle))), _expression(tail), len(tail))


def _expression(part: str) -> re.Pattern[str]:
    return re.compile("".join("." if char == "?" else re.escape(char) for char in part), re.DOTALL)
