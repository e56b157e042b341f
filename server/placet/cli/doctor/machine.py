"""What `placet doctor --production` reads from the operating system."""

from __future__ import annotations

import ctypes
import os
from pathlib import Path
from typing import Final

_TIME_ERROR: Final = 5
"""What adjtimex returns for a clock that nothing synchronises."""
_TIMEX_BYTES: Final = 512
"""More than the size of struct timex. Filled with zeros, it asks for no change."""
_NETWORK: Final = ("nfs", "cifs", "smb", "9p", "ceph", "glusterfs", "fuse.sshfs", "lustre", "afs")
"""Beginnings of the names of network file systems."""


def clock_state() -> bool | None:
    """Return whether the kernel says that the clock is synchronised; None where it cannot be asked."""
    try:
        state = ctypes.CDLL(None, use_errno=True).adjtimex(ctypes.create_string_buffer(_TIMEX_BYTES))
    except (OSError, AttributeError):  # not Linux
        return None
    return None if state < 0 else state != _TIME_ERROR  # negative: refused, as by the sandbox of a container


def free_ratio(path: Path) -> float:
    """Return which part of the disk of a path may still be written."""
    disk = os.statvfs(path)
    return disk.f_bavail / disk.f_blocks if disk.f_blocks else 1.0


def device_of(path: Path) -> int:
    """Return the number of the file system of a path."""
    return path.stat().st_dev


def network_file_system(path: Path, mounts: Path = Path("/proc/self/mounts")) -> str | None:
    """Return the type of the network file system of a path; None for a local one."""
    try:
        lines = [line.split() for line in mounts.read_text().splitlines()]
    except OSError:
        return None
    target = path.absolute().resolve()
    found = [(Path(mount), kind) for _, mount, kind, *_ in lines if target.is_relative_to(mount)]
    if not found:
        return None
    _, kind = max(found, key=lambda each: len(each[0].parts))  # the innermost; of equal ones the first
    return kind if kind.startswith(_NETWORK) else None
