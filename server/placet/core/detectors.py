"""Detectors of personal and secret values in text: payment cards, bank accounts, addresses, phones, credentials.

They guard against what slips into a trail or a log by accident, not against somebody who hides it. Every pattern runs
in linear time: what repeats without bound is possessive, or begins only where a token begins.
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from typing import TYPE_CHECKING, Final

from placet.core.iban import iban_length, is_iban

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

CARD: Final = "card"
CARD_DIGITS_MIN: Final = 13
CARD_DIGITS_MAX: Final = 19
HINT_DIGITS: Final = 10
"""Fewer digits in a row, separators left out, are no card, account or national phone number."""
PHONE_DIGITS_MIN: Final = 8
PHONE_DIGITS_MAX: Final = 15


@dataclass(frozen=True, slots=True, eq=False)
class Detector:
    """Finds one kind of value. Without any of `hints` in the text its pattern is not tried; with none, it needs digits.

    `find` gives the length that a match of `pattern` turns out to have, 0 when it is none after all. `shadow` is a
    group of the pattern that is replaced instead of the whole.
    """

    name: str
    hints: tuple[str, ...]
    pattern: re.Pattern[str]
    find: Callable[[re.Match[str]], int] = lambda match: match.end() - match.start()

    def replace(self, text: str) -> str:
        """The text with what was found replaced by ``[redacted:<name>]``."""
        if self.hints and not any(hint in text for hint in self.hints):
            return text
        kept: list[str] = []
        position = 0
        for match in self.pattern.finditer(text):
            start = match.start()
            if start < position:
                continue
            length = self.find(match)
            if length:
                kept += (text[position:start], marker(self.name))
                position = start + length
        if not kept:
            return text
        kept.append(text[position:])
        return "".join(kept)


def marker(name: str) -> str:
    """What stands in place of a value that was found."""
    return f"[redacted:{name}]"


def is_card(digits: str) -> bool:
    """Whether ASCII digits are a payment card number: length, range of issuers, Luhn's check digit."""
    if not CARD_DIGITS_MIN <= len(digits) <= CARD_DIGITS_MAX:
        return False
    if not (digits[0] in "3456" or "22" <= digits[:2] <= "27"):
        return False
    doubled = digits[-2::-2].translate(_LUHN)
    return (sum(map(int, digits[::-2])) + sum(map(int, doubled))) % 10 == 0


_LUHN: Final = str.maketrans("0123456789", "0246813579")
_SEPARATORS: Final = str.maketrans("", "", " .-/()\u00a0")
_HEX_LETTERS: Final = frozenset("abcdef")


def _card(match: re.Match[str]) -> int:
    """A card number that is not a piece of a hexadecimal digest or id."""
    found = match[1]
    text = match.string
    before, after = text[match.start() - 1 : match.start()], text[match.end(1) : match.end(1) + 1]
    if before in _HEX_LETTERS or after in _HEX_LETTERS:
        return 0
    return len(found) if is_card(found.translate(_SEPARATORS)) else 0


def _iban(match: re.Match[str]) -> int:
    """The length of the account number that begins here, its spaces included."""
    start = match.start()
    wanted = iban_length(match[0][:2].upper())
    if not wanted:
        return 0
    text = match.string[start : start + 2 * wanted]
    said = ""
    for position, character in enumerate(text):
        if character.isalnum():
            said += character
            if len(said) == wanted:
                glued = text[position + 1 : position + 2].isalnum()
                return position + 1 if not glued and is_iban(said.upper()) else 0
        elif character not in " -":
            return 0
    return 0


def _phone(match: re.Match[str]) -> int:
    found = match[0].rstrip(" .-/(")
    digits = len(found.translate(_SEPARATORS).lstrip("+"))
    return len(found) if PHONE_DIGITS_MIN <= digits <= PHONE_DIGITS_MAX else 0


def _credential(match: re.Match[str]) -> int:
    """A word after "Bearer" or "Basic" is a credential only when no dictionary has it."""
    return len(match[0]) if any(character in "0123456789=" for character in match[0]) else 0


