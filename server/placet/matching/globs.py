"""Patterns of tool names in budgets, autonomy rules and kill switches: ``stripe.*``.

``*`` is any text including dots, and ``?`` one character: a pattern that stops actions must not end at a dot.

Callers supply patterns and names, so matching never backtracks. Each part between two ``*`` is searched for once, from
the end of the previous part, and the first match is used. That suffices, because a later match leaves less text for the
following parts. One match takes at most len(name) * len(pattern) comparisons of characters.
"""

from __future__ import annotations

import re
from functools import lru_cache
from typing import Final, NamedTuple

from placet.kernel.limits import GLOB_STARS_MAX

_WILD: Final = re.compile(r"[*?]")
_CACHE: Final = 4_096


class _Parts(NamedTuple):
    """The parts of a pattern between its ``*``. Their expressions have no repetition, so none of them can backtrack."""

    head: re.Pattern[str]
    middle: tuple[re.Pattern[str], ...]
    tail: re.Pattern[str] | None
    """None for a pattern without ``*``; then `head` is the whole pattern."""
    tail_chars: int


def is_glob(pattern: str) -> bool:
    """Return whether the pattern has a wildcard."""
    return _WILD.search(pattern) is not None


def glob_error(pattern: str) -> str:
    """Return what is wrong with a new pattern; empty when nothing is. Stored patterns with more ``*`` still match."""
    stars = pattern.count("*")
    return f"has {stars} *; at most {GLOB_STARS_MAX} are accepted" if stars > GLOB_STARS_MAX else ""


def glob_matches(pattern: str, name: str) -> bool:
    """Return whether the pattern matches the whole name. Case matters."""
    parts = _parts(pattern)
    if parts.tail is None:
        return parts.head.fullmatch(name) is not None
    match = parts.head.match(name)
    tail_at = len(name) - parts.tail_chars
    if match is None or tail_at < match.end() or parts.tail.match(name, tail_at) is None:
        return False
    position = match.end()
    for part in parts.middle:
        match = part.search(name, position, tail_at)
        if match is None:
            return False
        position = match.end()
    return True


def glob_contains(outer: str, inner: str) -> bool:
    """Return whether every name that the pattern `inner` matches is matched by `outer`. Case matters.

    May be False although it holds: a pattern with ``?`` contains no pattern with ``*`` but itself. Never True although
    it does not hold: ``*`` of `outer` covers any part of `inner`, and its ``?`` one character or ``?``.
    """
    if outer == inner:
        return True
    return not ("?" in outer and "*" in inner) and glob_matches(outer, inner)


@lru_cache(maxsize=_CACHE)
def _parts(pattern: str) -> _Parts:
    head, *others = pattern.split("*")
    if not others:
        return _Parts(_expression(head), (), None, 0)
    *middle, tail = others
    return _Parts(_expression(head), tuple(map(_expression, filter(None, middle))), _expression(tail), len(tail))


def _expression(part: str) -> re.Pattern[str]:
    return re.compile("".join("." if char == "?" else re.escape(char) for char in part), re.DOTALL)
