"""The checkouts of Placet that are measured: this one, and with ``--against`` another one beside it."""

from __future__ import annotations

import subprocess
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Final

HERE_ROOT: Final = Path(__file__).resolve().parents[2]


@dataclass(frozen=True)
class Checkout:
    """A checkout. Its servers run from its sources; load, floors and harness are always those of this checkout."""

    name: str
    root: Path

    @property
    def rego(self) -> Path:
        """The shipped policy."""
        return self.root / "rego"

    @property
    def server_path(self) -> str:
        """The folder for PYTHONPATH."""
        return str(self.root / "server")

    @cached_property
    def streams(self) -> bool:
        """Whether the server has AuthorizeStream."""
        return "rpc AuthorizeStream" in (self.root / "proto/placet/v1/authorization.proto").read_text()

    @cached_property
    def has_workers(self) -> bool:
        """Whether the server has `--workers`."""
        return "workers:" in (self.root / "server/placet/server/settings/model.py").read_text()


HERE: Final = Checkout("here", HERE_ROOT)


def other(path: Path) -> Checkout:
    """Return the checkout at `path`, named by its commit. Raises ValueError for a folder that is no checkout."""
    root = path.resolve()
    if not (root / "server/placet/__init__.py").is_file():
        raise ValueError(f"{path}: no checkout of Placet: it has no server/placet. Name the folder of a git worktree.")
    return Checkout(commit(root) or root.name, root)


def commit(root: Path) -> str:
    """Return the short commit of a checkout, with ``+`` for uncommitted changes; "" outside git."""
    command = ["git", "-C", str(root), "describe", "--always", "--dirty=+", "--exclude=*"]
    completed = subprocess.run(command, capture_output=True, text=True, check=False)
    return completed.stdout.strip()
