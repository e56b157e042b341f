"""Options of the commands that read a policy folder."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from placet.policy.toolchain.binary import find_opa
from placet.server.settings.sources import load_settings

RegoDir = Annotated[
    Path | None,
    typer.Option(
        help="Directory of the policies and tenant files. Default: the setting rego_dir.",
        metavar="DIR",
        show_default=False,
    ),
]
OpaPath = Annotated[
    Path | None,
    typer.Option("--opa", help="The opa program. Default: the installed one.", metavar="FILE", show_default=False),
]


def chosen_policy(rego_dir: Path | None, opa: Path | None, config: Path | None) -> tuple[Path, Path]:
    """Return the policy directory and the OPA of the options, by default of the settings."""
    settings, _ = load_settings({"rego_dir": rego_dir}, config)
    settings.require_rego_dir()
    return settings.rego_dir, find_opa(opa or settings.opa_path).path
