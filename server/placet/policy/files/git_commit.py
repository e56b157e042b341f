"""Read the commit that a folder was checked out from.

Reads git's own files and runs no program, so a `git` on the search path cannot interfere.
"""

from __future__ import annotations

import re
from typing import TYPE_CHECKING, Final

if TYPE_CHECKING:
    from pathlib import Path

_COMMIT: Final = re.compile(r"[0-9a-f]{40}([0-9a-f]{24})?")
_REF: Final = re.compile(r"ref: (refs/[^\s]+)")
_FILE_BYTES_MAX: Final = 4 * 1024 * 1024
"""Bytes read of one of git's files. The packed-refs of a large repository has some megabytes."""


def git_commit(folder: Path) -> str:
    """Return the commit that HEAD names in the repository around `folder`.

    Returns "" outside a repository, and when git's files cannot be read or have another format. Files may have changed
    since that commit: the policy revision, not the commit, identifies the policy.
    """
    try:
        git_dir = _git_dir(folder.resolve())
        if git_dir is None:
            return ""
        head = _read_text(git_dir / "HEAD")
        symbolic = _REF.fullmatch(head)
        commit = _commit_of(git_dir, symbolic[1]) if symbolic else head
    except (OSError, UnicodeDecodeError):
        return ""
    return commit if _COMMIT.fullmatch(commit) else ""


def _git_dir(folder: Path) -> Path | None:
    """Return the git directory of the nearest repository at or above `folder`; None without one."""
    for ancestor in (folder, *folder.parents):
        path = ancestor / ".git"
        if path.is_dir():
            return path
        if path.is_file():  # a worktree or submodule
            return ancestor / _read_text(path).removeprefix("gitdir:").strip()
    return None


def _commit_of(git_dir: Path, ref: str) -> str:
    """Return the commit of a branch: from its own file, else from packed-refs; "" when neither has it.

    The branches of a worktree are in the git directory of its repository, which `commondir` names.
    """
    common = git_dir / "commondir"
    git_dirs = [git_dir, *([git_dir / _read_text(common)] if common.is_file() else [])]
    for directory in git_dirs:
        if (directory / ref).is_file():
            return _read_text(directory / ref)
    for directory in git_dirs:
        packed_refs = directory / "packed-refs"
        for line in _read_text(packed_refs).splitlines() if packed_refs.is_file() else ():
            commit, _, name = line.partition(" ")
            if name == ref:
                return commit
    return ""


def _read_text(path: Path) -> str:
    with path.open("rb") as file:
        return file.read(_FILE_BYTES_MAX).decode().strip()
