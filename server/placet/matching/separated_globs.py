"""Patterns of destinations: globs in which ``*`` does not cross a separator, as ``*.acme.example``.

They become regular expressions for OPA's engine, RE2, whose time is linear in the text. OPA's own ``glob.match`` is not
used: its time grows with the power of the number of ``*`` (nine of them hold a text of 1 KiB for minutes, measured),
and a query that timed out goes on computing.
"""

from __future__ import annotations

import re
from typing import Final

DESTINATION_SEPARATORS: Final = ".", "/", ":", "@", "?", "#", "\\"
"""What ``*`` does not cross, so that ``*.example.com`` takes no ``a.b.example.com``, ``evil.test/x.example.com`` or
``me@x.example.com`` for one of its hosts. ``**`` crosses them all."""
_PIECES: Final = re.compile(r"\\.|\*+|\[!?[^\]]+\]|[^\\*?\[{},]+|.", re.DOTALL)
_OF_A_CLASS: Final = re.compile(r"[\\^\[\]]")


def wildcards(pattern: str) -> int:
    """How many ``*`` and ``**`` the pattern has; an escaped one counts too."""
    return len(re.findall(r"\*+", pattern))


def separated_glob_regex(pattern: str, separators: tuple[str, ...] = DESTINATION_SEPARATORS) -> str:
    r"""The RE2 expression that matches, whole, what the pattern stands for.

    ``*`` is any text without a separator, ``**`` any text, ``?`` one character that is no separator, ``[a-z]`` and
    ``[!a-z]`` one character of a class or outside it, ``{a,b}`` either, and ``\`` makes the next character ordinary.
    What is no pattern (an open bracket or brace, a backslash at the end) becomes what is no expression.
    """
    one = f"[^{_of_a_class(''.join(separators))}]" if separators else "."
    written: list[str] = []
    depth = 0  # of open braces
    for piece in _PIECES.findall(pattern):
        written.append(_part(piece, one, in_braces=depth > 0))
        depth += (piece == "{") - (piece == "}" and depth > 0)
    return f"^(?s:{''.join(written)})$"


def _part(piece: str, one: str, *, in_braces: bool) -> str:
    """What a piece becomes; `one` is what ``?`` becomes."""
    if piece.startswith("*"):
        return one + "*" if piece == "*" else ".*"
    if piece.startswith("[") and len(piece) > 1:
        negated = piece.startswith("[!")
        return f"[{'^' if negated else ''}{_of_a_class(piece[1 + negated : -1])}]"
    if piece.startswith("\\") and len(piece) > 1:
        return _literal(piece[1:])
    if in_braces and piece in {",", "}"}:
        return "|" if piece == "," else ")"
    kept = {"?": one, "{": "(?:", "[": "[", "\\": "\\"}
    return kept.get(piece) or _literal(piece)


def _literal(text: str) -> str:
    return "".join("\\" + char if char.isascii() and not char.isalnum() else char for char in text)


def _of_a_class(characters: str) -> str:
    return _OF_A_CLASS.sub(r"\\\g<0>", characters)
