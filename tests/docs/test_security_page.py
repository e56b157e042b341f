"""The threat model: each kind of threat has rows, and each row has a defence and tests that exist."""

from __future__ import annotations

import re
from typing import Final

import pytest

from tests.docs.blocks import ROOT

PAGE: Final = ROOT / ".github/SECURITY.md"
KINDS: Final = {
    "spoofing",
    "tampering",
    "repudiation",
    "information disclosure",
    "denial of service",
    "elevation of privilege",
}
TEST: Final = re.compile(r"`(tests/[\w/]+\.py)(?:::(\w+))?`")


def rows() -> list[list[str]]:
    section = PAGE.read_text().split("## Threat model\n", 1)[1].split("\n## ", 1)[0]
    lines = [line for line in section.splitlines() if line.startswith("| ")]
    return [[cell.strip() for cell in line.strip("|").split(" | ")] for line in lines[2:]]


def test_every_kind_of_threat_has_rows() -> None:
    assert {kind.strip("| ") for kind, *_ in rows()} == KINDS


@pytest.mark.parametrize("row", rows(), ids=lambda row: row[2][:40])
def test_each_row_has_a_defence_and_a_test(row: list[str]) -> None:
    assert len(row) == 5
    assert all(row)
    named = TEST.findall(row[4])
    assert named
    for path, function in named:
        file = ROOT / path
        assert file.exists(), f"{path} does not exist"
        assert not function or re.search(rf"def {function}\(", file.read_text()), f"{path} has no {function}"
