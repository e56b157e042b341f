"""The words of earlier versions: same output and exit code as the new words, and one line on stderr."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING

import pytest

if TYPE_CHECKING:
    from tests.cli.conftest import Placet
    from tests.serving import Server

RENAMED = {
    ("kill", "list"): ("kill-switches", "list", "--all"),
    ("kill", "clear"): ("kill-switches", "clear", "ks_0", "--reason", "r", "--as", "ann"),
    ("outcome", "report"): ("outcomes", "report", "DECISION", "--tenant", "acme", "--status", "succeeded"),
    ("autonomy", "set", "file"): ("autonomy", "unset", "--tenant", "acme", "--reason", "r", "--as", "ann"),
    ("audit", "query"): ("audit", "decisions", "--tenant", "acme", "--output", "json"),
    ("audit", "log"): ("audit", "events", "--data-dir", "DATA_DIR", "--output", "json"),
    ("audit", "key"): ("audit", "public-key", "--data-dir", "DATA_DIR"),
}
"""Old words -> arguments with the new words. Words that do not differ at the end are not in the key."""


@pytest.fixture
def decision_id(placet: Placet, placet_server: Server, monkeypatch: pytest.MonkeyPatch) -> str:
    """An allowed call, whose outcome is reported already."""
    monkeypatch.setenv("PLACET_ADDRESS", placet_server.address)
    action = ("--tenant", "acme", "--agent", "support-agent", "--user", "u_1", "--tool", "jira.search")
    decided = placet("authorize", *action, "--timeout", "30", "--output", "json").document
    assert decided["effect"] == "allow"
    report = ("--tenant", "acme", "--status", "succeeded")
    assert placet("outcomes", "report", decided["decision_id"], *report).code == 0
    return str(decided["decision_id"])


@pytest.mark.parametrize("old_words", RENAMED, ids=" ".join)
def test_old_words_do_the_same(
    placet: Placet, placet_server: Server, decision_id: str, old_words: tuple[str, ...]
) -> None:
    values = {"DECISION": decision_id, "DATA_DIR": str(placet_server.data_dir)}
    arguments = [values.get(argument, argument) for argument in RENAMED[old_words]]
    new, old = placet(*arguments), placet(*old_words, *arguments[2:])
    assert (old.code, old.out) == (new.code, new.out)
    before, after = (" ".join(words) for words in changed_words(old_words, tuple(arguments[:2])))
    notice = f"placet: '{before}' is now '{after}'; the old word will go in a later version\n"
    assert old.err == notice + new.err


def changed_words(old: tuple[str, ...], new: tuple[str, ...]) -> tuple[tuple[str, ...], tuple[str, ...]]:
    """The words up to the one that was renamed."""
    return (old[:1], new[:1]) if old[0] != new[0] else (old, new)


@pytest.mark.parametrize("path", [(), *dict.fromkeys(words[:1] for words in RENAMED.values())], ids=" ".join)
def test_help_and_suggestions_show_new_words_only(placet: Placet, path: tuple[str, ...]) -> None:
    help_page = placet(*path, "--help").out
    assert not set(re.findall(r"^│ (\S+)", help_page, re.MULTILINE)) & {"kill", "outcome", "query", "log", "key"}
    assert "autonomy set file" not in help_page


@pytest.mark.parametrize(
    ("typed", "suggested"), [("kil", "kill-switches"), ("outcom", "outcomes"), ("kill-switch", "kill-switches")]
)
def test_did_you_mean_suggests_the_new_word(placet: Placet, typed: str, suggested: str) -> None:
    assert f"Did you mean '{suggested}'?" in placet(typed).complaint


@pytest.mark.parametrize(
    ("typed", "completions"),
    [
        ("placet k", "kill-switches keys"),
        ("placet o", "outcomes"),
        ("placet kill-switches ", "set clear list"),
        ("placet kill ", "set clear list"),
        ("placet audit p", "public-key"),
        ("placet autonomy set ", "observe_only draft_only execute_with_approval execute"),
    ],
)
def test_completion_offers_new_words(
    placet: Placet, monkeypatch: pytest.MonkeyPatch, typed: str, completions: str
) -> None:
    monkeypatch.setenv("_PLACET_COMPLETE", "complete_bash")
    monkeypatch.setenv("COMP_WORDS", typed)
    monkeypatch.setenv("COMP_CWORD", str(len(typed.split(" ")) - 1))
    ran = placet()
    assert (ran.code, ran.out.split(), ran.err) == (0, completions.split(), "")


@pytest.mark.parametrize("word", ["unset", "remove", "delete"])
def test_a_word_for_undoing_suggests_clear(placet: Placet, word: str) -> None:
    assert "Did you mean 'clear'?" in placet("kill-switches", word).complaint
