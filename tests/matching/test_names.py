"""One rule of folding for the names of people, agents, users, workflows and customers."""

from __future__ import annotations

import subprocess
import sys
import time

import pytest
from hypothesis import given
from hypothesis import strategies as st

from placet.matching.names import folded, name_error, same_name
from placet.matching.person import same_person


@pytest.mark.parametrize(
    ("one", "other"),
    [
        ("alice", "Alice"),
        ("alice", " alice\n"),
        ("ann lee", "ann  lee"),
        ("alice", "\uff41\uff4c\uff49\uff43\uff45"),  # fullwidth
        ("alice", "ali\u3164ce"),  # Hangul filler
        ("alice", "ali\u034fce"),  # grapheme joiner
        ("alice", "ali\u00adce"),  # soft hyphen
        ("alice", "ali\ufe0fce"),  # variation selector
        ("alice", "\u0430lice"),  # Cyrillic a
        ("alice", "\u0251lice"),  # Latin alpha
        ("capa", "\u0421\u0430\u0440\u0430"),  # wholly Cyrillic
        ("jörg", "JO\u0308RG"),
        ("strasse", "straße"),
        ("pawe\u0142", "pawel\u0338"),  # stroke and overlay
        ("o'brien", "O\u2019Brien"),
        ("\u5de5\u85e4", "\u30a8\u85e4"),  # a Katakana letter for a Han one
        ("\u043d\u0438\u043d\u0430", "\u041d\u0418\u041d\u0410"),  # Nina, small and capital
    ],
)
def test_another_spelling_is_no_other_name(one: str, other: str) -> None:
    assert same_name(one, other)
    assert same_person(one, other)


@pytest.mark.parametrize(
    ("one", "other"),
    [
        ("user_1", "user_l"),
        ("user_0", "user_o"),
        ("modern", "modem"),
        ("ann", "ann2"),
        ("jorg", "jörg"),
        ("pawel", "pawe\u0142"),
        ("\u0e44\u0e17\u0e22", "\u0e44\u0e11\u0e22"),  # two Thai letters that resemble each other
        ("ann", ""),
    ],
)
def test_names_that_only_resemble_each_other_are_two(one: str, other: str) -> None:
    assert not same_name(one, other)


@pytest.mark.parametrize(
    "name",
    [
        "",
        "u_4812",
        "joanna@example.com",
        "support-agent/v2 (beta)",
        "O\u2019Brien",
        "J\u00f6rg",
        "Pawe\u0142",
        "\u0421\u0430\u0440\u0430",
        "\u5c71\u53e3\u3055\u3093",
        "\u7530\u4e2d-agent",
        "\uae40\ucca0\uc218",
        "\u0645\u0631\u064a\u0645",
        "\u0e44\u0e17\u0e22",
        "\u0915\u094d\u0937\u092e\u093e",
        "bot \U0001f916",
    ],
)
def test_ordinary_names_are_taken(name: str) -> None:
    assert name_error(name) == ""


@pytest.mark.parametrize(
    ("name", "what"),
    [
        ("ali\u3164ce", "invisible character U+3164"),
        ("ali\u034fce", "invisible character U+034F"),
        ("ali\u200bce", "invisible character U+200B"),
        ("ali\u00adce", "invisible character U+00AD"),
        ("ali\u2800ce", "invisible character U+2800"),
        ("ali\u17b4ce", "invisible character U+17B4"),
        ("ali\ufe0fce", "invisible character U+FE0F"),
        ("ali\u202ece", "invisible character U+202E"),
        ("ali\u0000ce", "invisible character U+0000"),
        ("   ", "blank"),
        ("p\u0430ypal", "mixes alphabets"),
        ("\u039dick", "mixes alphabets"),
        ("user1\u0663", "mixes digits"),
        ("a\u0301\u0301", "mark that cannot be seen"),
        ("i\u0307an", "mark that cannot be seen"),
        ("\u0391\u039d\u039d\u0391", "looks like Latin letters"),  # Greek capitals like ANNA
    ],
)
def test_names_that_hide_or_mislead_are_not_taken(name: str, what: str) -> None:
    assert what in name_error(name)


@given(st.text(max_size=64))
def test_a_folded_name_stays_as_it_is(name: str) -> None:
    assert folded(folded(name)) == folded(name)


def test_the_fold_of_every_character_stays_as_it_is() -> None:
    fold = folded.__wrapped__  # without the cache
    codes = (*range(0x3400), *range(0xA000, 0xAC00), *range(0xF900, 0x17000), *range(0x1B000, 0x20000))  # no CJK
    assert [f"U+{code:04X}" for code in codes if fold(fold(chr(code))) != fold(chr(code))] == []


@given(st.text(st.characters(codec="ascii"), max_size=64))
def test_ascii_names_fold_case_and_space_alone(name: str) -> None:
    assert folded(name) == " ".join(name.lower().split())


@given(st.text(max_size=64), st.sampled_from("\u3164\u034f\u200b\u00ad\ufe0f\u115f"), st.integers(0, 64))
def test_what_shows_nothing_makes_no_other_name(name: str, hidden: str, at: int) -> None:
    spelled = name[:at] + hidden + name[at:]
    assert name_error(spelled)
    assert folded("a" + hidden + "b" + name) == folded("ab" + name)


@pytest.mark.parametrize("name", ["\u0301" * 128, "a\u0327\u0301" * 40, "\u1100" * 85, "\ufdfa" * 85])
def test_no_name_is_slow_to_fold(name: str) -> None:
    started = time.thread_time()
    folded.__wrapped__(name)
    name_error.__wrapped__(name)
    assert time.thread_time() - started < 0.01


def test_the_sdk_does_without() -> None:
    code = "import sys, placet.sdk; sys.exit('icu' in sys.modules)"
    assert subprocess.run([sys.executable, "-c", code], check=False).returncode == 0
