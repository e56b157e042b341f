"""Compares names of people, agents, users, workflows, runs and customers: one rule for all of them.

`folded` returns the form that all spellings of a name share. `name_error` says why a name is rejected. Records,
messages and signatures keep the name as the caller wrote it.

1. NFKC_Casefold: compatibility forms, case and invisible characters make no difference.
2. A letter that looks like a letter of another script, or like another Latin letter, becomes that letter (the skeleton
   of Unicode TS 39): U+0430, the Cyrillic a, is an "a". ASCII letters and digits stay unchanged, because "user_1" and
   "user_l" are two users. So do letters that only resemble others of their own script: they spell other names.
3. Space around a name is removed, and space within becomes one blank.

A capital may look like another letter than its small form: the Greek nu like N or v. One rule of folding cannot serve
both. So `name_error` rejects names that mix scripts, and names that look Latin letter by letter.
"""

from __future__ import annotations

from functools import lru_cache
from typing import Final

import icu

_CACHE: Final = 16_384
"""Cached names: a busy hour's users, 4 MB at most."""
_ROUNDS_MAX: Final = 4
"""Folding is repeated, because a look-alike may be a capital whose small letter looks like yet another. At most two
rounds were needed for any character."""
_HIDDEN_OVERLAY: Final = 256
"""ICU's USPOOF_HIDDEN_OVERLAY, missing in its Python binding: a mark that the letter hides, as a dot on i."""
_LATIN: Final = "Latn"
_FOLDING: Final = icu.Normalizer2.getNFKCCasefoldInstance()
_SHOWS_NOTHING: Final = icu.UnicodeSet(r"[[:Default_Ignorable_Code_Point:]\u2800]")
"""Invisible characters beyond those that are not printable. U+2800 is a Braille pattern without dots."""
_SPOOF: Final = icu.SpoofChecker()
_SPOOF.setChecks(
    icu.USpoofChecks.RESTRICTION_LEVEL | icu.USpoofChecks.INVISIBLE | icu.USpoofChecks.MIXED_NUMBERS | _HIDDEN_OVERLAY
)
_SPOOF.setRestrictionLevel(icu.URestrictionLevel.MODERATELY_RESTRICTIVE)
"""Accepts one script, the scripts of one language, or Latin with one other that is neither Cyrillic nor Greek."""


@lru_cache(maxsize=_CACHE)
def folded(name: str) -> str:
    """Return the form that all spellings of a name share. Works for every text, also one that `name_error` rejects."""
    if name.isascii():
        return " ".join(name.casefold().split())
    for _ in range(_ROUNDS_MAX):
        before, name = name, _FOLDING.normalize("".join(map(look_of, _FOLDING.normalize(name))))
        if name == before:
            break
    return " ".join(name.split())


def same_name(one: str, other: str) -> bool:
    """Return whether two texts are spellings of one name."""
    return folded(one) == folded(other)


@lru_cache(maxsize=_CACHE)
def name_error(name: str) -> str:
    """Return what is wrong with a name; empty when nothing is. An empty name is accepted, because it may be omitted."""
    hidden = next((char for char in name if not char.isprintable() or _SHOWS_NOTHING.contains(char)), "")
    if hidden:
        return f"holds the invisible character U+{ord(hidden):04X}; write the name without it"
    if name and not folded(name):
        return "is blank; write a name or leave it out"
    return "" if name.isascii() else _spoof_error(name)


def _spoof_error(name: str) -> str:
    failed_checks = _SPOOF.check(name)
    if failed_checks & icu.USpoofChecks.RESTRICTION_LEVEL:
        return "mixes alphabets, so that it may look like another name; write it in one"
    if failed_checks & icu.USpoofChecks.MIXED_NUMBERS:
        return "mixes digits of two writing systems; write them all in one"
    if failed_checks:
        return "holds a mark that cannot be seen, such as the same accent twice; write the name without it"
    return _guise_error(name)


def _guise_error(name: str) -> str:
    """Return what is wrong when the name looks, letter by letter, like a Latin name that it is not folded to."""
    look: str = _SPOOF.getSkeleton(0, "".join(char for char in name if not char.isascii()))
    is_folded_to = folded("".join(char for char in name if not char.isascii()))
    if not look.isascii() or _like_i(look.casefold()) == _like_i(is_folded_to):
        return ""
    return f"looks like Latin letters ({look}), which it is not; write it in small letters"


def _like_i(text: str) -> str:
    """Treat I, l and 1 as one letter, as a skeleton does; `folded` tells them apart."""
    return text.replace("l", "i").replace("1", "i")


@lru_cache(maxsize=_CACHE)
def look_of(char: str) -> str:
    """Return the letters that a small character looks like, or the character itself."""
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
