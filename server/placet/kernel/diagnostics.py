"""Diagnostics of nested documents (YAML, JSON): the place, what is wrong, and "did you mean" hints."""

from __future__ import annotations

import difflib
import heapq
from dataclasses import dataclass
from typing import TYPE_CHECKING, Final

if TYPE_CHECKING:
    from collections.abc import Iterable

Place = tuple[str | int, ...]
"""Path to a value in a nested document: keys and list indexes from the outside in."""
SIMILARITY_MIN: Final = 0.6
"""`difflib` ratio from which a word counts as a misspelling of another (difflib's own default)."""
KNOWN_WORDS_SHOWN_MAX: Final = 12
"""Words that a "known: ..." hint lists at most."""
COMPARED_CHARS_MAX: Final = 64
"""Longer words are not compared: the time of a comparison grows with the square of the length."""
COMPARED_WORDS_MAX: Final = 64
"""Known words that are compared with one misspelt word: 10 ms at most for words of COMPARED_CHARS_MAX."""


@dataclass(frozen=True, slots=True)
class DocumentDiagnostic:
    """One problem at one place of a nested document."""

    path: Place
    what: str
    """What is wrong, as the rest of a sentence whose subject is the place."""
    remedy: str = ""
    """How to fix it; empty when the problem itself says so."""

    @property
    def place(self) -> str:
        """The path as text, e.g. ``agent_policy.approvals["jira.create_ticket"].quorum`` or ``allowed_tools[2]``."""
        return place_of(self.path)


def place_of(path: Place) -> str:
    """Return the path as text. A key that is not an identifier is quoted in brackets."""
    text = ""
    for part in path:
        if isinstance(part, int):
            text += f"[{part}]"
        elif part.isidentifier():
            text += f".{part}" if text else part
        else:
            text += f'["{part}"]'
    return text


def closest(word: str, known: Iterable[str], similarity_min: float = SIMILARITY_MIN) -> str:
    """Return the known word that is most similar to `word`, ignoring case; empty when none is similar enough.

    `known` may hold names that callers chose, and the time of a comparison grows with the square of the length. So
    words over COMPARED_CHARS_MAX are skipped, and only the COMPARED_WORDS_MAX that share most letters are compared.
    """
    folded = word.casefold()
    if len(folded) > COMPARED_CHARS_MAX:
        return ""
    by_folded = {name.casefold(): name for name in known if len(name) <= COMPARED_CHARS_MAX}
    letters = frozenset(folded)
    likely = heapq.nsmallest(
        COMPARED_WORDS_MAX, by_folded, key=lambda name: abs(len(name) - len(folded)) - len(letters.intersection(name))
    )
    near = difflib.get_close_matches(folded, likely, n=1, cutoff=similarity_min)
    return by_folded[near[0]] if near else ""


def did_you_mean(word: str, known: Iterable[str]) -> str:
    """Return a remedy for an unknown word: "did you mean X?" when one is similar, else the list of known words."""
    words = sorted(known)
    near = closest(word, words)
    if near:
        return f"did you mean {near}?"
    if not words:
        return "remove it"
    shown = ", ".join(words[:KNOWN_WORDS_SHOWN_MAX])
    return f"known: {shown}" + (", ..." if len(words) > KNOWN_WORDS_SHOWN_MAX else "")
