"""The command `placet`. It imports only the module of the command that runs, so that every command starts quickly."""

from __future__ import annotations

import importlib
import os
import sys
import types
from typing import TYPE_CHECKING, Annotated, Any, Final, NamedTuple

import typer
import typer.core
import typer.main

from placet import __version__
from placet.cli.groups import AliasGroup
from placet.cli.rendering import exit_codes
from placet.kernel.printable import visible_lines

if TYPE_CHECKING:
    from collections.abc import Sequence


class CommandEntry(NamedTuple):
    """A command in the help, and the package of its module."""

    package: str
    help: str


COMMANDS: Final = {
    "authorize": CommandEntry("decisions", "Ask for one decision."),
    "outcomes": CommandEntry("decisions", "Report what allowed calls did."),
    "approvals": CommandEntry("decisions", "List approval requests and vote on them."),
    "kill-switches": CommandEntry("controls", "Set, clear and list kill switches."),
    "autonomy": CommandEntry("controls", "Set, unset and list levels of autonomy."),
    "agents": CommandEntry("controls", "List agents with their owners and last use."),
    "budgets": CommandEntry("controls", "List budgets and adjust their counters."),
    "policy": CommandEntry("policy", "Check, test, bundle and push policy; show the served one."),
    "bundle-server": CommandEntry("policy", "Serve policy bundles over HTTP."),
    "audit": CommandEntry("audit", "Read and verify the audit trail."),
    "serve": CommandEntry("server", "Run the server."),
    "demo": CommandEntry("server", "Run a server and replay example calls."),
    "doctor": CommandEntry("server", "Check the installation and the server."),
    "health": CommandEntry("server", "Ask a server for its health, as probes do."),
    "db": CommandEntry("server", "Show, upgrade, back up and recover the database."),
    "keys": CommandEntry("server", "List, rotate and publish the permit keys."),
    "dev-certs": CommandEntry("server", "Create certificates for development."),
    "tokens": CommandEntry("server", "Create, list and revoke access tokens."),
    "tools": CommandEntry("server", "Install OPA and Regal."),
}
"""The commands in the order of the help. The help groups them by package."""
_PANELS: Final = {
    "decisions": "Decisions and approvals",
    "controls": "Controls",
    "policy": "Policy and audit",
    "audit": "Policy and audit",
    "server": "Server",
}
"""Package -> title of its group in the help."""
HELP: Final = (
    "Placet decides what AI agents may do: allow, deny or require approval, audited before the answer.\n\n"
    "Example: placet serve\n\n"
    "Exit codes: 0 success (allowed), 1 check failed or request refused, 2 wrong usage or configuration, 3 denied, "
    "4 needs approval, 5 no decision: Placet could not decide, record or be reached."
)
_MESSAGE_PREFIXES: Final = ("Value error, ", "Invalid value: ")
"""Typer adds them to messages about values. They tell people nothing."""
_COMPLETION: Final = frozenset({"install_completion", "show_completion"})


class LazyGroup(AliasGroup):
    """The commands by name and line of help. Imports only the module of the command that runs."""

    aliases = types.MappingProxyType({"kill": "kill-switches", "outcome": "outcomes"})

    def __init__(self, **attributes: Any) -> None:  # noqa: ANN401 - typer's own attributes
        super().__init__(**attributes)
        for name, entry in COMMANDS.items():
            panel = _PANELS[entry.package]
            self.commands[name] = typer.core.TyperCommand(name, callback=None, help=entry.help, rich_help_panel=panel)

    def resolve_command(self, ctx: Any, args: list[str]) -> tuple[str | None, Any, list[str]]:  # noqa: ANN401 - typer's own types
        """Return the command that the first argument names, imported."""
        name, _, rest = super().resolve_command(ctx, args)
        return name, load_command(name) if name is not None else None, rest


def load_command(name: str) -> Any:  # noqa: ANN401 - typer exports no name for the type
    """Import the module of a command and return the command."""
    module = importlib.import_module(f"placet.cli.commands.{COMMANDS[name].package}.{name.replace('-', '_')}")
    command = typer.main.get_command(module.app)
    command.params = [parameter for parameter in command.params if parameter.name not in _COMPLETION]
    for documented in (command, *getattr(command, "commands", {}).values()):
        documented.help = _unwrapped(documented.help or "")
    return command


def _unwrapped(text: str) -> str:
    """Put each paragraph of a docstring on one line: typer keeps the line breaks, and the terminal adds its own."""
    return "\n\n".join(" ".join(paragraph.split()) for paragraph in text.split("\n\n"))


app = typer.Typer(
    cls=LazyGroup,
    help=HELP,
    context_settings={"help_option_names": ["--help", "-h"]},
    no_args_is_help=True,
    pretty_exceptions_enable=False,
)


def _show_version(value: bool) -> None:  # noqa: FBT001 - how typer calls it
    if value:
        typer.echo(f"placet {__version__}")
        raise typer.Exit


@app.callback()
def _root(
    *,
    version: Annotated[
        bool, typer.Option("--version", help="Print the version.", is_eager=True, callback=_show_version)
    ] = False,
) -> None:
    del version


def main(arguments: Sequence[str] | None = None) -> int:
    """Run `placet` with the arguments, by default those of the process. Return the exit code.

    Prints an expected error as one line for each problem on stderr, with the remedy. Other exceptions propagate.
    """
    try:
        code = app(arguments, prog_name="placet", standalone_mode=False)
        sys.stdout.flush()
    except typer.TyperException as error:
        return _usage_error(error)
    except (KeyboardInterrupt, typer.Abort):
        return exit_codes.INTERRUPTED
    except (BrokenPipeError, SystemExit) as error:
        if isinstance(error, SystemExit) and error.code == 0:  # typer completed words for a shell
            return exit_codes.OK
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        return exit_codes.BROKEN_PIPE
    except Exception as error:
        explained = _explain(error)
        if explained is None:
            raise
        code, lines = explained
        _print_errors(lines)
    return code if isinstance(code, int) else exit_codes.OK


def _usage_error(error: typer.TyperException) -> int:
    context = getattr(error, "ctx", None)
    command = context.command_path if context is not None else "placet"
    message = error.format_message()
    for prefix in _MESSAGE_PREFIXES:
        message = message.replace(prefix, "")
    if message:
        end, link = ("", " See") if message.endswith(("?", "...")) else (".", "; see")
        _print_errors([f"{message.removesuffix(end)}{link} {command} --help"])
    return exit_codes.USAGE


def _explain(error: Exception) -> tuple[int, list[str]] | None:
    """Return the exit code and the lines for an expected error, None for any other."""
    from placet.cli.rendering.failures import explain  # noqa: PLC0415 - slow to import

    return explain(error)


def _print_errors(lines: Sequence[str]) -> None:
    for line in (line for text in lines for line in visible_lines(text)):
        typer.echo(f"placet: {line}", err=True)


if __name__ == "__main__":
    sys.exit(main())
