"""Detectors of personal and secret values in text: payment cards, bank accounts, addresses, phones, credentials.

They prevent accidental leaks into a trail or a log, not deliberate hiding. Every pattern runs in linear time: unbounded
repetitions are possessive, or begin only where a token begins. Places that are examined closely are counted, so no text
takes more than some milliseconds. `secret_names` covers the rest: values that are secret because of their name.
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from typing import TYPE_CHECKING, Final

from placet.kernel.limits import SCREEN_PLACES_MAX, STEP_BYTES
from placet.kernel.steps import exhausted
from placet.privacy.assignments import assignment_spans
from placet.privacy.cards import card_spans
from placet.privacy.iban import iban_length, is_iban
from placet.privacy.plain_text import as_latin, plain
from placet.privacy.secret_forms import HINTS as FORM_HINTS
from placet.privacy.secret_forms import form_spans
from placet.privacy.secret_names import FOREIGN_FORMS, STEMS
from placet.privacy.text_scan import contains_any, matches

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Sequence

    from placet.kernel.steps import Steps

CARD: Final = "card"
SECRET: Final = "secret"  # noqa: S105 - a name
"""A value under a secret name."""
HINT_DIGITS: Final = 9
"""Fewer consecutive digits, without separators, are no card, account or phone number."""
PHONE_DIGITS_MIN: Final = 8
PHONE_DIGITS_MAX: Final = 15


class TooMuchToScreenError(Exception):
    """A value has more places to examine closely than SCREEN_PLACES_MAX."""


class Places:
    """Counts the places that are examined closely in one value."""

    def __init__(self) -> None:
        self._left = SCREEN_PLACES_MAX

    def look(self) -> None:
        """Count one place. Raises TooMuchToScreenError beyond SCREEN_PLACES_MAX."""
        self._left -= 1
        if self._left < 0:
            raise TooMuchToScreenError


_MATCHES_TOGETHER: Final = 256


@dataclass(frozen=True, slots=True, eq=False)
class Detector:
    """Finds one kind of value."""

    name: str
    hints: tuple[str, ...]
    """The detector runs only on texts that contain one of these. Without hints it runs on texts with enough digits."""
    spans: Callable[[str, Callable[[], None]], Iterator[tuple[int, int]]]
    """Yields start and end of each value, in order, and an empty span wherever a step may end."""

    def replace(self, text: str) -> str:
        """Return the text with each value replaced by ``[redacted:<name>]``. Raises TooMuchToScreenError."""
        return exhausted(self.replacing(text, Places()))

    def replacing(self, text: str, places: Places) -> Steps[str]:
        """As `replace`, in steps."""
        if self.hints and not any(hint in text for hint in self.hints):
            return text
        pieces: list[str] = []
        position = 0
        for number, (start, end) in enumerate(self.spans(text, places.look), 1):
            if start < end:
                pieces += (text[position:start], marker(self.name))
                position = end
            if start == end or not number % _MATCHES_TOGETHER:
                yield
        if not pieces:
            return text
        pieces.append(text[position:])
        return "".join(pieces)


def marker(name: str) -> str:
    """Return the marker that replaces a value."""
    return f"[redacted:{name}]"


def _matching(
    pattern: str, flags: int = 0, match_length: Callable[[re.Match[str]], int] | None = None
) -> Callable[[str, Callable[[], None]], Iterator[tuple[int, int]]]:
    """Return a function that yields the spans of a pattern's matches, with empty spans to pause at.

    `match_length` returns the length of the value that a match begins; 0 for none.
    """
    compiled = re.compile(pattern, flags)

    def spans(text: str, look: Callable[[], None]) -> Iterator[tuple[int, int]]:
        position = 0
        for number, match in enumerate(compiled.finditer(text), 1):
            look()
            if not number % _MATCHES_TOGETHER:
                yield position, position
            start = match.start()
            size = match.end() - start if match_length is None else match_length(match)
            if size and start >= position:
                position = start + size
                yield start, position

    return spans


_SEPARATORS: Final = str.maketrans("", "", " .-/()\u00a0")
_IBAN_CHARS_MAX: Final = 72
"""The longest account number with a separator after each character."""


def _iban(match: re.Match[str]) -> int:
    """Return the length of the account number that begins here, including its separators; 0 for none."""
    start = match.start()
    length = iban_length(match[0][:2].upper())
    text = match.string[start : start + _IBAN_CHARS_MAX]
    compact = text.translate(_IBAN_SEPARATORS)
    if not length or not is_iban(compact[:length].upper()):
        return 0
    counted = 0
    for position, character in enumerate(text):
        counted += character not in " -"
        if counted == length:
            return position + 1 if not text[position + 1 : position + 2].isalnum() else 0
    return 0


_IBAN_SEPARATORS: Final = str.maketrans("", "", " -")


def _phone(match: re.Match[str]) -> int:
    """Return the length of the phone number; 0 for too few or too many digits."""
    number = match[0].rstrip(" .-/(")
    digits = len(number.translate(_SEPARATORS).lstrip("+"))
    return len(number) if PHONE_DIGITS_MIN <= digits <= PHONE_DIGITS_MAX else 0


def _credential(match: re.Match[str]) -> int:
    """Return the length of a word after "Bearer" or "Basic" if it is a credential, else 0.

    No dictionary word contains a digit or "=".
    """
    return len(match[0]) if any(character in "0123456789=" for character in match[0]) else 0


_TOKEN_CHARS_MIN: Final = 16
_MARKER: Final = re.compile(r"\[redacted:[a-z_]+\]\Z")


def _userinfo(match: re.Match[str]) -> int:
    """Return the length of a password in a URL, or of a token; 0 for a user name without a password."""
    userinfo = match[0]
    if _MARKER.match(userinfo):
        return 0
    token = len(userinfo) >= _TOKEN_CHARS_MIN and any(character.isdigit() for character in userinfo)
    return len(userinfo) if ":" in userinfo or token else 0


DETECTORS: Final = (
    Detector(
        "private_key",
        ("PRIVATE KEY",),
        _matching(
            r"-----BEGIN [A-Z0-9 ]{0,40}PRIVATE KEY(?: BLOCK)?-----[^\ud800]*?"
            r"(?:-----END [A-Z0-9 ]{0,40}PRIVATE KEY(?: BLOCK)?-----|(?=\ud800)|\Z)"
        ),
    ),
    Detector(
        "jwt",
        ("eyJ",),
        _matching(r"(?<![\w-])eyJ[\w-]{8,}+\.eyJ[\w-]{8,}+\.[\w-]*+", re.ASCII),
    ),
    Detector("aws_key", ("AKIA", "ASIA"), _matching(r"(?:AKIA|ASIA)[A-Z0-9]{16}(?![A-Za-z0-9])")),
    Detector(
        "aws_secret",
        ("ccess", "CCESS"),
        _matching(r"""(?i:(?:aws_?)?secret_?access_?key)["']?[ :=]{1,3}["']?[A-Za-z0-9/+]{40}(?![A-Za-z0-9/+])"""),
    ),
    Detector(
        "github_token",
        ("ghp_", "gho_", "ghu_", "ghs_", "ghr_", "github_pat_"),
        _matching(r"gh[pousr]_[A-Za-z0-9]{36,255}|github_pat_[A-Za-z0-9_]{22,255}"),
    ),
    Detector(
        "slack_token",
        ("xox", "xapp-", "hooks.slack.com/"),
        _matching(
            r"xox[abceoprs]-[A-Za-z0-9-]{10,}+|xapp-[A-Za-z0-9-]{10,}+|hooks\.slack\.com/services/[A-Za-z0-9/]{20,}+"
        ),
    ),
    Detector(
        "api_key",
        ("sk_", "rk_", "sk-", "whsec_", "AIza", "glpat-", "npm_", "SG.", "dop_v1_", "hf_", "placet_"),
        _matching(
            r"[sr]k_(?<![A-Za-z0-9][sr]k_)(?:live|test)_[A-Za-z0-9]{10,}+|sk_(?<![A-Za-z0-9]sk_)[A-Za-z0-9]{20,}+"
            r"|sk-(?<![\w-]sk-)(?=[\w-]{0,40}?[0-9])[\w-]{20,}+|whsec_[A-Za-z0-9]{20,}+"
            r"|AIza[\w-]{35}|glpat-[\w-]{20,}+|npm_(?<![A-Za-z0-9]npm_)[A-Za-z0-9]{36}"
            r"|SG\.(?<![A-Za-z0-9]SG\.)[\w-]{22}\.[\w-]{43}|dop_v1_[a-f0-9]{64}|hf_(?<![A-Za-z0-9]hf_)[A-Za-z0-9]{34,}+"
            r"|placet_(?<![A-Za-z0-9]placet_)[A-Za-z0-9]{40,}+",
            re.ASCII,
        ),
    ),
    Detector(
        "credential",
        ("earer ", "EARER ", "asic ", "ASIC "),
        _matching(r"(?i:(?<=bearer )|(?<=basic ))[A-Za-z0-9._~+/-]{16,}+={0,2}", match_length=_credential),
    ),
    Detector("password", ("://",), _matching(r"(?<=://)[^\s/?#\"'<>\ud800]{1,512}(?=@)", match_length=_userinfo)),
    Detector(
        "email",
        ("@",),
        _matching(r"(?<![\w.%+-])[\w.%+-]++@(?:[\w-]{1,63}\.){1,127}[^\W\d_]{2,24}(?![\w-])"),
    ),
    Detector(
        "iban",
        (),
        _matching(r"(?<![A-Za-z0-9])[A-Za-z]{2}[0-9]{2}(?=[ -]?[A-Za-z0-9]{2})", match_length=_iban),
    ),
    Detector(CARD, (), card_spans),
    Detector(
        "phone",
        (),
        _matching(
            r"\+(?<![\w+]\+)[1-9](?:[ .\-/()]{0,2}[0-9]){7,14}(?![0-9])"
            r"|[(0-9](?<![\w.+-][(0-9])(?:(?<=\()[0-9]{3}\) ?|(?<!\()[0-9]{2}[-. ])[0-9]{3}[-. ][0-9]{4}(?![\w-])"
            r"|[(0](?<![\w.+-][(0])(?:(?<=\()0[1-9][0-9]{1,3}\)|(?<=0)[1-9][0-9]{1,3})"
            r"[ /-][0-9]{3,4}[ -]?[0-9]{3,5}(?![\w-])",
            match_length=_phone,
        ),
    ),
    Detector(SECRET, FORM_HINTS, form_spans),
    Detector(SECRET, (), assignment_spans),
)
"""In the order in which they run: values that enclose others come first."""

