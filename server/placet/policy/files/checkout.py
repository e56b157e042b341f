"""Which commit a folder was checked out from, read from git's own files: no program of the search path is run."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING, Final

if TYPE_CHECKING:
    from pathlib import Path

_COMMIT: Final = re.compile(r"[0-9a-f]{40}([0-9a-f]{24})?")
_REF: Final = re.compile(r"ref: (refs/[^\s]+)")
_FILE_BYTES_MAX: Final = 4 * 1024 * 1024
"""What is read of one of git's files: packed-refs of a large repository has some megabytes."""


def git_commit(folder: Path) -> str:
    """The commit that HEAD names in the repository that the folder is in; "" when it is in none, or git's files differ.

    It does not say that the folder is unchanged since: what decides is named by the policy revision.
    """
    try:
        git_dir = _git_dir(folder.resolve())
        if git_dir is None:
            return ""
        head = _text(git_dir / "HEAD")
        named = _REF.fullmatch(head)
        commit = _resolved(git_dir, named[1]) if named else head
    except (OSError, UnicodeDecodeError):
        return ""
    return commit if _COMMIT.fullmatch(commit) else ""


def _git_dir(folder: Path) -> Path | None:
    for above in (folder, *folder.parents):
        place = above / ".git"
        if place.is_dir():
            return place
        if place.is_file():  # a worktree or submodule
            return above / _text(place).removeprefix("gitdir:").strip()
    return None


def _resolved(git_dir: Path, ref: str) -> str:
    """The commit of a branch: its own file, else the line of packed-refs; a worktree's stand in its repository."""
    common = git_dir / "commondir"
    homes = [git_dir, *([git_dir / _text(common)] if common.is_file() else [])]
    for home in homes:
        if (home / ref).is_file():
            return _text(home / ref)
    for home in homes:
        packed = home / "packed-refs"
        for line in _text(packed).splitlines() if packed.is_file() else ():
            commit, _, name = line.partition(" ")
            if name == ref:
                return commit
    return ""


def _text(path: Path) -> str:
    with path.open("rb") as file:
        return file.read(_FILE_BYTES_MAX).decode().strip()
