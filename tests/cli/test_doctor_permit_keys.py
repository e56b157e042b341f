"""`placet doctor` reads the permit keys, or what encrypts them, as a server would at its start."""

from __future__ import annotations

import time
from typing import TYPE_CHECKING

from placet.cli.doctor.permit_keys import permit_key_checks
from placet.server.settings.model import Settings
from placet.signing.permit_keys import open_permit_keys
from tests.keys.key_env import kek

if TYPE_CHECKING:
    from pathlib import Path


def test_keys_of_the_data_directory_need_no_check(tmp_path: Path) -> None:
    assert permit_key_checks(Settings(data_dir=tmp_path)) == ()


def test_a_key_encryption_key(tmp_path: Path) -> None:
    file = tmp_path / "kek"
    settings = Settings(permit_key_encryption_file=str(file))
    [check] = permit_key_checks(settings)
    assert (check.ok, "No such file" in check.detail) == (False, True)
    file.write_text(kek())
    file.chmod(0o444)
    [check] = permit_key_checks(settings)
    assert (check.ok, "chmod o-rwx" in check.detail) == (False, True)
    file.chmod(0o400)
    [check] = permit_key_checks(settings)
    assert check.ok
    assert kek() not in check.detail


def test_a_command_that_fails() -> None:
    [check] = permit_key_checks(Settings(permit_key_encryption_command="false"))
    assert (check.ok, "exit status 1" in check.detail) == (False, True)


def test_a_mounted_folder(tmp_path: Path) -> None:
    settings = Settings(permit_keys_dir=str(tmp_path / "mounted"))
    [check] = permit_key_checks(settings)
    assert (check.ok, "has no keys" in check.detail) == (False, True)
    open_permit_keys(tmp_path / "mounted", int(time.time()))
    [check] = permit_key_checks(settings)
    assert (check.ok, check.detail.startswith("1 in ")) == (True, True)
