"""docs/how-to/authentication-jwt.md: each example is accepted, and each key has its row."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from placet.authentication.authenticator import BEARER_BYTES_MAX
from placet.authentication.file import read_authentication_file
from placet.authentication.issuers import (
    ALGORITHMS,
    LEEWAY_SECONDS_MAX,
    STALE_KEYS_SECONDS_DEFAULT,
    STALE_KEYS_SECONDS_MAX,
    STALE_KEYS_SECONDS_MIN,
    IssuerEntry,
)
from placet.kernel import limits
from tests.docs.blocks import blocks
from tests.docs.tables import DOCS, by_name

if TYPE_CHECKING:
    from pathlib import Path

PAGE = DOCS / "how-to/authentication-jwt.md"
EXAMPLES = [block.text for block in blocks(PAGE) if block.language == "toml"]


@pytest.mark.parametrize("number", range(len(EXAMPLES)))
def test_each_example_is_accepted(tmp_path: Path, number: int) -> None:
    path = tmp_path / "auth.toml"
    path.write_text(EXAMPLES[number])
    assert read_authentication_file(path).issuers


def test_every_key_has_its_row_and_no_other() -> None:
    assert by_name(PAGE, "Keys of the file").keys() == IssuerEntry.model_fields.keys()


def test_figures() -> None:
    rows, text = by_name(PAGE, "Keys of the file"), PAGE.read_text()
    assert rows["stale_keys_seconds"][0] == str(STALE_KEYS_SECONDS_DEFAULT)
    assert f"{STALE_KEYS_SECONDS_MIN} to {STALE_KEYS_SECONDS_MAX}" in rows["stale_keys_seconds"][1]
    assert f"at most {LEEWAY_SECONDS_MAX}" in rows["leeway_seconds"][1]
    assert all(f"`{algorithm}`" in rows["algorithms"][1] for algorithm in ALGORITHMS)
    assert f"at most {BEARER_BYTES_MAX // 1024} KiB" in text
    assert f"Keys are read every {limits.ISSUER_KEYS_REFRESH_SECONDS // 60} minutes" in text
    assert f"one every {limits.ISSUER_KEYS_RETRY_SECONDS} seconds" in text
    assert f"within {limits.ISSUER_KEYS_FILE_SECONDS} seconds" in text
    assert f"most {limits.ROLES_MAX}" in text
    assert f"at most {limits.PRINCIPAL_BYTES_MAX} bytes" in text
