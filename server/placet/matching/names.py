"""The one rule by which names of people, agents, users, workflows, runs and customers are compared and counted.

`folded` gives what all spellings of a name have in common, `name_fault` says why a name is not taken at all. Where a
name is recorded, shown or signed it stays as the caller wrote it.

1. NFKC_Casefold: forms and case of a character, and characters that show nothing, make no other name.
2. A letter that looks like one of another script, or like another Latin letter, becomes that one (the skeleton of
   Unicode TS 39): U+0430, the Cyrillic a, is an "a". ASCII letters and digits stay what they are, since "user_1" and
   "user_l" are two users, and so do letters that only resemble others of their own script: they spell other names.
3. Space around a name goes, space within is one blank.

A capital may look like another letter than its small form: the Greek nu like N or v. One rule of folding
cannot serve both, so such names are refused: those that mix scripts, and those that look Latin letter by letter.
"""

from __future__ import annotations

from functools import lru_cache
from typing import Final

import icu

_CACHE: Final = 16_384
"""Names held in memory: a busy hour's users, 4 MB at most."""
_ROUNDS_MAX: Final = 4
"""A look-alike may be a capital, whose small letter looks like another one. Two rounds were the most that was found."""
_HIDDEN_OVERLAY: Final = 256
"""USPOOF_HIDDEN_OVERLAY of ICU, which its Python binding does not name: a mark hidden by the letter, as a dot on i."""
_LATIN: Final = "Latn"
_FOLDING: Final = icu.Normalizer2.getNFKCCasefoldInstance()
_SHOWS_NOTHING: Final = icu.UnicodeSet(r"[[:Default_Ignorable_Code_Point:]\u2800]")
"""Beside what is not printable. U+2800 is a Braille pattern without dots."""
_SPOOF: Final = icu.SpoofChecker()
_SPOOF.setChecks(
    icu.USpoofChecks.RESTRICTION_LEVEL | icu.USpoofChecks.INVISIBLE | icu.USpoofChecks.MIXED_NUMBERS | _HIDDEN_OVERLAY
)
_SPOOF.setRestrictionLevel(icu.URestrictionLevel.MODERATELY_RESTRICTIVE)
"""One script, the scripts of one language, or Latin beside one other that is neither Cyrillic nor Greek."""


@lru_cache(maxsize=_CACHE)
def folded(name: str) -> str:
    """What all spellings of a name have in common. Every text has it, also one that `name_fault` complains of."""
    if name.isascii():
        return " ".join(name.casefold().split())
    for _ in range(_ROUNDS_MAX):
        before, name = name, _FOLDING.normalize("".join(map(look_of, _FOLDING.normalize(name))))
        if name == before:
            break
    return " ".join(name.split())


def same_name(one: str, other: str) -> bool:
    """Whether two names are one: another spelling is no other name."""
    return folded(one) == folded(other)


@lru_cache(maxsize=_CACHE)
def name_fault(name: str) -> str:
    """What is wrong with a name, "" for nothing. An empty name has no fault: it may be left out."""
    hidden = next((char for char in name if not char.isprintable() or _SHOWS_NOTHING.contains(char)), "")
    if hidden:
        return f"holds the invisible character U+{ord(hidden):04X}; write the name without it"
    if name and not folded(name):
        return "is blank; write a name or leave it out"
    return "" if name.isascii() else _spoof_fault(name)


def _spoof_fault(name: str) -> str:
    found = _SPOOF.check(name)
    if found & icu.USpoofChecks.RESTRICTION_LEVEL:
        return "mixes alphabets, so that it may look like another name; write it in one"
    if found & icu.USpoofChecks.MIXED_NUMBERS:
        return "mixes digits of two writing systems; write them all in one"
    if found:
        return "holds a mark that cannot be seen, such as the same accent twice; write the name without it"
    return _guise_fault(name)


def _guise_fault(name: str) -> str:
    """Whether it looks, letter by letter, like a Latin name that it is not folded to."""
    look: str = _SPOOF.getSkeleton(0, "".join(char for char in name if not char.isascii()))
    is_folded_to = folded("".join(char for char in name if not char.isascii()))
    if not look.isascii() or _like_i(look.casefold()) == _like_i(is_folded_to):
        return ""
    return f"looks like Latin letters ({look}), which it is not; write it in small letters"


def _like_i(text: str) -> str:
    """I, l and 1 are one letter in a skeleton, which `folded` tells apart."""
    return text.replace("l", "i").replace("1", "i")


@lru_cache(maxsize=_CACHE)
def look_of(char: str) -> str:
    """The letters that a character, in its small form, looks like; or itself."""
    if char.isascii():
        return char
    look: str = _SPOOF.getSkeleton(0, char)
    if look.isascii():
        return look
    capital: str = _SPOOF.getSkeleton(0, char.upper())
    if capital.isascii() and capital.isalpha():
        return capital
    script = _script(char)
    return look if script == _LATIN or script != _script(look[0]) else char


def _script(char: str) -> str:
    name: str = icu.Script.getScript(char).getShortName()
    return name
