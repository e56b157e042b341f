"""How many cores this process may use: those of its affinity mask, and no more than its control group's CPU quota."""

from __future__ import annotations

import math
import os
import re
from pathlib import Path
from typing import Final

AUTO: Final = "auto"
CONTROL_GROUPS: Final = Path("/sys/fs/cgroup")
OWN_GROUP: Final = Path("/proc/self/cgroup")
_WHOLE: Final = re.compile(r"\s*[+-]?[0-9]+\s*", re.ASCII)


def usable_cores(groups: Path = CONTROL_GROUPS, own_group: Path = OWN_GROUP) -> int:
    """Return the number of cores, at least 1. A quota of 2.5 cores counts as 2."""
    quotas = [_quota(folder) for folder in _folders(groups, own_group)]
    return max(1, math.floor(min([float(len(os.sched_getaffinity(0))), *quotas])))


def worker_count(value: object) -> object:
    """Return the number of cores for ``auto``, and any other value as it is.

    Raises ValueError for a boolean, which would count as a number, and for a text that is neither.
    """
    if isinstance(value, bool) or (isinstance(value, str) and value != AUTO and not _WHOLE.fullmatch(value)):
        # Not TypeError: pydantic turns ValueError into its own.
        raise ValueError("must be a whole number, or auto for one on each usable core")
    return usable_cores() if value == AUTO else value


def _folders(groups: Path, own_group: Path) -> list[Path]:
    """Return the folders whose quotas hold for this process: of its group and of all groups around it."""
    folders = [groups, groups / "cpu"]
    try:
        lines = own_group.read_text().splitlines()
    except OSError:  # there is no /proc
        return folders
    for line in lines:
        _, controllers, path = line.split(":", 2)
        if controllers and "cpu" not in controllers.split(","):
            continue
        group = (groups / "cpu" if controllers else groups) / path.lstrip("/")
        folders += [group, *(parent for parent in group.parents if groups in parent.parents)]
    return folders


def _quota(folder: Path) -> float:
    """Return the CPU quota of a control group in cores, of version 2 or 1; infinity when it has none."""
    for names in (("cpu.max",), ("cpu.cfs_quota_us", "cpu.cfs_period_us")):
        try:
            quota, period = " ".join((folder / name).read_text() for name in names).split()
        except (OSError, ValueError):
            continue
        if quota.isdecimal() and int(period) > 0:
            return int(quota) / int(period)
    return math.inf
