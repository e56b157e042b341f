"""docs/how-to/authentication-tokens.md: its commands work, and its figures are those of the code."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING

import pytest

from placet.authentication.file import read_authentication_file
from placet.cli.main import main
from placet.kernel import limits
from placet.tokens.directory import LEASE_SECONDS, RENEW_SECONDS, SETTLED_SECONDS
from placet.tokens.secret import CHECKSUM_CHARS, SECRET_CHARS, is_well_formed, new_token
from placet.tokens.service import EXPIRED_LISTED_US
from placet.transport.grpc.interceptors.open_streams import CHECK_SECONDS
from tests.docs.blocks import blocks
from tests.docs.tables import DOCS, by_name

if TYPE_CHECKING:
    from pathlib import Path

PAGE = DOCS / "how-to/authentication-tokens.md"
TEXT = " ".join(PAGE.read_text().split())
DAY_SECONDS = 86_400


def test_the_first_steps_make_a_file_and_a_token(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    first = next(block.text for block in blocks(PAGE) if block.language == "console").splitlines()
    file = re.search(r"'(.+)' > (\S+)", first[0])
    assert file is not None
    monkeypatch.chdir(tmp_path)
    (tmp_path / file[2]).write_text(f"{file[1]}\n")
    assert [method.value for method in read_authentication_file(tmp_path / file[2]).accept] == ["token"]
    command = first[1].removeprefix("$ placet ").partition(" > ")[0].replace("'", "").split()
    assert main(command) == 0
    assert is_well_formed(capsys.readouterr().out.strip())


@pytest.mark.parametrize("arguments", by_name(PAGE, "Programs and people"))
def test_the_examples_of_tokens_are_accepted(tmp_path: Path, arguments: str) -> None:
    assert main(["tokens", "create", *arguments.strip("`").split(), "--data-dir", str(tmp_path / "data")]) == 0


def test_figures() -> None:
    assert f"{limits.TOKEN_TTL_SECONDS_DEFAULT // DAY_SECONDS} days" in TEXT
    assert f"at most {limits.TOKEN_TTL_SECONDS_MAX // DAY_SECONDS}." in TEXT
    assert f"listed for {EXPIRED_LISTED_US // 1_000_000 // DAY_SECONDS} days" in TEXT
    assert f"every {RENEW_SECONDS} seconds" in TEXT
    assert f"take {SETTLED_SECONDS:.1f} seconds" in TEXT
    assert f"{SECRET_CHARS} random letters and digits (256 bits), and {CHECKSUM_CHARS} of a checksum" in TEXT
    assert f"beyond {limits.GUESSES_FREE_PER_MINUTE} in a minute" in TEXT
    assert limits.GUESS_DELAY_MS == 500


def test_streams_end_in_the_time_that_the_page_names() -> None:
    assert "within two seconds of the revocation or expiry" in TEXT
    assert LEASE_SECONDS + CHECK_SECONDS < 2


def test_the_pattern_finds_tokens() -> None:
    [pattern] = re.findall(r"`(placet_\[[^`]+)`", TEXT)
    assert re.fullmatch(pattern, new_token())
