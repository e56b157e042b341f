"""`placet keys`: on the files of a data directory, beside a server that may run."""

from __future__ import annotations

import json
import time
from typing import TYPE_CHECKING

import pytest

from placet.cli.rendering import exit_codes
from placet.kernel.limits import PERMIT_KEY_LEAD_SECONDS, PERMIT_KEY_OVERLAP_SECONDS
from placet.signing.permit_keys import open_permit_keys, rotate_permit_key

if TYPE_CHECKING:
    from pathlib import Path

    from tests.cli.conftest import Placet


@pytest.fixture
def folder(empty_folder: Path) -> Path:
    """The permit keys of the default data directory: one."""
    keys = empty_folder / ".placet/keys/permits"
    open_permit_keys(keys, int(time.time()) - 10)
    return keys


def test_a_rotation_is_listed_before_it_signs(placet: Placet, folder: Path) -> None:
    made = placet("keys", "rotate", "-o", "json").document
    assert made["state"] == "waits"
    first, second = placet("keys", "list", "-o", "json").document
    assert (first["state"], second) == ("signs", made)
    assert first["signs_until"] == second["signs_from"]
    assert (second["signs_until"], second["verifies_until"]) == ("", "")
    newest = max(int(path.stem) for path in folder.iterdir())
    assert 0 <= newest - time.time() <= PERMIT_KEY_LEAD_SECONDS
    assert made["key_id"] in placet("keys", "list").out


def test_a_rotation_at_once(placet: Placet, folder: Path) -> None:
    shown = placet("keys", "rotate", "--after", "0")
    assert (shown.code, shown.err) == (0, "")
    assert "signs" in shown.out
    assert [each["state"] for each in placet("keys", "list", "-o", "json").document] == ["verifies", "signs"]
    assert len(list(folder.iterdir())) == 2


def test_the_jwk_set_has_the_keys_that_verify(placet: Placet, folder: Path) -> None:
    now = int(time.time())
    rotate_permit_key(folder, now - 2 * PERMIT_KEY_OVERLAP_SECONDS, 0)
    rows = placet("keys", "list", "-o", "json").document
    published = json.loads(placet("keys", "jwks").out)["keys"]
    assert [each["state"] for each in rows] == ["verifies", "signs"]
    assert [each["kid"] for each in published] == [each["key_id"] for each in rows]
    rotate_permit_key(folder, now - 2 * PERMIT_KEY_OVERLAP_SECONDS, 1)
    rows = placet("keys", "list", "-o", "json").document
    assert [each["state"] for each in rows] == ["expired", "verifies", "signs"]
    assert [each["kid"] for each in json.loads(placet("keys", "jwks").out)["keys"]] == [
        each["key_id"] for each in rows[1:]
    ]


@pytest.mark.parametrize("command", ["list", "jwks", "rotate"])
def test_a_folder_without_keys_does_not_change(placet: Placet, empty_folder: Path, command: str) -> None:
    ran = placet("keys", command)
    assert ran.code == exit_codes.USAGE
    assert "there are no permit keys; `placet serve` creates one" in ran.complaint
    assert not list(empty_folder.iterdir())


@pytest.mark.parametrize("after", ["-1", str(PERMIT_KEY_OVERLAP_SECONDS + 1), "soon"])
def test_an_invalid_delay(placet: Placet, folder: Path, after: str) -> None:
    assert placet("keys", "rotate", "--after", after).code == exit_codes.USAGE
    assert len(list(folder.iterdir())) == 1
