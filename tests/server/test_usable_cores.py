"""The number of cores that a process may use."""

from __future__ import annotations

import os
from typing import TYPE_CHECKING

import pytest
from pydantic import ValidationError

from placet.kernel.limits import WORKERS_MAX
from placet.server.settings.model import Settings
from placet.server.usable_cores import usable_cores

if TYPE_CHECKING:
    from pathlib import Path

OWN = len(os.sched_getaffinity(0))


def groups(folder: Path, **quotas: str) -> tuple[Path, Path]:
    """Return a tree of control groups with these files, and the file that names the group of the process."""
    for name, text in quotas.items():
        file = folder / name.replace("__", "/").replace("_max", ".max")
        file.parent.mkdir(parents=True, exist_ok=True)
        file.write_text(text)
    own = folder / "own"
    own.write_text("0::/service/placet\n")
    return folder, own


def test_without_a_quota_the_affinity_counts(tmp_path: Path) -> None:
    assert usable_cores(*groups(tmp_path, cpu_max="max 100000\n")) == OWN
    assert usable_cores(tmp_path / "none", tmp_path / "none") == OWN


def test_the_smallest_quota_of_all_groups_around_counts(tmp_path: Path) -> None:
    assert (
        usable_cores(*groups(tmp_path, service__cpu_max="150000 100000\n", service__placet__cpu_max="max 100000")) == 1
    )
    assert usable_cores(*groups(tmp_path, service__cpu_max="20000 100000\n")) == 1


def test_the_quota_of_version_1_counts(tmp_path: Path) -> None:
    folder, own = groups(tmp_path)
    own.write_text("4:memory:/x\n3:cpu,cpuacct:/docker/abc\n")
    group = folder / "cpu" / "docker" / "abc"
    group.mkdir(parents=True)
    (group / "cpu.cfs_quota_us").write_text("120000\n")
    (group / "cpu.cfs_period_us").write_text("100000\n")
    assert usable_cores(folder, own) == 1
    (group / "cpu.cfs_quota_us").write_text("-1\n")
    assert usable_cores(folder, own) == OWN


def test_workers_of_the_settings() -> None:
    assert Settings().workers == 1
    assert Settings(workers="auto").workers == usable_cores()
    assert Settings(workers="3").workers == 3
    for wrong in ("0", str(WORKERS_MAX + 1), "many", True):
        with pytest.raises(ValidationError):
            Settings(workers=wrong)


@pytest.mark.parametrize("wrong", ["many", "AUTO", "2.5", "", True])
def test_the_error_about_workers_names_auto(wrong: object) -> None:
    with pytest.raises(ValidationError, match="must be a whole number, or auto for one on each usable core"):
        Settings.model_validate({"workers": wrong})


def test_the_names_of_workers_are_not_too_long() -> None:
    assert Settings(replica_id="a" * 62, workers=9).of_worker(9, ()).replica_id == "a" * 62 + ".9"
    with pytest.raises(ValidationError, match="shorten replica_id"):
        Settings(replica_id="a" * 62, workers=10)
