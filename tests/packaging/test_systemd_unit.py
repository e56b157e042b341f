"""deploy/systemd: systemd accepts the unit, and it stays as hardened as it is."""

from __future__ import annotations

import shutil
import subprocess
import tomllib
from typing import TYPE_CHECKING

import pytest

from placet.server.settings.model import Settings
from tests.packaging.environments import ROOT

if TYPE_CHECKING:
    from pathlib import Path

FOLDER = ROOT / "deploy/systemd"
EXPOSURE_MAX = 15
"""Of 100, as `systemd-analyze security` counts."""
HARDENED = {
    "NoNewPrivileges=yes",
    "CapabilityBoundingSet=",
    "ProtectSystem=strict",
    "ProtectHome=yes",
    "PrivateTmp=yes",
    "PrivateDevices=yes",
    "RestrictAddressFamilies=AF_UNIX AF_INET AF_INET6",
    "SystemCallFilter=@system-service",
    "UMask=0077",
    "StateDirectoryMode=0700",
    "User=placet",
}


def systemd_analyze(*arguments: str) -> subprocess.CompletedProcess[str]:
    if shutil.which("systemd-analyze") is None:
        pytest.fail("no systemd-analyze on PATH. Remedy: apt-get install systemd")
    command = ["systemd-analyze", *arguments]
    return subprocess.run(command, capture_output=True, text=True, check=False, timeout=60)


@pytest.fixture
def unit(tmp_path: Path) -> Path:
    """The unit with a program and a user that exist here: systemd checks that they do."""
    text = (FOLDER / "placet.service").read_text()
    here = text.replace("/opt/placet/bin/placet", str(shutil.which("true"))).replace("=placet\n", "=daemon\n")
    (tmp_path / "placet.service").write_text(here)
    return tmp_path / "placet.service"


def test_the_unit_gives_up_what_a_server_does_not_need() -> None:
    lines = (FOLDER / "placet.service").read_text().splitlines()
    assert HARDENED - set(lines) == set()
    assert not any("unsafe" in line for line in lines)


def test_systemd_accepts_the_unit(unit: Path) -> None:
    done = systemd_analyze("verify", "--man=no", str(unit))
    assert (done.returncode, done.stderr) == (0, "")


def test_the_exposure_is_small(unit: Path) -> None:
    done = systemd_analyze("security", "--offline=true", f"--threshold={EXPOSURE_MAX}", str(unit))
    assert done.returncode == 0, done.stdout[-300:]


def test_every_folder_and_secret_has_its_owner() -> None:
    rows = [line.split() for line in (FOLDER / "placet.tmpfiles").read_text().splitlines() if line[0] != "#"]
    modes = {path: (mode, user) for _, path, mode, user, *_ in rows}
    assert modes["/var/lib/placet"] == ("0700", "placet")
    assert modes["/etc/placet/placet.env"] == ("0600", "root")
    assert all(mode.endswith("0") for mode, _ in modes.values()), "nothing is for other users"


def test_the_settings_are_valid_and_authenticate() -> None:
    settings = Settings(**tomllib.loads((FOLDER / "placet.toml").read_text()))
    assert settings.auth_file
    assert settings.tls_cert_file
    assert not settings.unsafe_no_auth
