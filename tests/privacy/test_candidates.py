"""The scan that decides which detectors run finds exactly what looking for each word by itself finds."""

from __future__ import annotations

from typing import TYPE_CHECKING

import orjson
import pytest
from hypothesis import given
from hypothesis import strategies as st

from placet.kernel.limits import PARAMS_BYTES_MAX, STEP_BYTES
from placet.privacy.detectors import DETECTORS, HINT_DIGITS, SECRET, candidates
from placet.privacy.plain_text import as_latin, plain
from placet.privacy.redaction import redact_json
from placet.privacy.secret_names import FOREIGN_FORMS, STEMS
from placet.privacy.text_scan import contains_any

if TYPE_CHECKING:
    from placet.privacy.detectors import Detector

HINTS = sorted({hint for detector in DETECTORS for hint in detector.hints})
SEPARATORS = " \t\r\n.,_-/\\|:;*~'()"
COUNTS = ('"input_tokens":', '"output_tokens":', '"currency_code":')
PIECES = (
    st.sampled_from(
        [*HINTS, *STEMS, *map(str.upper, STEMS), *FOREIGN_FORMS, *COUNTS, "\\n", "\\r", "\\", "+", "\u0430"]
    )
    | st.text(f"{SEPARATORS}0123456789n", max_size=24)
    | st.text(max_size=6)
)
TEXTS = st.lists(PIECES, max_size=8).map("".join)


def word_by_word(text: bytes) -> list[Detector]:
    """Return what `candidates` returns, by one search for each word."""
    shown = plain(text.decode(errors="replace"))
    found = {detector for detector in DETECTORS if any(hint in shown for hint in detector.hints)}
    digits = shown
    for escaped in ("\\n", "\\r", "\\t") if "\\" in shown else ():
        digits = digits.replace(escaped, "")
    run = longest = 0
    for character in digits:
        if character not in SEPARATORS:
            run = run + 1 if character in "0123456789" else 0
            longest = max(longest, run)
    if "+" in digits or longest >= HINT_DIGITS:
        found |= {detector for detector in DETECTORS if not detector.hints and detector.name != SECRET}
    names = shown.lower() if text.isascii() else as_latin(shown).casefold()
    for own in COUNTS:
        names = names.replace(own, "")
    foreign = [as_latin(form).casefold() for form in FOREIGN_FORMS] if not names.isascii() else []
    if any(word in names for word in (*STEMS, *foreign)):
        found.add(DETECTORS[-1])
    return [detector for detector in DETECTORS if detector in found]


@given(TEXTS)
def test_one_scan_finds_what_a_search_for_each_word_finds(text: str) -> None:
    content = text.encode(errors="replace")
    assert list(candidates(content)) == word_by_word(content)


@given(TEXTS)
def test_one_scan_of_json_finds_what_a_search_for_each_word_finds(text: str) -> None:
    content = orjson.dumps({"note": text.encode(errors="replace").decode()})
    assert list(candidates(content)) == word_by_word(content)


@pytest.mark.parametrize("word", [*HINTS, *STEMS])
def test_each_word_alone_is_found(word: str) -> None:
    assert candidates(word.encode()) == word_by_word(word.encode()) != []


@pytest.mark.parametrize("word", ["a.c", "<a", "a>", "(", "[x]", "a|b", "a b", "^", "$", "\\", "{2}", "#", "~"])
def test_words_are_no_patterns(word: str) -> None:
    scan = contains_any([word])
    assert scan(f"before{word}after")
    assert not scan("abc a-b aa axc")


@pytest.mark.parametrize(
    ("member", "marker"),
    [('"QA58DOHBABCD1234EFGH5678IJKLM"', "iban"), ('{"input_tokens": "token: hunter2hunter2"}', "secret")],
)
def test_a_large_text_runs_every_detector(member: str, marker: str) -> None:
    """The filter for small texts overlooks numbers with few digits, and counts of tokens that hold a text."""
    prose = "the fox runs over the hill " * (PARAMS_BYTES_MAX // 27)
    assert len(prose) > STEP_BYTES
    assert len(candidates(prose.encode())) > len(candidates(b"the fox"))
    redacted, _ = redact_json({"note": prose, "other": orjson.loads(member)})
    assert f"[redacted:{marker}]" in orjson.dumps(redacted).decode()