DETECTORS: Final = (
    Detector(
        "private_key",
        ("PRIVATE KEY-----",),
        re.compile(
            r"-----BEGIN [A-Z0-9 ]{0,40}PRIVATE KEY-----.*?(?:-----END [A-Z0-9 ]{0,40}PRIVATE KEY-----|\Z)", re.DOTALL
        ),
    ),
    Detector(
        "jwt",
        ("eyJ",),
        re.compile(r"(?<![\w-])eyJ[\w-]{8,}+\.eyJ[\w-]{8,}+\.[\w-]*+", re.ASCII),
    ),
    Detector("aws_key", ("AKIA", "ASIA"), re.compile(r"(?:AKIA|ASIA)[A-Z0-9]{16}(?![A-Za-z0-9])")),
    Detector(
        "aws_secret",
        ("ccess", "CCESS"),
        re.compile(r"""(?i:(?:aws_?)?secret_?access_?key)["']?[ :=]{1,3}["']?[A-Za-z0-9/+]{40}(?![A-Za-z0-9/+])"""),
    ),
    Detector(
        "github_token",
        ("gh", "github_pat_"),
        re.compile(r"gh[pousr]_[A-Za-z0-9]{36,255}|github_pat_[A-Za-z0-9_]{22,255}"),
    ),
    Detector(
        "slack_token",
        ("xox", "xapp-", "hooks.slack.com/"),
        re.compile(
            r"xox[abceoprs]-[A-Za-z0-9-]{10,}+|xapp-[A-Za-z0-9-]{10,}+|hooks\.slack\.com/services/[A-Za-z0-9/]{20,}+"
        ),
    ),
    Detector(
        "api_key",
        ("k_", "sk-", "whsec_", "AIza", "glpat-", "npm_"),
        re.compile(
            r"[sr]k_(?:live|test)_[A-Za-z0-9]{10,}+|(?<![A-Za-z0-9])sk_[A-Za-z0-9]{20,}+"
            r"|(?<![A-Za-z0-9])sk-(?=[\w-]{0,40}?[0-9])[\w-]{20,}+|whsec_[A-Za-z0-9]{20,}+"
            r"|AIza[\w-]{35}|glpat-[\w-]{20,}+|(?<![A-Za-z0-9])npm_[A-Za-z0-9]{36}",
            re.ASCII,
        ),
    ),
    Detector(
        "credential",
        ("earer ", "EARER ", "asic ", "ASIC "),
        re.compile(r"(?i:(?<=bearer )|(?<=basic ))[A-Za-z0-9._~+/-]{16,}+={0,2}"),
        _credential,
    ),
    Detector("password", ("://",), re.compile(r"(?<=://)[^\s/@:\[\]]{0,64}:[^\s/@\[\]]{1,128}(?=@)")),
    Detector(
        "email",
        ("@",),
        re.compile(r"(?<![\w.%+-])[\w.%+-]++@(?:[\w-]{1,63}\.)+[^\W\d_]{2,24}(?![\w-])"),
    ),
    Detector(
        "iban",
        (),
        re.compile(r"(?<![A-Za-z0-9])[A-Za-z]{2}[0-9]{2}(?=[ -]?[A-Za-z0-9]{2})"),
        _iban,
    ),
    Detector(
        CARD,
        (),
        # Looks ahead, so that a number that is none does not hide the card that begins within it.
        re.compile(
            r"(?<![0-9])(?=([0-9]{13,19}(?![0-9])"
            r"|[0-9]{4}([ .\-\u00a0])[0-9]{4}\2[0-9]{4}\2[0-9]{4}(?:\2[0-9]{3})?(?![0-9])"
            r"|[0-9]{4}([ .\-\u00a0])[0-9]{6}\3[0-9]{4,5}(?![0-9])))"
        ),
        _card,
    ),
    Detector(
        "phone",
        (),
        re.compile(
            r"(?<![\w+])\+[1-9](?:[ .\-/()]{0,2}[0-9]){7,14}(?![0-9])"
            r"|(?<![\w.+-])(?:\([0-9]{3}\) ?|[0-9]{3}[-. ])[0-9]{3}[-. ][0-9]{4}(?![\w-])"
            r"|(?<![\w.+-])(?:\(0[1-9][0-9]{1,3}\)|0[1-9][0-9]{1,3})[ /-][0-9]{3,4}[ -]?[0-9]{3,5}(?![\w-])"
        ),
        _phone,
    ),
)
"""In the order in which they are tried: what encloses others comes first."""

_SQUASH: Final = bytes(ord("0") if chr(byte) in "0123456789" else ord(" ") for byte in range(256))
_SQUASHED_OUT: Final = b" .-/()\xa0\xc2"
_DIGITS: Final = b"0" * HINT_DIGITS
_BY_HINT: Final = tuple((hint.encode(), detector) for detector in DETECTORS for hint in detector.hints)
_BY_DIGITS: Final = tuple(detector for detector in DETECTORS if not detector.hints)


def candidates(text: bytes) -> Sequence[Detector]:
    """The detectors that could find something in UTF-8 text, in order; none is certain. About 5 us for 400 bytes."""
    found: set[Detector] = set()
    if b"+" in text or _DIGITS in text.translate(_SQUASH, _SQUASHED_OUT):
        found.update(_BY_DIGITS)
    for hint, detector in _BY_HINT:
        if hint in text:
            found.add(detector)
    return [detector for detector in DETECTORS if detector in found] if found else ()