_ESCAPED: Final = ("\\n", "\\r", "\\t")
_BY_HINT: Final = tuple((hint, detector) for detector in DETECTORS for hint in detector.hints)
_BY_DIGITS: Final = tuple(detector for detector in DETECTORS if not detector.hints and detector.name != SECRET)
_BY_NAME: Final = DETECTORS[-1]
_COUNTS: Final = ('"input_tokens":', '"output_tokens":', '"currency_code":')
"""Keys that Placet itself puts into every request; their stems are no hint."""

_has_hint: Final = contains_any(hint for hint, _ in _BY_HINT)
_has_number: Final = matches(rf"\+|[0-9](?:[ \t\r\n.,_\-/\\|:;*~'()]*[0-9]){{{HINT_DIGITS - 1}}}")
"""A plus sign, or HINT_DIGITS digits with nothing but separators between them."""
_has_stem: Final = contains_any(STEMS)
_has_foreign_form: Final = contains_any(as_latin(form).casefold() for form in FOREIGN_FORMS)


def candidates(text: bytes) -> Sequence[Detector]:
    """Return the detectors that may find something in text, or in JSON in UTF-8, in order.

    A quick filter: a detector that it returns may still find nothing.
    """
    if len(text) > STEP_BYTES:
        return DETECTORS
    if text.isascii():
        shown = text.decode()
        comparable = shown.lower()
    else:
        shown = plain(text.decode(errors="replace"))
        comparable = as_latin(shown).casefold()
    detectors = {detector for hint, detector in _BY_HINT if hint in shown} if _has_hint(shown) else set()
    for escaped in _ESCAPED if "\\" in shown else ():
        shown = shown.replace(escaped, "")
    if _has_number(shown):
        detectors.update(_BY_DIGITS)
    for own in _COUNTS:
        comparable = comparable.replace(own, "")
    if _has_stem(comparable) or (not comparable.isascii() and _has_foreign_form(comparable)):
        detectors.add(_BY_NAME)
    return [detector for detector in DETECTORS if detector in detectors] if detectors else ()
