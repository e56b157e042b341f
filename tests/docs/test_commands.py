"""Each `placet ...` in a document is a command that exists, with flags that it has."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING

import pytest

from placet.cli import main as cli
from tests.docs.blocks import documents

if TYPE_CHECKING:
    from pathlib import Path

TYPED = re.compile(r"(?:^|`|\$ |bin/)placet ([a-z][^`\n#|]*)", re.MULTILINE)
GROUPS = {
    "agents",
    "approvals",
    "audit",
    "autonomy",
    "budgets",
    "db",
    "keys",
    "kill-switches",
    "outcomes",
    "policy",
    "tokens",
    "tools",
}


def typed(document: Path) -> set[tuple[str, ...]]:
    """The commands, each with the flags it is used with, e.g. ("audit", "tail", "--tenant")."""
    found: set[tuple[str, ...]] = set()
    for line in TYPED.findall(document.read_text().replace("\\\n", " ")):
        words = line.split()
        if words[0] in cli.COMMANDS:
            name = words[: 2 if words[0] in GROUPS and len(words) > 1 else 1]
            found.add((*name, *(word.partition("=")[0] for word in words if word.startswith("--"))))
    return found


@pytest.mark.parametrize("document", documents(), ids=lambda file: file.name)
def test_commands_and_flags_in_documents_exist(document: Path, capsys: pytest.CaptureFixture[str]) -> None:
    for words in sorted(typed(document)):
        name = [word for word in words if not word.startswith("--")]
        assert cli.main([*name, "--help"]) == 0, f"{document.name} uses placet {' '.join(name)}"
        helped = capsys.readouterr().out
        missing = [word for word in words if word.startswith("--") and word not in helped]
        assert not missing, f"{document.name} uses placet {' '.join(name)} with {missing}"


def test_every_command_is_documented() -> None:
    text = "\n".join(document.read_text() for document in documents())
    missing = [command for command in cli.COMMANDS if not re.search(rf"placet {command}\b", text)]
    assert not missing
