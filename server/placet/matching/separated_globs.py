"""Patterns of destinations: globs in which ``*`` does not cross a separator, as ``*.acme.example``.

They are translated to regular expressions for OPA's engine, RE2, whose time is linear in the text. OPA's ``glob.match``
is not used: its time is exponential in the number of ``*`` (nine of them on a text of 1 KiB take minutes, measured),
and a query that timed out continues to compute.
"""

from __future__ import annotations

import re
from typing import Final

DESTINATION_SEPARATORS: Final = ".", "/", ":", "@", "?", "#", "\\"
"""What ``*`` does not cross, so that ``*.example.com`` does not match ``a.b.example.com``, ``evil.test/x.example.com``
or ``me@x.example.com``. ``**`` crosses all of them."""
_PIECES: Final = re.compile(r"\\.|\*+|\[!?[^\]]+\]|[^\\*?\[{},]+|.", re.DOTALL)
_OF_A_CLASS: Final = re.compile(r"[\\^\[\]]")


def wildcards(pattern: str) -> int:
    """Return how many ``*`` and ``**`` the pattern has. Escaped ones count too."""
    return len(re.findall(r"\*+", pattern))


def separated_glob_regex(pattern: str, separators: tuple[str, ...] = DESTINATION_SEPARATORS) -> str:
    r"""Return an RE2 expression that matches the whole texts that the pattern matches.

    ``*`` is any text without a separator, ``**`` any text, ``?`` one character that is not a separator, ``[a-z]`` and
    ``[!a-z]`` one character in or outside a class, ``{a,b}`` either, and ``\`` makes the next character ordinary. For
    an invalid pattern (an open bracket or brace, a backslash at the end) the result is an invalid expression.
    """
    any_char = f"[^{_escape_class(''.join(separators))}]" if separators else "."
    parts: list[str] = []
    depth = 0  # of open braces
    for piece in _PIECES.findall(pattern):
        parts.append(_part(piece, any_char, in_braces=depth > 0))
        depth += (piece == "{") - (piece == "}" and depth > 0)
    return f"^(?s:{''.join(parts)})$"


def _part(piece: str, any_char: str, *, in_braces: bool) -> str:
    """Return the expression of one piece. `any_char` is that of ``?``."""
    if piece.startswith("*"):
        return any_char + "*" if piece == "*" else ".*"
    if piece.startswith("[") and len(piece) > 1:
        negated = piece.startswith("[!")
        return f"[{'^' if negated else ''}{_escape_class(piece[1 + negated : -1])}]"
    if piece.startswith("\\") and len(piece) > 1:
        return _literal(piece[1:])
    if in_braces and piece in {",", "}"}:
        return "|" if piece == "," else ")"
    special = {"?": any_char, "{": "(?:", "[": "[", "\\": "\\"}
    return special.get(piece) or _literal(piece)


def _literal(text: str) -> str:
    return "".join("\\" + char if char.isascii() and not char.isalnum() else char for char in text)


def _escape_class(characters: str) -> str:
    return _OF_A_CLASS.sub(r"\\\g<0>", characters)
