from __future__ import annotations

import re
import subprocess

import pytest

from tests.packaging.environments import ROOT

WORDS = ["setup", "run", "test", "check", "fmt", "lint", "types", "proto", "rego", "bench", "demo", "docs", "soak"]


@pytest.fixture(scope="module")
def shown() -> dict[str, str]:
    said = subprocess.run(["make", "help"], cwd=ROOT, capture_output=True, text=True, check=True).stdout
    return dict(re.split(r"\s+", line, maxsplit=1) for line in said.splitlines())


@pytest.mark.parametrize("word", WORDS)
def test_help_tells_every_word(shown: dict[str, str], word: str) -> None:
    assert len(shown[word]) > len("short")


def test_python_too_old_or_absent_is_told_with_the_remedy() -> None:
    command = ["make", "PYTHON=", "need-python"]
    told = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, check=False)
    assert told.returncode != 0
    assert "Remedy: " in told.stderr
