"""The commit that a folder was checked out from, by git's own files."""

from __future__ import annotations

import shutil
import subprocess
from typing import TYPE_CHECKING

import pytest

from placet.policy.files.git_commit import git_commit

if TYPE_CHECKING:
    from pathlib import Path


def git(folder: Path, *arguments: str) -> str:
    who = ["-c", "user.name=t", "-c", "user.email=t@example.com"]
    ran = subprocess.run(["git", *who, *arguments], cwd=folder, capture_output=True, text=True, check=True)
    return ran.stdout.strip()


@pytest.fixture
def repository(tmp_path: Path) -> Path:
    folder = tmp_path / "repository"
    (folder / "rego").mkdir(parents=True)
    git(folder, "init", "-q", "-b", "main")
    (folder / "rego" / "a.rego").write_text("package a\n")
    git(folder, "add", ".")
    git(folder, "commit", "-q", "-m", "one")
    return folder


def test_of_a_branch_packed_detached_and_of_a_worktree(repository: Path, tmp_path: Path) -> None:
    head = git(repository, "rev-parse", "HEAD")
    assert git_commit(repository / "rego") == head
    git(repository, "pack-refs", "--all")
    assert not (repository / ".git/refs/heads/main").exists()
    assert git_commit(repository / "rego") == head
    git(repository, "worktree", "add", "-q", "-b", "other", str(tmp_path / "worktree"))
    assert git_commit(tmp_path / "worktree" / "rego") == head
    git(repository, "checkout", "-q", "--detach")
    assert git_commit(repository / "rego") == head


def test_by_a_link_it_is_the_commit_of_what_is_linked(repository: Path, tmp_path: Path) -> None:
    (tmp_path / "link").symlink_to(repository / "rego")
    assert git_commit(tmp_path / "link") == git(repository, "rev-parse", "HEAD")


def test_where_there_is_none_or_nobody_can_tell(repository: Path, tmp_path: Path) -> None:
    assert git_commit(tmp_path) == ""
    assert git_commit(tmp_path / "nowhere") == ""
    head = repository / ".git/HEAD"
    for text in (b"", b"ref: refs/heads/unborn\n", b"ref: ../../secret\n", b"\xff", b"not a commit"):
        head.write_bytes(text)
        assert git_commit(repository / "rego") == ""
    shutil.rmtree(repository / ".git")
    (repository / ".git").write_text("gitdir: nowhere\n")
    assert git_commit(repository / "rego") == ""
