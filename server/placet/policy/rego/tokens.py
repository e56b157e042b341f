"""Split the text of a Rego module into tokens, without OPA."""

from __future__ import annotations

import re
from dataclasses import dataclass
from functools import lru_cache
from itertools import pairwise
from typing import TYPE_CHECKING, Final

if TYPE_CHECKING:
    from collections.abc import Sequence

SOURCES_KEPT: Final = 256
"""Modules of which results are kept, so that a reload reads only those that changed."""
_TOKEN: Final = re.compile(
    r"""(?P<space>[ \t\r\n]+)|(?P<comment>\#[^\n]*)|(?P<string>"(?:[^"\\\n]|\\.)*"|`[^`]*`)"""
    r"""|(?P<number>-?[0-9]+(?:\.[0-9]+)?(?:[eE][+-]?[0-9]+)?)|(?P<word>[A-Za-z_][A-Za-z0-9_]*)|(?P<sign>:=|.)""",
    re.DOTALL,
)

_OPENING: Final = frozenset("([{")
_CLOSING: Final = frozenset(")]}")


@dataclass(frozen=True, slots=True)
class Token:
    """One token of Rego."""

    kind: str  # string, template, number, word or sign
    text: str
    start: int  # offset in characters
    end: int  # offset in characters, exclusive
    line: int  # from 0


def closing(source: Sequence[Token], opening: int) -> int:
    """Return the index of the bracket that closes the one at `opening`; the number of tokens when none does."""
    depth = 0
    for index in range(opening, len(source)):
        depth += nesting(source[index])
        if depth == 0:
            return index
    return len(source)


def nesting(token: Token) -> int:
    """Return 1 for an opening bracket, -1 for a closing one, 0 for any other token."""
    return (token.text in _OPENING) - (token.text in _CLOSING)


@lru_cache(maxsize=SOURCES_KEPT)
def tokens(source: str) -> tuple[Token, ...]:
    """Return all tokens except space and comments. A build reads each module twice, so they are kept."""
    found: list[Token] = []
    position = line = 0
    while position < len(source):
        if source.startswith(('$"', "$`"), position):
            end = _template_end(source, position)
            found.append(Token("template", source[position:end], position, end, line))
        else:
            match = _TOKEN.match(source, position)
            if match is None:
                raise AssertionError("every character is a token")
            end = match.end()
            if match.lastgroup not in {"space", "comment"}:
                found.append(Token(str(match.lastgroup), match.group(), position, end, line))
        line += source.count("\n", position, end)
        position = end
    return tuple(found)


def forget_tokens() -> None:
    """Free the tokens. Those of a thousand rules take 12 MiB."""
    tokens.cache_clear()


@lru_cache(maxsize=SOURCES_KEPT)
def replaces_data(source: str) -> bool:
    """Return whether a module may replace something other than `input` by ``with``: data, or a function.

    The target can be the name of an import of data, so only `input` is known to be none. In a module with template
    strings, which hold expressions, any ``with`` counts.
    """
    if "with" not in source:
        return False
    found = tokens(source)
    targets = (following.text for word, following in pairwise(found) if word.text == "with")
    return any(target != "input" for target in targets) or _has_template(found)


@lru_cache(maxsize=SOURCES_KEPT)
def may_define(source: str, name: str) -> bool:
    """Return whether a module may have a rule of the name: it holds the word, and not as a part of a reference."""
    if name not in source:
        return False
    found = tokens(source)
    befores = ("", *(token.text for token in found))
    is_word = any(token.text == name and before != "." for before, token in zip(befores, found, strict=False))
    return is_word or _has_template(found)


def _has_template(source: Sequence[Token]) -> bool:
    return any(token.kind == "template" for token in source)


def _template_end(source: str, start: int) -> int:
    r"""Return the offset after a template string: ``$"a {input.b["c"]}"`` holds expressions, which hold strings.

    A backslash escapes any character; between backquotes only the brace of ``\{``.
    """
    quote = source[start + 1]
    position = start + 2
    while position < len(source):
        char = source[position]
        if char == "\\" and (quote == '"' or source.startswith("{", position + 1)):
            position += 2
        elif char == quote:
            return position + 1
        elif char == "{":
            position = _expression_end(source, position)
        else:
            position += 1
    return len(source)


def _expression_end(source: str, start: int) -> int:
    """Return the offset after the ``}`` that closes the expression at `start`; the end of the source without one."""
    depth = 0
    position = start
    while position < len(source):
        if source.startswith(('$"', "$`"), position):
            position = _template_end(source, position)
            continue
        match = _TOKEN.match(source, position)
        if match is None:
            raise AssertionError("every character is a token")
        position = match.end()
        if match.lastgroup == "sign":
            depth += (match.group() == "{") - (match.group() == "}")
            if depth == 0:
                return position
    return len(source)
