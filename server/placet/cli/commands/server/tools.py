"""`placet tools`: install the programs that Placet runs."""

from __future__ import annotations

import tempfile
from enum import StrEnum
from pathlib import Path
from typing import Annotated, Final

import typer

from placet.kernel.errors import ConfigurationError
from placet.policy.toolchain.binary import installation_dir
from placet.policy.toolchain.tool_sources import (
    OPA,
    REGAL,
    RELEASES,
    FetchError,
    Tool,
    UnreachableError,
    build,
    download,
)

app = typer.Typer(no_args_is_help=True, help="Install the programs that Placet runs: OPA and Regal.")
_PROGRAM_MODE: Final = 0o755


class ToolName(StrEnum):
    """A program that Placet runs."""

    OPA = "opa"
    REGAL = "regal"


_TOOLS: Final = {ToolName.OPA: OPA, ToolName.REGAL: REGAL}


@app.callback()
def _tools() -> None:
    """Keep `install` a subcommand: typer would merge the only one into the group."""


@app.command("install")
def install_command(
    names: Annotated[
        list[ToolName] | None, typer.Argument(help="The programs to install. Default: all.", show_default=False)
    ] = None,
    *,
    folder: Annotated[
        Path | None,
        typer.Option(
            "--dir",
            help="Directory to install into; put it on PATH. Default: the directory of `placet`.",
            metavar="DIR",
            show_default=False,
        ),
    ] = None,
) -> None:
    """Install OPA and Regal.

    OPA evaluates policy and Regal lints it. Installs the versions that Placet is tested with: downloads the
    official release and verifies its published SHA-256. When the download fails, builds the same version with Go, which
    verifies the checksum of each module.

    Example: placet tools install
    """
    where = folder.absolute() if folder is not None else installation_dir()
    failures: list[str] = []
    for name in dict.fromkeys(names or ToolName):
        try:
            typer.echo(f"{name} {_TOOLS[name].version}: {_install(_TOOLS[name], where)}")
        except ConfigurationError as error:  # continue with the next program
            failures.append(str(error))
    if failures:
        raise ConfigurationError("\n".join(dict.fromkeys(failures)))


def _install(tool: Tool, where: Path) -> str:
    """Install the program and say how. ConfigurationError when that fails."""
    try:
        where.mkdir(parents=True, exist_ok=True)
        with tempfile.TemporaryDirectory(dir=where, prefix=f".{tool.name}-") as scratch:
            new = Path(scratch) / tool.name
            how = _obtain(tool, new)
            new.chmod(_PROGRAM_MODE)
            new.replace(where / tool.name)
    except OSError as error:
        remedy = "name a writable directory with --dir, and put it on PATH"
        raise ConfigurationError(f"{where}: cannot be written ({error.strerror}); {remedy}") from error
    return f"{how}, installed as {where / tool.name}"


def _obtain(tool: Tool, new: Path) -> str:
    try:
        try:
            return download(tool, new, RELEASES)
        except UnreachableError as unreachable:
            return _build(tool, new, f"the official release could not be downloaded ({unreachable})")
    except FetchError as error:
        releases = f"{RELEASES}/{tool.module.removeprefix('github.com/')}/releases/tag/v{tool.version}"
        raise ConfigurationError(
            f"{tool.name} {tool.version}: {error}. Give this machine access to {RELEASES} (HTTPS_PROXY names a "
            f"proxy) or install Go 1.26 or newer, and run this again; or put the program from {releases} on PATH"
        ) from error


def _build(tool: Tool, new: Path, cause: str) -> str:
    try:
        return f"{build(tool, new, new.parent)} ({cause})"
    except FetchError as error:
        raise FetchError(f"{cause}; {error}") from error
