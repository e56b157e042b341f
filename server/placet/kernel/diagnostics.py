"""What is wrong in a document, by place; and what its writer may have meant."""

from __future__ import annotations

import difflib
import heapq
from dataclasses import dataclass
from typing import TYPE_CHECKING, Final

if TYPE_CHECKING:
    from collections.abc import Iterable

Place = tuple[str | int, ...]
"""Where something stands in a nested document: keys and list indexes from the outside in."""
SIMILARITY_MIN: Final = 0.6
"""Share of common letters above which a word is taken for a misspelling (difflib's own default)."""
KNOWN_WORDS_SHOWN_MAX: Final = 12
COMPARED_CHARS_MAX: Final = 64
COMPARED_WORDS_MAX: Final = 64
"""Words of so many characters that are compared with one: 10 ms at most."""


@dataclass(frozen=True, slots=True)
class DocumentDiagnostic:
    """One thing wrong in a nested document. `path` leads to it by keys and list indexes."""

    path: Place
    what: str
    remedy: str = ""

    @property
    def place(self) -> str:
        """The path as people read it: ``agent_policy.approvals["jira.create_ticket"].quorum``, ``allowed_tools[2]``."""
        return place_of(self.path)


def place_of(path: Place) -> str:
    """Write a path for people; a key that is no plain word is quoted."""
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
    """Give the known word that `word` most likely means; empty when none is near. Case does not count.

    Names of callers may be among them, and comparing takes the square of their length: so long ones are left out, and
    of many only those that share most letters are compared.
    """
    wanted = word.casefold()
    if len(wanted) > COMPARED_CHARS_MAX:
        return ""
    by_folded = {each.casefold(): each for each in known if len(each) <= COMPARED_CHARS_MAX}
    letters = frozenset(wanted)
    likely = heapq.nsmallest(
        COMPARED_WORDS_MAX, by_folded, key=lambda each: abs(len(each) - len(wanted)) - len(letters.intersection(each))
    )
    near = difflib.get_close_matches(wanted, likely, n=1, cutoff=similarity_min)
    return by_folded[near[0]] if near else ""


def did_you_mean(word: str, known: Iterable[str]) -> str:
    """Say what `word` may have meant, else which words there are: a remedy for a person."""
    words = sorted(known)
    near = closest(word, words)
    if near:
        return f"did you mean {near}?"
    if not words:
        return "remove it"
    shown = ", ".join(words[:KNOWN_WORDS_SHOWN_MAX])
    return f"known: {shown}" + (", ..." if len(words) > KNOWN_WORDS_SHOWN_MAX else "")
